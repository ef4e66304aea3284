from datetime import UTC, date, datetime, time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openpyxl import Workbook

from pydicombatch.core.errors import ConfigError
from pydicombatch.plan.batch_file import open_batch


def written(folder: Path, content: str | bytes, name: str = "b.csv") -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def rows(path: Path, *carry: str) -> list[tuple[int, tuple[str, ...]]]:
    found = list(open_batch(path, carry).rows())
    assert not any(row.findings for row in found)
    return [(row.line, row.cells) for row in found]


def said(path: Path, *carry: str) -> str:
    """Everything that is wrong with the file."""
    try:
        found = [one for row in open_batch(path, carry).rows() for one in row.findings]
    except ConfigError as error:
        found = list(error.findings)
    assert all(one.file == str(path) and one.remedy for one in found)
    return "\n".join(map(str, found))


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252", "utf-16"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_values_stay_the_text_they_are(
    tmp_path: Path, delimiter: str, encoding: str, end: str
) -> None:
    lines = [["PatientID", " PatientName "], ["00000001", " Müller^Zoë "], [], ["NA", "1.50"]]
    text = end.join(delimiter.join(line) for line in lines) + end
    path = written(tmp_path, text.encode(encoding))
    assert rows(path) == [(2, ("00000001", "Müller^Zoë")), (4, ("NA", "1.50"))]


@pytest.mark.parametrize(
    "header",
    [
        '"(0010,0020)",(0008,0050)',
        "(0010,0020),(0008,0050)",
        "00100020,AccessionNumber",
        "0010,0020;0008,0050",
        "(0010,0020);(0008,0050)",
        "(0010,0020)\t(0008,0050)",
    ],
)
def test_a_header_may_be_tags_even_with_their_own_commas(tmp_path: Path, header: str) -> None:
    delimiter = next(one for one in (";", "\t", ",") if one in header)
    batch = open_batch(written(tmp_path, f"{header}\n1{delimiter}2\n"))
    assert [column.path for column in batch.columns] == ["PatientID", "AccessionNumber"]
    assert [row.cells for row in batch.rows()] == [("1", "2")]


def test_a_batch_file_can_be_read_again(tmp_path: Path) -> None:
    batch = open_batch(written(tmp_path, "PatientID\n1\n2\n"))
    assert list(batch.rows()) == list(batch.rows())


def test_lines_are_counted_as_an_editor_does(tmp_path: Path) -> None:
    text = 'PatientID,StudyDescription\n1,"two\nlines"\n\n2,x\n'
    assert rows(written(tmp_path, text)) == [(2, ("1", "two\nlines")), (5, ("2", "x"))]


@pytest.mark.parametrize("text", ["PatientID,StudyDate\n,\n", 'PatientID\n""\n'])
def test_a_row_without_any_value_is_an_error_and_not_left_out(tmp_path: Path, text: str) -> None:
    [row] = open_batch(written(tmp_path, text)).rows()
    assert [one.line for one in row.findings] == [2]
    assert "no value" in row.findings[0].problem


def test_empty_columns_on_the_right_are_ignored(tmp_path: Path) -> None:
    assert rows(written(tmp_path, "PatientID,,\n1,,\n")) == [(2, ("1",))]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "empty"),
        (b"\n\n", "empty"),
        (b"\xef\xbb\xbf", "empty"),
        (b"PatientID\n\n", ":1: The batch file has a header but no rows"),
        (b"PatientID,PatientID\n1,2\n", "Column 2 (PatientID) is the same as column 1"),
        (b'PatientID,"0010,0020"\n1,2\n', "the same as column 1 (PatientID)"),
        (b"StudyDat\n1\n", "Did you mean StudyDate"),
        (b"SubjectID\n1\n", "request.carry"),
        (b"PatientID,,StudyDate\n1,2,3\n", "Column 2 has no name"),
        (b"PatientID\n1,2\n", ":2: The row has more than the 1 cells"),
        (b"PatientID,StudyDate\n1\n", ":2: The row has 1 cells, but the header names 2"),
        (b"PatientID\nA\n1.2E+15\n", ":3: The cell of PatientID is a number that a spreadsheet"),
        (b"PatientID;StudyDate\n1,2E+15;x\n", "spreadsheet has shortened"),
        (b"PatientID\n#N/A\n", "error of the spreadsheet"),
        (b"PatientID\n1\0\n", "NUL"),
        (b"Patient\0ID\n1\n", "NUL"),
        (b'PatientID\n1\n"2\n', ":3: It cannot be read from this line on"),
        (b'PatientID\n"a"b\n', ":2: "),
        (b"PatientID\n\x81\n", "no text"),
        (b"\xff\xfeP", "no text"),
        (b"PK\x03\x04nonsense", "workbook"),
        (b"\xd0\xcf\x11\xe0\xa1", ".xls"),
    ],
)
def test_a_file_that_cannot_be_meant_is_refused(
    tmp_path: Path, content: bytes, expected: str
) -> None:
    assert expected in said(written(tmp_path, content))


