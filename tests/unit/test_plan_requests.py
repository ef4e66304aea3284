from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pydicombatch.config import parse
from pydicombatch.core.errors import ConfigError, Finding
from pydicombatch.core.model import Key, RequestType
from pydicombatch.plan import Plan, check
from pydicombatch.plan.requests import identity
from pydicombatch.plan.rules import is_blank


def plan(
    tmp_path: Path,
    batch: str | None = None,
    elements: tuple[str, ...] = ("QueryRetrieveLevel=SERIES",),
    request: str = "type: c-move, model: study",
    pacs: str = "",
) -> Plan:
    named = ""
    if batch is not None:
        path = tmp_path / "b.csv"
        path.write_text(batch, encoding="utf-8")
        named = f", elements_batch_file: '{path}'"
    text = f"""\
pacs: {{hostname: h, port: 104, aet: ARCHIVE{pacs}}}
local: {{port: 4006, aet: SAMPLE_AE}}
request: {{{request}, elements: {list(elements)!r}{named}}}
output: {{directory: out}}
"""
    return Plan(parse(text, "c.yml", {}).config)


def errors(made: Plan) -> tuple[Finding, ...]:
    with pytest.raises(ConfigError) as caught:
        check(made)
    return caught.value.findings


def test_columns_override_or_add_to_the_fixed_elements(tmp_path: Path) -> None:
    made = plan(
        tmp_path,
        "(0010,0020),StudyDate,SubjectID\n2,20200101,S1\n",
        ("QueryRetrieveLevel=STUDY", "PatientID=1", "PatientName"),
        "type: c-find, carry: [SubjectID]",
    )
    (request,) = made
    assert request.keys == (
        Key("QueryRetrieveLevel", "STUDY"),
        Key("PatientID", "2"),
        Key("PatientName"),
        Key("StudyDate", "20200101"),
    )
    assert made.columns == ("QueryRetrieveLevel", "PatientID", "PatientName", "StudyDate")
    assert made.carried == ("SubjectID",)
    assert request.carried == (("SubjectID", "S1"),)
    assert (request.row, request.type, request.model) == (2, RequestType.FIND, "patient")


def test_a_plan_can_be_read_again(tmp_path: Path) -> None:
    made = plan(tmp_path, "SeriesInstanceUID\n1.1\n1.2\n")
    assert list(made) == list(made)
    assert [request.row for request in made] == [2, 3]


def test_without_a_batch_file_there_is_a_single_request(tmp_path: Path) -> None:
    (request,) = plan(tmp_path, None, ("QueryRetrieveLevel=STUDY", "StudyInstanceUID=1.2"))
    assert request.row == 1
    assert request.value("StudyInstanceUID") == "1.2"


def test_an_echo_is_one_request_without_keys(tmp_path: Path) -> None:
    made = plan(tmp_path, "PatientID\n1\n2\n", request="type: c-echo")
    assert [request.keys for request in made] == [()]
    assert check(made) == ()


@pytest.mark.parametrize(
    "other",
    [
        "SeriesInstanceUID;StudyInstanceUID\n1.1.2;1.1\n1.1.1;1.1\n",
        "\ufeffStudyInstanceUID,SeriesInstanceUID\r\n1.1,1.1.1\r\n1.1,1.1.2\r\n",
        '"(0020,000D)",0020000e,PatientID\n 1.1 ,1.1.1,\n\n1.1,1.1.2,\n',
    ],
)
def test_an_edited_file_keeps_the_identities_of_its_rows(tmp_path: Path, other: str) -> None:
    first = plan(tmp_path, "StudyInstanceUID,SeriesInstanceUID\n1.1,1.1.1\n1.1,1.1.2\n")
    before = {request.identity for request in first}
    assert len(before) == 2
    assert {request.identity for request in plan(tmp_path, other)} == before


@given(st.permutations([Key("PatientID", "1"), Key("StudyDate", "2"), Key("Modality", "")]))
def test_an_identity_knows_no_order(keys: list[Key]) -> None:
    expected = identity("A", RequestType.FIND, "study", tuple(sorted(keys, key=str)))
    assert identity("A", RequestType.FIND, "study", tuple(keys)) == expected


def test_an_identity_is_of_archive_type_model_and_values() -> None:
    keys = (Key("PatientID", "1"),)
    found = {
        identity("A", RequestType.FIND, "study", keys),
        identity("B", RequestType.FIND, "study", keys),
        identity("A", RequestType.MOVE, "study", keys),
        identity("A", RequestType.FIND, "patient", keys),
        identity("A", RequestType.FIND, "study", (Key("PatientID", "2"),)),
        identity("A", RequestType.FIND, "study", (Key("StudyID", "1"),)),
    }
    assert len(found) == 6
    assert all(len(one) == 64 for one in found)


@pytest.mark.parametrize("value", ["", "*", "?", "**?", "1.2\\*", "1.2\\\\1.3", "1.2\\"])
def test_a_unique_key_that_means_everything_never_leaves_in_a_move(
    tmp_path: Path, value: str
) -> None:
    """F10."""
    made = plan(tmp_path, f"StudyInstanceUID,SeriesInstanceUID\n1.1,1.1.1\n1.1,{value}\n")
    (found,) = errors(made)
    assert found.line == 3
    assert "SeriesInstanceUID" in found.problem
    assert found.file.endswith("b.csv")


