from datetime import UTC, date, datetime, timedelta, timezone
from math import inf, nan

import pytest

from pydicombatch.core.errors import ConfigError
from pydicombatch.runner.schedule import Schedule, Window

EVERY_DAY = frozenset(range(7))
WEEKDAYS = frozenset(range(5))
FRIDAY, SUNDAY = frozenset({4}), frozenset({6})
NIGHT = Window(EVERY_DAY, 19 * 60, 7 * 60)


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def minutes(text: str) -> int:
    hours, _, rest = text.partition(":")
    return int(hours) * 60 + int(rest)


def daily(start: str, end: str, zone: str = "UTC") -> Schedule:
    return Schedule((Window(EVERY_DAY, minutes(start), minutes(end)),), zone)


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        ("2026-01-05 18:59:59.999999", False),
        ("2026-01-05 19:00", True),  # start inclusive
        ("2026-01-05 23:59:59", True),
        ("2026-01-06 00:00", True),
        ("2026-01-06 06:59:59.999999", True),
        ("2026-01-06 07:00", False),  # end exclusive
        ("2026-01-06 12:00", False),
    ],
)
def test_a_window_over_midnight_is_open_from_its_start_up_to_its_end(
    now: str, expected: bool
) -> None:
    assert daily("19:00", "07:00").is_open(utc(now)) is expected


# Opening and closing of the window that is open at some time of the night of a clock change.
CHANGES = [
    # zone, window, asked at, opens, closes
    ("America/New_York", "22:00", "06:00", "2024-03-10 00:00", "2024-03-10 03:00", "10:00"),
    ("America/New_York", "02:30", "06:00", "2024-03-10 00:00", "2024-03-10 07:00", "10:00"),  # gap
    ("America/New_York", "01:00", "02:30", "2024-03-10 00:00", "2024-03-10 06:00", "07:00"),
    (
        "America/New_York",
        "01:30",
        "06:00",
        "2024-11-03 00:00",
        "2024-11-03 05:30",
        "11:00",
    ),  # twice
    ("America/New_York", "00:30", "01:30", "2024-11-03 00:00", "2024-11-03 04:30", "05:30"),
    ("America/New_York", "00:30", "02:00", "2024-11-03 00:00", "2024-11-03 04:30", "07:00"),
    ("Europe/London", "01:30", "05:00", "2024-03-31 00:00", "2024-03-31 01:00", "04:00"),
    ("Europe/London", "01:30", "05:00", "2024-10-27 00:00", "2024-10-27 00:30", "05:00"),
    ("Australia/Lord_Howe", "02:10", "04:00", "2024-10-05 12:00", "2024-10-05 15:30", "17:00"),
    ("Australia/Lord_Howe", "01:40", "04:00", "2024-04-06 12:00", "2024-04-06 14:40", "17:30"),
    ("Asia/Kathmandu", "22:00", "06:00", "2024-06-01 12:00", "2024-06-01 16:15", "00:15"),
    ("UTC", "22:00", "06:00", "2024-06-01 12:00", "2024-06-01 22:00", "06:00"),
    # Morocco puts its clocks back for Ramadan, 2024-03-10 03:00 to 2024-04-14 02:00.
    ("Africa/Casablanca", "02:30", "05:00", "2024-03-10 00:00", "2024-03-10 01:30", "05:00"),
    ("Africa/Casablanca", "02:30", "05:00", "2024-04-14 00:00", "2024-04-14 02:00", "04:00"),
    ("Africa/Casablanca", "02:30", "05:00", "2024-03-20 00:00", "2024-03-20 02:30", "05:00"),
    # A shift of the standard time itself: neither reading is daylight saving.
    ("Europe/Moscow", "01:30", "05:00", "2014-10-25 12:00", "2014-10-25 21:30", "02:00"),
    # Clocks put back from 01:00 to 00:00 and forward from 00:00 to 01:00.
    ("America/Havana", "00:00", "01:00", "2024-11-03 01:00", "2024-11-03 04:00", "06:00"),
    ("America/Havana", "00:00", "02:00", "2024-03-10 01:00", "2024-03-10 05:00", "06:00"),
    # 2011-12-30 was skipped: the 29th ended 24 hours before the 31st in name only.
    ("Pacific/Apia", "19:00", "07:00", "2011-12-30 00:00", "2011-12-30 05:00", "17:00"),
    ("Pacific/Apia", "12:00", "18:00", "2011-12-30 05:00", "2011-12-30 22:00", "04:00"),
]


