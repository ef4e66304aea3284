"""Laws of windows over a whole year, with zoneinfo as the oracle."""

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pydicombatch.runner.schedule import Schedule, Window
from tests.support.wall_oracle import (
    QUARTER,
    ZONES,
    is_inside,
    latest_shown,
    shown,
    year_of,
    zone,
)

YEAR = 2018  # America/Sao_Paulo and Africa/Casablanca still change their clocks
FIRST, QUARTERS = year_of(YEAR)
LAST = FIRST + QUARTERS * QUARTER
WEEKDAYS = st.frozensets(st.integers(0, 6), min_size=1)
EXCEPTED = st.frozensets(st.dates(date(YEAR, 1, 1), date(YEAR, 12, 31)), max_size=5)


def windows(step: int) -> st.SearchStrategy[tuple[Window, ...]]:
    """Windows on a grid of so many minutes."""
    minute = st.integers(0, 24 * 60 // step - 1).map(lambda number: number * step)
    end = st.integers(0, 24 * 60 // step).map(lambda number: number * step)
    window = st.builds(Window, WEEKDAYS, minute, end)
    return st.lists(window, min_size=1, max_size=3).map(tuple)


def schedules(step: int) -> st.SearchStrategy[Schedule]:
    return st.builds(Schedule, windows(step), st.sampled_from(ZONES), EXCEPTED)


def instants() -> st.SearchStrategy[datetime]:
    seconds = int((LAST - FIRST).total_seconds())
    anywhere = st.integers(0, seconds - 1).map(lambda number: FIRST + timedelta(seconds=number))
    # Half of them near the days on which clocks change, in the one zone or the other.
    changes = ["02-18", "03-11", "03-25", "04-01", "05-13", "06-17", "10-07", "10-28", "11-04"]
    near = st.tuples(st.sampled_from(changes), st.integers(-86_400, 172_800)).map(
        lambda both: (
            datetime.fromisoformat(f"{YEAR}-{both[0]}").replace(tzinfo=UTC)
            + timedelta(seconds=both[1])
        )
    )
    return st.one_of(anywhere, near)


def plain(schedule: Schedule) -> list[tuple[frozenset[int], int, int]]:
    return [(window.days, window.start, window.end) for window in schedule.windows]


def open_quarters(schedule: Schedule) -> list[bool]:
    return [
        is_inside(wall, plain(schedule), schedule.excepted)
        for wall in latest_shown(schedule.timezone, FIRST, QUARTERS)
    ]


@settings(max_examples=25, deadline=None)
@given(schedules(15))
def test_the_open_seconds_of_a_year_are_those_of_the_oracle(schedule: Schedule) -> None:
    """F35."""
    opened = sum(open_quarters(schedule)) * QUARTER.total_seconds()
    assert schedule.open_seconds(FIRST, LAST) == opened


@settings(max_examples=10, deadline=None)
@given(windows(15))
def test_the_open_seconds_of_the_year_in_which_samoa_skipped_a_day(
    some: tuple[Window, ...],
) -> None:
    schedule = Schedule(some, "Pacific/Apia")
    first, quarters = year_of(2011)
    walls = latest_shown("Pacific/Apia", first, quarters)
    opened = sum(is_inside(wall, plain(schedule), frozenset()) for wall in walls) * QUARTER
    last = first + quarters * QUARTER
    assert schedule.open_seconds(first, last) == opened.total_seconds()


@settings(max_examples=25, deadline=None)
@given(schedules(15))
def test_walking_through_a_year_meets_every_opening_and_closing_once(schedule: Schedule) -> None:
    """F35."""
    expected = open_quarters(schedule)
    actual = [False] * QUARTERS
    at: datetime | None = FIRST
    while at is not None and (opening := schedule.opens_at(at)) and opening < LAST:
        closing = schedule.closes_at(opening) or LAST
        assert at <= opening < closing
        first, last = (opening - FIRST) // QUARTER, (min(closing, LAST) - FIRST) // QUARTER
        assert not any(actual[first:last])
        actual[first:last] = [True] * (last - first)
        at = closing
        assert not schedule.is_open(closing) or closing >= LAST
    assert actual == expected


@settings(max_examples=300, deadline=None)
@given(schedules(1), instants())
def test_outside_a_repeated_hour_the_wall_clock_decides(schedule: Schedule, now: datetime) -> None:
    wall = shown(schedule.timezone, now)
    local = wall.replace(tzinfo=zone(schedule.timezone))
    once = local.replace(fold=0).utcoffset() == local.replace(fold=1).utcoffset()
    inside = is_inside(wall, plain(schedule), schedule.excepted)
    assert not once or schedule.is_open(now) == inside


@settings(max_examples=300, deadline=None)
@given(schedules(1), instants())
def test_the_opening_is_the_first_open_instant(schedule: Schedule, now: datetime) -> None:
    opening = schedule.opens_at(now)
    assert opening is not None
    assert opening >= now
    assert schedule.is_open(opening)
    assert schedule.is_open(now) == (opening == now)
    assert schedule.open_seconds(now, opening) == 0
    if opening > now:
        assert not schedule.is_open(opening - timedelta(microseconds=1))


@settings(max_examples=300, deadline=None)
@given(schedules(1), instants())
def test_the_closing_is_the_first_closed_instant(schedule: Schedule, now: datetime) -> None:
    closing = schedule.closes_at(now)
    if closing is None:
        later = now + timedelta(days=399)
        assert schedule.open_seconds(now, later) == (later - now).total_seconds()
        return
    assert closing >= now
    assert not schedule.is_open(closing)
    assert schedule.is_open(now) == (closing > now)
    assert schedule.open_seconds(now, closing) == (closing - now).total_seconds()
    if closing > now:
        assert schedule.is_open(closing - timedelta(microseconds=1))


@settings(max_examples=200, deadline=None)
@given(schedules(1), instants(), st.floats(0.0001, 6))
def test_work_is_done_once_its_seconds_have_been_open(
    schedule: Schedule, now: datetime, weeks: float
) -> None:
    seconds = weeks * schedule.open_seconds(now, now + timedelta(days=7))
    end = schedule.finish(now, seconds)
    assert end is not None
    assert schedule.open_seconds(now, end) == pytest.approx(seconds, abs=2e-6)
    if seconds > 1:
        just_before = end - timedelta(microseconds=10)
        assert schedule.open_seconds(now, just_before) < seconds  # it ends in open time


@settings(max_examples=100, deadline=None)
@given(schedules(1), st.tuples(instants(), instants(), instants()).map(sorted))
def test_open_seconds_add_up(schedule: Schedule, three: list[datetime]) -> None:
    first, middle, last = three
    parts = schedule.open_seconds(first, middle) + schedule.open_seconds(middle, last)
    assert schedule.open_seconds(first, last) == pytest.approx(parts, abs=1e-6)
    assert schedule.open_seconds(last, first) == 0 or first == last


@settings(max_examples=100, deadline=None)
@given(schedules(1), instants())
def test_the_order_of_windows_and_their_joints_do_not_matter(
    schedule: Schedule, now: datetime
) -> None:
    backwards = Schedule(schedule.windows[::-1] * 2, schedule.timezone, schedule.excepted)
    assert backwards.opens_at(now) == schedule.opens_at(now)
    assert backwards.closes_at(now) == schedule.closes_at(now)
    assert backwards.finish(now, 1e5) == schedule.finish(now, 1e5)


@settings(max_examples=100, deadline=None)
@given(schedules(1), instants(), st.sampled_from(ZONES))
def test_the_zone_in_which_now_is_given_does_not_matter(
    schedule: Schedule, now: datetime, name: str
) -> None:
    same = now.astimezone(zone(name))
    assert schedule.is_open(same) == schedule.is_open(now)
    assert schedule.opens_at(same) == schedule.opens_at(now)
    assert schedule.nap(same) == schedule.nap(now)