def test_a_move_without_any_value_never_leaves(tmp_path: Path) -> None:
    assert "everything" in errors(plan(tmp_path, None))[0].problem
    made = plan(tmp_path, "StudyInstanceUID\n1.1\n*\n")
    assert [one.line for one in errors(made)] == [3]
    own = plan(tmp_path, None, ("QueryRetrieveLevel=STUDY", "StudyInstanceUID"))
    assert "StudyInstanceUID" in errors(own)[0].problem


def test_an_accession_number_alone_is_sent_with_a_warning(tmp_path: Path) -> None:
    made = plan(tmp_path, "AccessionNumber\n1\n2\n", ("QueryRetrieveLevel=STUDY",))
    told = "\n".join(map(str, check(made)))
    assert "without StudyInstanceUID and depends on AccessionNumber" in told
    assert told.count("is not a unique key") == 1
    assert "(lines 2, 3)" in told


def test_a_blank_patient_in_study_root_is_sent_with_a_warning(tmp_path: Path) -> None:
    made = plan(tmp_path, "PatientID,StudyInstanceUID\n,1.1\n", ("QueryRetrieveLevel=STUDY",))
    assert ["PatientID is empty" in one.problem for one in check(made)] == [True]
    assert len(list(made)) == 1


def test_a_find_may_ask_for_everything(tmp_path: Path) -> None:
    made = plan(tmp_path, None, ("QueryRetrieveLevel=STUDY", "StudyInstanceUID"), "type: c-find")
    assert all("relational" in one.problem for one in check(made))


@pytest.mark.parametrize(
    ("elements", "problem"),
    [
        (("PatientID=1",), "QueryRetrieveLevel is missing"),
        (("QueryRetrieveLevel=SERIE",), "QueryRetrieveLevel is not one of the levels"),
    ],
)
def test_a_request_needs_a_level(tmp_path: Path, elements: tuple[str, ...], problem: str) -> None:
    assert errors(plan(tmp_path, None, elements, "type: c-find"))[0].problem == problem


def test_a_level_that_the_model_does_not_have_is_a_warning(tmp_path: Path) -> None:
    elements = ("QueryRetrieveLevel=PATIENT", "PatientID=1")
    told = [one.problem for one in check(plan(tmp_path, None, elements))]
    assert any("Study Root has no PATIENT level" in one for one in told)


def test_a_value_that_cannot_be_sent_is_found_before_anything_is(tmp_path: Path) -> None:
    made = plan(
        tmp_path,
        "Rows,PatientName\n5,a\nsix,b\n7,山田\n",
        ("QueryRetrieveLevel=IMAGE",),
        "type: c-find",
        ", charset: ISO_IR 100",
    )
    found = errors(made)
    assert [one.line for one in found] == [3, 4]
    assert "six" not in str(found[0])


def test_no_more_than_fifty_findings_are_told(tmp_path: Path) -> None:
    made = plan(tmp_path, "SeriesInstanceUID\n" + "*\n" * 500)
    found = errors(made)
    assert len(found) == 51
    assert "more" in found[-1].problem


def test_a_bad_row_stops_an_iteration_too(tmp_path: Path) -> None:
    made = plan(tmp_path, "SeriesInstanceUID\n1.1\n1,2\n")
    with pytest.raises(ConfigError):
        list(made)


def test_equal_rows_are_told_and_share_an_identity(tmp_path: Path) -> None:
    made = plan(tmp_path, "SeriesInstanceUID\n1.1\n1.2\n1.1\n" + "1.2\n" * 7)
    told = [one for one in check(made) if "same as an earlier" in one.problem]
    assert "8 rows" in told[0].problem
    assert "4 (as 2), 5 (as 3)" in told[0].problem
    assert "and 3 more" in told[0].problem
    assert len({request.identity for request in made}) == 2


def test_an_empty_cell_that_takes_a_fixed_value_away_is_told(tmp_path: Path) -> None:
    elements = ("QueryRetrieveLevel=STUDY", "PatientID=1")
    made = plan(tmp_path, "PatientID,StudyDate\n,2020\n", elements, "type: c-find")
    assert any("takes away" in one.problem for one in check(made))


def test_carried_columns_need_a_batch_file(tmp_path: Path) -> None:
    assert "no batch file" in errors(plan(tmp_path, request="type: c-find, carry: A"))[0].problem


@given(st.text(alphabet="*? \0\\", max_size=9))
def test_wildcards_and_nothing_else_are_blank(value: str) -> None:
    assert is_blank(value)
    assert not is_blank("1.2")


def test_the_samples_are_sound() -> None:
    folder = Path(__file__).parents[2]
    for kind, count in (("find", 3), ("move", 3)):
        text = (folder / f"config/sample-c-{kind}-config.yml").read_text()
        text = text.replace("config/sample", f"{folder}/config/sample")
        made = Plan(parse(text, "c.yml", {}).config)
        check(made)
        assert len(list(made)) == count