@pytest.mark.parametrize(("zone", "start", "end", "asked", "opens", "closes"), CHANGES)
def test_a_window_keeps_to_the_local_clock_when_it_changes(
    zone: str, start: str, end: str, asked: str, opens: str, closes: str
) -> None:
    """F35."""
    schedule = daily(start, end, zone)
    opening = schedule.opens_at(utc(asked))
    assert opening == utc(opens)
    closing = schedule.closes_at(opening)
    assert closing is not None
    assert f"{closing:%H:%M}" == closes
    assert timedelta() < closing - opening < timedelta(hours=24)


def test_a_window_that_lies_in_a_skipped_hour_does_not_open_that_day() -> None:
    schedule = daily("02:10", "02:50", "America/New_York")
    assert schedule.opens_at(utc("2024-03-10 00:00")) == utc("2024-03-11 06:10")
    assert schedule.open_seconds(utc("2024-03-10 05:00"), utc("2024-03-11 05:00")) == 0


def test_windows_that_only_a_skipped_hour_parts_are_one() -> None:
    windows = (Window(EVERY_DAY, 60, 130), Window(EVERY_DAY, 170, 300))
    schedule = Schedule(windows, "America/New_York")
    assert schedule.closes_at(utc("2024-03-10 06:30")) == utc("2024-03-10 09:00")
    assert schedule.closes_at(utc("2024-03-11 05:30")) == utc("2024-03-11 06:10")


def test_the_day_that_samoa_skipped_has_no_window_of_its_own() -> None:
    friday = Schedule((Window(FRIDAY, 8 * 60, 17 * 60),), "Pacific/Apia")
    assert friday.opens_at(utc("2011-12-25 00:00")) == utc("2012-01-05 18:00")  # Friday 6 January


def test_after_a_clock_is_put_back_over_midnight_a_window_that_has_opened_stays_open() -> None:
    # Sao Paulo, 2018-02-18 00:00 became 2018-02-17 23:00.
    schedule = daily("23:30", "00:30", "America/Sao_Paulo")
    opening = utc("2018-02-18 01:30")
    assert schedule.opens_at(utc("2018-02-18 00:00")) == opening
    assert schedule.closes_at(opening) == utc("2018-02-18 03:30")
    assert all(schedule.is_open(opening + timedelta(minutes=number)) for number in range(120))


def test_a_clock_put_back_just_after_midnight_does_not_close_the_window_of_the_new_day() -> None:
    # St John's, 2010-11-07 00:01 became 2010-11-06 23:01.
    schedule = daily("00:00", "03:00", "America/St_Johns")
    opening = utc("2010-11-07 02:30")
    assert schedule.opens_at(utc("2010-11-07 01:00")) == opening
    assert schedule.is_open(utc("2010-11-07 03:00"))  # 23:30 on the 6th, once more
    assert schedule.closes_at(opening) == utc("2010-11-07 06:30")


@pytest.mark.parametrize("zone", ["UTC", "America/New_York", "Pacific/Apia"])
def test_equal_times_are_the_whole_day(zone: str) -> None:
    schedule = daily("19:00", "19:00", zone)
    assert schedule.closes_at(utc("2024-03-10 06:59")) is None
    assert schedule.opens_at(utc("2024-03-10 06:59")) == utc("2024-03-10 06:59")


def test_a_single_whole_day_starts_and_ends_at_the_same_time() -> None:
    schedule = Schedule((Window(FRIDAY, 19 * 60, 19 * 60),))
    assert schedule.opens_at(utc("2026-01-05 00:00")) == utc("2026-01-09 19:00")
    assert schedule.closes_at(utc("2026-01-09 19:00")) == utc("2026-01-10 19:00")


def test_a_window_may_end_at_twenty_four_hours() -> None:
    schedule = Schedule((Window(FRIDAY, 18 * 60, 24 * 60),))
    assert schedule.closes_at(utc("2026-01-09 20:00")) == utc("2026-01-10 00:00")


def test_adjoining_windows_are_one() -> None:
    weekend = Schedule(
        (
            Window(WEEKDAYS, 19 * 60, 7 * 60),
            Window(frozenset({5}), 7 * 60, 24 * 60),
            Window(SUNDAY, 0, 24 * 60),
            Window(frozenset({0}), 0, 7 * 60),
        )
    )
    friday_night = utc("2026-01-09 21:00")
    assert weekend.closes_at(friday_night) == utc("2026-01-12 07:00")
    assert weekend.open_seconds(utc("2026-01-09 19:00"), utc("2026-01-12 19:00")) == 60 * 3600


def test_overlapping_windows_are_one() -> None:
    windows = (Window(EVERY_DAY, 20 * 60, 22 * 60), Window(EVERY_DAY, 19 * 60, 7 * 60))
    schedule = Schedule(windows)
    assert schedule.opens_at(utc("2026-01-05 12:00")) == utc("2026-01-05 19:00")
    assert schedule.closes_at(utc("2026-01-05 21:00")) == utc("2026-01-06 07:00")
    assert schedule.open_seconds(utc("2026-01-05 12:00"), utc("2026-01-06 12:00")) == 12 * 3600


