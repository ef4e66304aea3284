"""The grammar of `select.where` against plain Python."""

import fnmatch
import re
from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pydicombatch.core.model import Key
from pydicombatch.select.condition import ConditionError, parse_condition
from pydicombatch.select.dates import matching, parse_days, parse_span, widened
from pydicombatch.select.rules import has_value
from pydicombatch.select.where import parse_where

TODAY = date(2026, 11, 21)
words = st.text("abXY 1.-", min_size=1, max_size=6).filter(
    lambda text: text == text.strip() and text.strip("^ ") == text
)
days = st.dates(date(1990, 1, 1), date(2040, 12, 31))


def holds(vr: str, raw: object, text: str) -> bool:
    return parse_condition(vr, raw).holds(text, TODAY)


@given(words, words)
def test_a_plain_text_is_compared_whole(wanted: str, found: str) -> None:
    assert holds("LO", wanted, found) is (wanted == found)


@given(st.lists(words, min_size=1, max_size=4), st.lists(words, min_size=1, max_size=3))
def test_a_list_is_any_of_its_entries_for_any_of_the_values(
    wanted: list[str], found: list[str]
) -> None:
    whole = "\\".join(found)
    assert holds("LO", wanted, whole) is bool(set(wanted) & {whole, *found})


@given(st.lists(words, min_size=1, max_size=4), words)
def test_negated_entries_are_none_of_them(unwanted: list[str], found: str) -> None:
    assert holds("LO", [f"!{one}" for one in unwanted], found) is (found not in unwanted)


@given(st.lists(words, min_size=1), st.lists(words, min_size=1), words)
def test_a_list_with_both_is_one_of_these_and_none_of_those(
    wanted: list[str], unwanted: list[str], found: str
) -> None:
    raw = [*wanted, *(f"!{one}" for one in unwanted)]
    assert holds("LO", raw, found) is (found in wanted and found not in unwanted)


@given(st.text("ab*?", min_size=1, max_size=6), st.text("ab*?", min_size=1, max_size=6))
def test_a_wildcard_is_that_of_a_shell(pattern: str, found: str) -> None:
    if not {"*", "?"} & set(pattern):
        pattern += "*"
    assert holds("LO", pattern, found) is fnmatch.fnmatchcase(found, pattern)


@given(st.sampled_from([">=", "<=", ">", "<", "="]), st.integers(-99, 99), st.integers(-99, 99))
def test_numbers_are_compared_as_numbers(sign: str, limit: int, found: int) -> None:
    wanted = eval(f"{found} {'==' if sign == '=' else sign} {limit}")
    assert holds("IS", f"{sign} {limit}", f"{found:+05d}") is wanted
    assert holds("IS", f"!{sign} {limit}", str(found)) is not wanted


@given(st.integers(0, 50), st.integers(0, 50), st.integers(0, 50))
def test_a_range_of_numbers_has_both_its_ends(low: int, high: int, found: int) -> None:
    assert holds("DS", f"{low}..{high}", f"{found}.0") is (low <= found <= high)


@given(days, days, days)
def test_a_range_of_dates_has_both_its_ends(first: date, last: date, found: date) -> None:
    first, last = min(first, last), max(first, last)
    within = first <= found <= last
    for text in (f"{first:%Y%m%d}-{last:%Y%m%d}", f"{first}..{last}"):
        assert holds("DA", text, f"{found:%Y%m%d}") is within


@given(st.integers(0, 400), st.integers(0, 400), st.integers(-500, 500))
def test_relative_dates_count_from_today(before: int, after: int, away: int) -> None:
    found = TODAY + timedelta(days=away)
    text = f"today-{before}..today+{after}"
    assert holds("DA", text, f"{found:%Y%m%d}") is (-before <= away <= after)
    assert holds("DA", f">= today-{before}", f"{found:%Y%m%d}") is (away >= -before)


@given(st.lists(days, min_size=1, max_size=3), days)
def test_a_narrowed_query_cuts_off_nothing_that_fits(wanted: list[date], found: date) -> None:
    where, wrong = parse_where({"StudyDate": [f"{one:%Y%m%d}" for one in wanted]})
    assert not wrong
    key = Key("StudyDate", where.date_key("StudyDate", TODAY))
    text = f"{found:%Y%m%d}"
    if where.may_hold({"StudyDate": text}, TODAY, lambda _: True):
        assert has_value(key, text)