def test_a_missing_file_and_a_folder_are_told_apart(tmp_path: Path) -> None:
    assert "does not exist" in said(tmp_path / "no.csv")
    assert "folder" in said(tmp_path)


def test_carried_columns_are_no_elements(tmp_path: Path) -> None:
    path = written(tmp_path, "PatientID;SubjectID\n1;S1\n")
    assert [column.path for column in open_batch(path, ("SubjectID",)).columns] == [
        "PatientID",
        None,
    ]
    assert "Did you mean SubjectID" in said(path, "SubjectID", "SubjectD")
    assert "an element and listed under request.carry" in said(path, "PatientID", "SubjectID")


@given(st.binary(max_size=200))
def test_no_bytes_make_the_reader_fail_in_another_way(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    folder = tmp_path_factory.getbasetemp()
    said(written(folder, content))
    said(written(folder, b"PatientID,StudyDate\n" + content))
    said(written(folder, content, "b.xlsx"))


def workbook(folder: Path, *lines: list[object], number_format: str = "General") -> Path:
    book = Workbook()
    sheet = book.active
    assert sheet is not None
    for line in lines:
        sheet.append(line)
    for row in sheet.iter_rows(min_row=2):
        for cell in row:
            if isinstance(cell.value, int):
                cell.number_format = number_format
    path = folder / "b.xlsx"
    book.save(path)
    return path


def test_a_workbook_gives_the_text_that_is_meant(tmp_path: Path) -> None:
    moment = datetime(2026, 11, 21, 9, 30, tzinfo=UTC).replace(tzinfo=None)
    path = workbook(
        tmp_path,
        ["PatientID", "StudyDate", "StudyTime", "PatientName", "StudyID"],
        ["0001", date(2026, 1, 2), time(13, 5), " Doe ", 42],
        [],
        ["x", moment, None, 1.5, True],
    )
    assert rows(path) == [
        (2, ("0001", "20260102", "130500", "Doe", "42")),
        (4, ("x", "20261121093000", "", "1.5", "TRUE")),
    ]


def test_a_format_of_zeros_pads_and_another_does_not(tmp_path: Path) -> None:
    padded = workbook(tmp_path, ["PatientID"], [42], number_format="00000000")
    assert rows(padded) == [(2, ("00000042",))]
    plain = workbook(tmp_path, ["PatientID"], [42], number_format="0.00")
    assert rows(plain) == [(2, ("42",))]


@pytest.mark.parametrize(
    ("cell", "expected"),
    [(1234567890123456, "15 digits"), ("=A1", "is a formula"), ("#REF!", "error"), (1e22, "15")],
)
def test_a_cell_that_has_lost_its_value_is_refused(
    tmp_path: Path, cell: object, expected: str
) -> None:
    found = said(workbook(tmp_path, ["PatientID"], ["a"], [cell]))
    assert expected in found
    assert ":3:" in found


def test_a_workbook_has_the_same_rules(tmp_path: Path) -> None:
    assert "StudyDate" in said(workbook(tmp_path, ["StudyDat"], [1]))
    assert "more than" in said(workbook(tmp_path, ["PatientID", None], ["a", "b"]))
    assert "no rows" in said(workbook(tmp_path, ["PatientID"]))