def test_a_weekday_is_that_of_the_local_start_of_a_window() -> None:
    schedule = Schedule((Window(SUNDAY, 22 * 60, 6 * 60),), "America/New_York")
    # Sunday 22:00 in New York is Monday 03:00 in UTC; Monday 05:59 is still Sunday's window.
    assert schedule.opens_at(utc("2026-01-10 00:00")) == utc("2026-01-12 03:00")
    assert schedule.is_open(utc("2026-01-12 10:59"))
    assert not schedule.is_open(utc("2026-01-11 10:00"))


def test_no_window_starts_on_an_excepted_day_but_that_of_the_eve_goes_on() -> None:
    schedule = Schedule((NIGHT,), "America/New_York", frozenset({date(2026, 12, 25)}))
    assert schedule.is_open(utc("2026-12-25 11:59"))  # 06:59 in New York, Christmas Eve's window
    assert schedule.opens_at(utc("2026-12-25 12:00")) == utc("2026-12-27 00:00")
    assert schedule.closes_at(utc("2026-12-25 06:00")) == utc("2026-12-25 12:00")


def test_an_excepted_day_cuts_a_schedule_that_is_always_open() -> None:
    schedule = Schedule((Window(EVERY_DAY, 0, 1440),), "UTC", frozenset({date(2026, 12, 25)}))
    assert schedule.closes_at(utc("2026-01-05 12:00")) == utc("2026-12-25 00:00")
    assert schedule.closes_at(utc("2026-12-24 12:00")) == utc("2026-12-25 00:00")
    assert schedule.opens_at(utc("2026-12-25 12:00")) == utc("2026-12-26 00:00")
    assert schedule.closes_at(utc("2026-12-26 00:00")) is None
    assert schedule.open_seconds(utc("2026-12-20 00:00"), utc("2027-01-01 00:00")) == 11 * 86400


def test_an_excepted_day_still_closes_the_morning_after_it() -> None:
    schedule = Schedule((Window(EVERY_DAY, 1140, 1140),), "UTC", frozenset({date(2026, 12, 25)}))
    assert schedule.closes_at(utc("2026-12-25 12:00")) == utc("2026-12-25 19:00")
    assert schedule.closes_at(utc("2026-12-26 12:00")) == utc("2026-12-26 12:00")
    assert schedule.opens_at(utc("2026-12-26 12:00")) == utc("2026-12-26 19:00")


def test_without_windows_it_is_always_open() -> None:
    schedule, now = Schedule(), utc("2026-01-05 12:00")
    assert schedule.is_open(now)
    assert schedule.opens_at(now) == now
    assert schedule.closes_at(now) is None
    assert schedule.finish(now, 3600) == utc("2026-01-05 13:00")
    assert schedule.open_seconds(now, now + timedelta(days=2)) == 2 * 86400
    assert schedule.open_seconds(now + timedelta(days=2), now) == 0


def test_a_window_on_no_day_never_opens() -> None:
    schedule, now = Schedule((Window(frozenset(), 0, 1440),)), utc("2026-01-05 12:00")
    assert not schedule.is_open(now)
    assert schedule.opens_at(now) is None
    assert schedule.closes_at(now) == now
    assert schedule.finish(now, 1) is None
    assert schedule.finish(now, 0) == now
    assert schedule.nap(now) == 30
    assert schedule.describe(now) == "outside its window, which does not open within 400 days"


@pytest.mark.parametrize(
    ("now", "hours", "expected"),
    [
        ("2026-01-05 12:00", 0, "2026-01-05 12:00"),
        ("2026-01-05 12:00", -1, "2026-01-05 12:00"),
        ("2026-01-05 12:00", 1, "2026-01-05 20:00"),
        ("2026-01-05 12:00", 12, "2026-01-06 07:00"),  # not the next evening
        ("2026-01-05 12:00", 12.5, "2026-01-06 19:30"),
        ("2026-01-06 06:00", 2, "2026-01-06 20:00"),
        ("2026-01-05 12:00", 12 * 365, "2027-01-05 07:00"),
    ],
)
def test_work_rests_while_its_window_is_closed(now: str, hours: float, expected: str) -> None:
    assert daily("19:00", "07:00").finish(utc(now), hours * 3600) == utc(expected)