@given(days, st.integers(1, 1000), st.integers(-2000, 2000))
def test_a_tolerance_reaches_as_far_on_both_sides(day: date, width: int, away: int) -> None:
    around = widened(f"{day:%Y%m%d}", width)
    found = f"{day + timedelta(days=away):%Y%m%d}"
    assert has_value(Key("StudyDate", around), found) is (abs(away) <= width)


def test_ranges_and_nothing_are_not_widened() -> None:
    assert widened("", 3) == ""
    assert widened("20200101-20200105", 3) == "20200101-20200105"
    assert matching(*parse_span("-20200105").on(TODAY)) == "-20200105"
    assert [parse_days(text) for text in ("3 days", "3d", "3", "1 day")] == [3, 3, 3, 1]


def test_what_is_missing_is_dropped_unless_it_is_kept() -> None:
    assert not holds("CS", "CHEST", "")
    assert holds("CS", {"any": ["CHEST"], "missing": "keep"}, "")
    assert holds("LO", "!/scout/i", ""), "nothing is there that is excluded"
    assert not holds("LO", {"any": "!/scout/i", "missing": "drop"}, "")


def test_a_regular_expression_is_found_anywhere() -> None:
    assert holds("LO", "/mammo/i", "Screening MAMMOGRAPHY")
    assert not holds("LO", "/mammo/", "Screening MAMMOGRAPHY")
    assert not holds("LO", "!/scout|localizer/i", "3-plane Localizer")


def test_ages_and_times_have_an_order() -> None:
    assert holds("AS", ">= 18", "045Y")
    assert not holds("AS", ">= 18", "011M")
    assert [holds("AS", "18..65", age) for age in ("017Y", "018Y", "065Y", "066Y", "900W")] == [
        False, True, True, False, False,
    ]  # fmt: skip
    assert [holds("AS", "..1", age) for age in ("011M", "012M", "002Y")] == [True, True, False]
    assert [holds("AS", one, "045Y") for one in ("45", "045Y", "44")] == [True, True, False]
    with pytest.raises(ConditionError):
        parse_condition("AS", "18..old")
    assert holds("TM", "0800-1730", "173059.5")
    assert not holds("TM", ">= 12", "1159")


@given(
    st.lists(st.dictionaries(st.sampled_from(["Modality", "StudyID"]), words, min_size=1)),
    words,
    words,
)
def test_alternatives_are_any_of_the_maps(
    maps: list[dict[str, str]], modality: str, study: str
) -> None:
    where, wrong = parse_where(maps)
    assert not wrong
    found = {"Modality": modality, "StudyID": study}
    wanted = any(all(found[name] == text for name, text in one.items()) for one in maps)
    assert where.may_hold(found, TODAY, lambda _: True) is (wanted or not maps)
    if wanted:  # what is not known yet never decides against it
        assert where.may_hold({}, TODAY, lambda _: False)


@pytest.mark.parametrize(
    ("vr", "raw"),
    [
        ("IS", "abc"), ("IS", ">= x"), ("DA", "20201301"), ("DA", "last week"), ("DA", ">= 5"),
        ("DA", "20200105-20200101"), ("TM", "abc"), ("TM", "> 12"), ("LO", ""), ("LO", "!"),
        ("LO", []), ("LO", {"none": "x"}), ("LO", {"any": "x", "missing": "maybe"}),
        ("LO", "/a(/"), ("LO", "/a/x"), ("LO", [["a"]]), ("IS", ".."), ("IS", "1..x"),
    ],
)  # fmt: skip
def test_nonsense_is_refused(vr: str, raw: object) -> None:
    with pytest.raises(ConditionError):
        parse_condition(vr, raw)


@given(st.text(max_size=12), st.sampled_from(["LO", "IS", "DA", "TM", "UI"]), st.text(max_size=12))
def test_no_text_makes_it_fail_otherwise(raw: str, vr: str, found: str) -> None:
    try:
        condition = parse_condition(vr, raw)
    except ConditionError:
        return
    assert condition.holds(found, TODAY) in {True, False}


def test_identifiers_are_compared_exactly() -> None:
    assert has_value(Key("AccessionNumber", "A1"), "A1")
    assert not has_value(Key("AccessionNumber", "A1"), "A12")
    assert not has_value(Key("PatientID", "p1"), "P1")
    assert re.fullmatch(r"P1.*", "P12")
    assert has_value(Key("PatientID", "P1*"), "P12")
    assert not has_value(Key("PatientID", "P1"), "")
