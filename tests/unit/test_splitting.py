"""A range of dates cut down to minutes asks for exactly what the whole did (fault F12)."""

from datetime import date, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pydicombatch.core.matching import Fit, fit
from pydicombatch.core.model import Key
from pydicombatch.runner.splitting import LAST_SECOND, Span, halves, spans

TODAY = date(2026, 11, 21)
DAYS = st.dates(date(1890, 1, 1), date(2030, 1, 1))


def leaves(span: Span, smallest: int = 0) -> list[Span]:
    """Cut until nothing can be cut, or so many times."""
    waiting: list[Span] = [span]
    done: list[Span] = []
    while waiting:
        one = waiting.pop()
        cut = halves(one, TODAY) if len(waiting) + len(done) < (smallest or 10**6) else ()
        waiting.extend(cut)
        if not cut:
            done.append(one)
    return done


def keys(span: Span) -> dict[str, str]:
    return {key.path: key.value for key in span.keys((Key("StudyDate", "x"),))}


def holds(span: Span, day: date, second: int) -> bool:
    asked = keys(span)
    time = f"{second // 3600:02}{second // 60 % 60:02}{second % 60:02}.5"
    is_day = fit("DA", asked["StudyDate"], f"{day:%Y%m%d}") is Fit.MATCHES
    return is_day and fit("TM", asked.get("StudyTime", ""), time) is Fit.MATCHES


@given(DAYS, DAYS, DAYS, st.integers(0, LAST_SECOND), st.integers(1, 60))
@settings(max_examples=60)
def test_every_moment_of_a_range_lies_in_exactly_one_of_its_parts(
    one: date, other: date, day: date, second: int, parts: int
) -> None:
    first, last = sorted([one, other])
    cut = leaves(Span(first, last), parts)
    assert sum(holds(part, day, second) for part in cut) == (first <= day <= last)


@given(DAYS, st.sampled_from(["{}-", "-{}"]), DAYS, st.integers(1, 30))
@settings(max_examples=60)
def test_open_ends_are_asked_for_too(end: date, kind: str, day: date, parts: int) -> None:
    asked = kind.format(f"{end:%Y%m%d}")
    (span,) = spans((Key("StudyDate", asked),))
    inside = day >= end if kind == "{}-" else day <= end
    assert sum(holds(part, day, 5) for part in leaves(span, parts)) == inside


def test_a_day_is_cut_down_to_its_minutes() -> None:
    cut = leaves(Span(TODAY, TODAY))
    assert len(cut) == 24 * 60
    assert {one.end - one.start for one in cut} == {59}


def test_halves_of_a_day_are_asked_for_by_its_date_and_a_range_of_times() -> None:
    morning, evening = halves(Span(TODAY, TODAY), TODAY)
    assert keys(morning) == {"StudyDate": "20261121", "StudyTime": "000000-115959.999999"}
    assert keys(evening) == {"StudyDate": "20261121", "StudyTime": "120000-235959.999999"}


def test_times_that_were_asked_for_are_kept_to() -> None:
    (span,) = spans((Key("StudyDate", "20240101"), Key("StudyTime", "0800-0859")))
    assert (span.start, span.end) == (8 * 3600, 9 * 3600 - 1)
    assert len(leaves(span)) == 60


@pytest.mark.parametrize("times", ["10", "101500", "2200-0200", "0800-0900\\1000-1100"])
def test_a_day_is_not_cut_when_its_times_are_no_range_within_it(times: str) -> None:
    (span,) = spans((Key("StudyDate", "20240101"), Key("StudyTime", times)))
    assert halves(span, TODAY) == ()


@pytest.mark.parametrize(
    "text", ["", "*", "2024*", "2024", "-", "20241231-20240101", "20241301-20241302", "2024-01-01"]
)
def test_what_is_no_range_of_days_is_not_cut(text: str) -> None:
    assert spans((Key("StudyDate", text),)) == ()


def test_a_list_of_dates_is_one_span_each() -> None:
    found = spans((Key("StudyDate", "20240101\\20240301"),))
    assert [one.first for one in found] == [date(2024, 1, 1), date(2024, 3, 1)]


def test_a_day_that_its_month_does_not_have_is_the_nearest_within_the_range() -> None:
    (span,) = spans((Key("StudyDate", "20240230-20240431"),))
    assert (span.first, span.last) == (date(2024, 3, 1), date(2024, 4, 30))


def test_other_keys_stay_as_they_are_and_in_their_places() -> None:
    asked = (Key("PatientID", "P1"), Key("StudyTime"), Key("StudyDate", "2024"))
    part = Span(TODAY, TODAY + timedelta(days=2))
    assert part.keys(asked) == (
        Key("PatientID", "P1"), Key("StudyTime"), Key("StudyDate", "20261121-20261123"),
    )  # fmt: skip