def test_a_night_with_a_skipped_hour_holds_an_hour_less_of_work() -> None:
    schedule = daily("22:00", "06:00", "America/New_York")
    evening = utc("2024-03-10 02:00")
    assert schedule.finish(evening, 7 * 3600) == utc("2024-03-10 10:00")
    assert schedule.finish(evening, 7 * 3600 + 60) == utc("2024-03-11 02:01")


def test_a_week_of_summer_time_is_counted() -> None:
    # Brazil's north-east tried summer time from 2000-10-08 to 2000-10-15 only.
    schedule = daily("19:00", "07:00", "America/Recife")
    first, last = utc("2000-10-06 12:00"), utc("2000-10-20 12:00")
    by_hour = sum(schedule.is_open(first + timedelta(hours=number)) for number in range(14 * 24))
    assert schedule.open_seconds(first, last) == by_hour * 3600


@pytest.mark.parametrize("seconds", [inf, nan, 1e18])
def test_work_without_an_end_has_no_date(seconds: float) -> None:
    assert daily("19:00", "07:00").finish(utc("2026-01-05 12:00"), seconds) is None
    assert Schedule().finish(utc("2026-01-05 12:00"), seconds) is None


def test_work_of_more_than_ten_years_has_no_date() -> None:
    schedule = Schedule((Window(FRIDAY, 0, 1),))
    assert schedule.finish(utc("2026-01-05 12:00"), 522 * 60) is not None
    assert schedule.finish(utc("2026-01-05 12:00"), 523 * 60) is None


def test_an_estimate_leaves_out_the_time_that_was_closed() -> None:
    schedule = daily("19:00", "07:00")
    started, now = utc("2026-01-05 12:00"), utc("2026-01-06 20:00")  # 13 hours open so far
    assert schedule.estimate(started, now, 13, 26) == utc("2026-01-07 21:00")


@pytest.mark.parametrize(
    ("done", "expected"), [(0, None), (10, "2026-01-05 20:00"), (11, "2026-01-05 20:00")]
)
def test_an_estimate_needs_something_done_and_something_left(
    done: int, expected: str | None
) -> None:
    found = daily("19:00", "07:00").estimate(
        utc("2026-01-05 19:00"), utc("2026-01-05 20:00"), done, 10
    )
    assert found == (utc(expected) if expected else None)


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        ("2026-01-05 19:00", 0),
        ("2026-01-05 18:59:50", 10),
        ("2026-01-05 12:00", 30),  # the wall clock may be set while we sleep
        ("2026-01-05 18:59:59.5", 0.5),
    ],
)
def test_whoever_waits_looks_again_after_thirty_seconds_at_most(now: str, expected: float) -> None:
    assert daily("19:00", "07:00").nap(utc(now)) == expected


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        (
            "2026-11-21 18:00",
            "outside its window, waiting until 2026-11-21 19:00 (America/New_York)",
        ),
        (
            "2026-11-22 01:00",
            "inside its window, which is open until 2026-11-22 07:00 (America/New_York)",
        ),
    ],
)
def test_it_says_until_when_it_waits(now: str, expected: str) -> None:
    schedule = Schedule((NIGHT,), "America/New_York")
    assert schedule.describe(utc(now) + timedelta(hours=5)) == expected


def test_it_says_when_nothing_limits_it() -> None:
    now = utc("2026-01-05 12:00")
    assert Schedule().describe(now) == "no window is set, requests may leave at any time"
    assert daily("19:00", "19:00").describe(now) == "inside its window, which stays open"


def test_now_may_be_given_in_any_zone_but_not_in_none() -> None:
    schedule = daily("19:00", "07:00")
    east = datetime(2026, 1, 6, 4, 0, tzinfo=timezone(timedelta(hours=9)))
    assert schedule.opens_at(east) == utc("2026-01-05 19:00")
    with pytest.raises(ValueError, match="time zone"):
        schedule.is_open(datetime(2026, 1, 5, 19, 0))  # noqa: DTZ001 - that is the point


@pytest.mark.parametrize("zone", ["", "Mars/Phobos", "../zone", "Europe", "Zürich", "\0"])
def test_an_unknown_time_zone_is_an_error_of_the_configuration(zone: str) -> None:
    with pytest.raises(ConfigError, match="unknown") as caught:
        Schedule((NIGHT,), zone)
    assert "IANA" in caught.value.remedy


@pytest.mark.parametrize(
    ("days", "start", "end"),
    [
        ({7}, 0, 60),
        ({-1}, 0, 60),
        ({0}, -1, 60),
        ({0}, 1440, 60),
        ({0}, 0, 1441),
        ({0}, 0, -1),
    ],
)
def test_a_window_out_of_range_is_refused(days: set[int], start: int, end: int) -> None:
    with pytest.raises(ValueError, match=r"window|weekdays"):
        Window(frozenset(days), start, end)
