"""PS3.4 C.2.2.2 against naive references."""

import re
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import Dataset

from pydicombatch.core.moments import interval, moment
from pydicombatch.core.wildcards import wildcard_matches
from pydicombatch.demo.matching import matches, texts, values_match

LETTERS = st.text(alphabet="ab*?^\n", max_size=12)
DAYS = st.dates(date(1900, 1, 1), date(2099, 12, 31))


def regular_expression_matches(pattern: str, text: str) -> bool:
    """The reference: each character of the pattern as a regular expression."""
    parts = {"*": ".*", "?": "."}
    expression = "".join(parts.get(c, re.escape(c)) for c in pattern)
    return re.fullmatch(expression, text, re.DOTALL) is not None


def identifier(**values: object) -> Dataset:
    ds = Dataset()
    for keyword, value in values.items():
        setattr(ds, keyword, value)
    return ds


@given(LETTERS, LETTERS)
def test_wildcards_match_what_the_regular_expression_matches(pattern: str, text: str) -> None:
    assert wildcard_matches(pattern, text) == regular_expression_matches(pattern, text)


def test_a_hostile_pattern_ends_at_once() -> None:
    assert not wildcard_matches("*a" * 5000 + "b", "a" * 2000)


@given(DAYS, DAYS, DAYS)
def test_a_date_range_holds_the_days_between_its_ends(first: date, last: date, day: date) -> None:
    key = f"{first:%Y%m%d}-{last:%Y%m%d}"
    assert values_match("DA", [key], [f"{day:%Y%m%d}"]) == (first <= day <= last)


@given(DAYS, DAYS)
def test_an_open_date_range_has_one_end(end: date, day: date) -> None:
    assert values_match("DA", [f"{end:%Y%m%d}-"], [f"{day:%Y%m%d}"]) == (day >= end)
    assert values_match("DA", [f"-{end:%Y%m%d}"], [f"{day:%Y%m%d}"]) == (day <= end)
    assert values_match("DA", [f"{end:%Y%m%d}"], [f"{day:%Y%m%d}"]) == (day == end)


@given(st.times(), st.times(), st.times())
def test_a_time_range_holds_the_times_between_its_ends(first, last, now) -> None:  # type: ignore[no-untyped-def]  # noqa: ANN001
    key = f"{first:%H%M%S.%f}-{last:%H%M%S.%f}"
    assert values_match("TM", [key], [f"{now:%H%M%S.%f}"]) == (first <= now <= last)


@pytest.mark.parametrize(
    ("vr", "key", "value", "expected"),
    [
        ("TM", "10", "103059.5", True),
        ("TM", "1030-1045", "104559.9", True),
        ("TM", "1030-1045", "104600", False),
        ("TM", "10:30-10:45", "10:44:00", True),
        ("DA", "2024.01.31", "20240131", True),
        ("DT", "2024", "20240131120000", True),
        ("DT", "2023-2024", "20240131120000", True),
        ("DT", "20240131120000-0500", "20240131170000+0000", True),
        ("DT", "20240131120000-0500", "20240131120000+0000", False),
        ("DT", "20240131120000-0500-20240131130000-0500", "20240131173000+0000", True),
        ("DT", "20240131120000-0500-", "20240131165959+0000", False),
        ("DT", "-20240131120000+0100", "20240131110000+0000", True),
        ("DT", "-1200", "1100", True),
    ],
)
def test_moments_match_as_precisely_as_they_are_written(
    vr: str, key: str, value: str, *, expected: bool
) -> None:
    assert interval(vr, key).holds(moment(vr, value)) is expected


@given(st.sampled_from(["DA", "TM", "DT"]), st.text(max_size=30), st.text(max_size=30))
def test_no_text_makes_a_moment_raise(vr: str, key: str, value: str) -> None:
    assert interval(vr, key).holds(moment(vr, value)) in {True, False}


@given(st.lists(st.sampled_from("12345"), max_size=4), st.sampled_from("12345"))
def test_a_list_of_uids_matches_any_of_them(wanted: list[str], held: str) -> None:
    keys = [f"1.2.{one}" for one in wanted]
    assert values_match("UI", keys, [f"1.2.{held}"]) == (not wanted or held in wanted)


@given(st.sampled_from(["LO", "PN", "UI", "DA", "IS", "CS"]), st.lists(st.text(), max_size=3))
def test_an_empty_key_matches_everything(vr: str, values: list[str]) -> None:
    assert values_match(vr, [], values)
    assert values_match(vr, ["", ""], values)


def test_a_lone_asterisk_matches_an_absent_value_where_wildcards_are_known() -> None:
    assert values_match("LO", ["*"], [])
    assert not values_match("UI", ["*"], ["1.2"])
    assert not values_match("LO", ["?*"], [])


def test_a_person_name_matches_without_case_and_absent_components() -> None:
    assert values_match("PN", ["prüf*"], ["Prüfkörper^Zoé"])
    assert values_match("PN", ["PHANTOM^ADA^^^"], ["Phantom^Ada"])
    assert not values_match("LO", ["prüf*"], ["Prüfkörper"])


def test_numbers_match_by_their_value() -> None:
    assert values_match("IS", ["01"], ["1"])
    assert values_match("DS", ["1.50"], ["1.5"])
    assert not values_match("IS", ["x"], ["1"])


def test_one_value_of_several_is_enough() -> None:
    assert matches(identifier(ModalitiesInStudy="CT"), identifier(ModalitiesInStudy=["CT", "SR"]))
    assert not matches(
        identifier(ModalitiesInStudy="MR"), identifier(ModalitiesInStudy=["CT", "SR"])
    )


def test_an_element_the_entity_does_not_know_is_not_matched_against() -> None:
    assert matches(identifier(PatientID="1", ProtocolName="x"), identifier(PatientID="1"))


def test_an_empty_element_matches_no_value() -> None:
    assert not matches(identifier(StudyDescription="x"), identifier(StudyDescription=""))
    assert not matches(identifier(StudyDescription="x*"), identifier(StudyDescription=None))


def test_a_sequence_matches_by_the_keys_of_its_item() -> None:
    item = identifier(RequestedProcedureID="RP-1", ScheduledProcedureStepID="")
    held = identifier(RequestAttributesSequence=[item])

    def asks(**keys: str) -> bool:
        return matches(identifier(RequestAttributesSequence=[identifier(**keys)]), held)

    assert asks(RequestedProcedureID="RP-1")
    assert asks(RequestedProcedureID="RP-?")
    assert not asks(RequestedProcedureID="RP-2")
    assert not asks(ScheduledProcedureStepID="1")
    assert not asks(RequestedProcedureID="RP-1", RequestedProcedureDescription="absent")
    assert asks(RequestedProcedureID="RP-1", RequestedProcedureDescription="")
    assert matches(identifier(RequestAttributesSequence=[]), held)


def test_an_item_without_values_restricts_nothing_even_where_there_are_no_items() -> None:
    keys = identifier(RequestAttributesSequence=[identifier(RequestedProcedureID="")])
    assert matches(keys, identifier(RequestAttributesSequence=[]))


def test_padding_is_no_part_of_a_value() -> None:
    ds = identifier(PatientID=" 1 ")
    assert texts(ds["PatientID"]) == ("1",)
