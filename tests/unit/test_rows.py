from hypothesis import given
from hypothesis import strategies as st

from pydicombatch.core.model import Key, Outcome, RequestType
from pydicombatch.report import lines
from pydicombatch.report.rows import EVIDENCE, header, of_query, of_request
from tests.support.fakes import entry


def test_the_columns_of_a_query_are_sorted_and_the_carried_ones_follow() -> None:
    names = header(RequestType.FIND, ["StudyDate", "PatientID"], ["SubjectID", "Arm"])
    assert names == ("PatientID", "StudyDate", "SubjectID", "Arm")


def test_a_retrieve_has_its_status_among_the_keys_and_the_evidence_behind_them() -> None:
    names = header(RequestType.MOVE, ["StudyInstanceUID", "PatientID"], ["SubjectID"])
    assert names == ("PatientID", "Status", "StudyInstanceUID", "SubjectID", *EVIDENCE)


def test_each_match_is_a_row_and_what_was_not_asked_for_is_empty() -> None:
    one = entry(1, keys=(Key("PatientID", "P1"), Key("StudyDate")), carried=(("SubjectID", "S1"),))
    names = ("Modality", "PatientID", "StudyDate", "SubjectID")
    assert list(of_query(names, one, [("P1", "20260101"), ("P2", "")])) == [
        ("", "P1", "20260101", "S1"),
        ("", "P2", "", "S1"),
    ]


def test_a_status_is_written_as_today() -> None:
    one = entry(1, Outcome.PARTIAL, status=0xB000, expected=5, stored=3, failed=2, quarantined=1)
    names = ("PatientID", "Status", *EVIDENCE)
    assert of_request(names, one) == ("P1", "0xb000", "partial", "5", "3", "2", "1")
    assert of_request(("Status",), entry(1, status=0)) == ("0x0",)


def test_what_is_not_known_is_an_empty_cell() -> None:
    one = entry(1, Outcome.FAILED, status=None, expected=None)
    assert of_request(("Status", "Expected", "Modality"), one) == ("", "", "")


@given(st.lists(st.text(max_size=5), unique=True, max_size=6))
def test_a_row_is_as_wide_as_its_header(names: list[str]) -> None:
    assert len(of_request(tuple(names), entry(1))) == len(names)
    assert all(len(row) == len(names) for row in of_query(tuple(names), entry(1), [("x",)]))


COLUMNS = (("Patient ID", "PatientID"), ("SubjectID", None))


def test_the_lines_that_failed_are_a_batch_file_of_the_same_columns() -> None:
    carried = (("SubjectID", "S9"),)
    numbered = [
        (2, entry(2)),
        (3, entry(3, Outcome.FAILED, carried=carried)),
        (4, entry(4, Outcome.EMPTY)),
        (5, entry(5, None)),
        (6, entry(3, Outcome.FAILED, carried=carried)),
    ]
    assert list(lines.failed(COLUMNS, numbered)) == [("P3", "S9"), ("P3", "S9")]


def test_every_line_has_its_fate() -> None:
    numbered = [
        (2, entry(2, Outcome.PARTIAL, expected=2, stored=1, attempts=3, reason="r", remedy="m")),
        (3, entry(3, None, status=None)),
    ]
    first, second = lines.with_fate(COLUMNS, numbered)
    named = dict(zip(("Patient ID", "SubjectID", *lines.FATE), first, strict=True))
    assert (named["Line"], named["Outcome"], named["Attempts"]) == ("2", "partial", "3")
    assert (named["Status"], named["Reason"], named["Remedy"]) == ("0x0", "r", "m")
    assert dict(zip(("A", "B", *lines.FATE), second, strict=True))["Outcome"] == "pending"
