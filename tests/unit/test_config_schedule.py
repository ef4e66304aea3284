import pytest
from hypothesis import given
from hypothesis import strategies as st

from pydicombatch.config import parse
from pydicombatch.config.schedule import Schedule
from pydicombatch.core.errors import ConfigError

BASE = """\
pacs: {hostname: h, port: 104, aet: A}
local: {port: 4006, aet: B}
request: {type: c-find}
output: {directory: out}
schedule:
  enabled: yes
"""


def schedule(text: str) -> Schedule:
    return parse(BASE + text, "c.yml", {}).config.schedule


@pytest.mark.parametrize(
    ("days", "numbers"),
    [
        ("mon-fri", {0, 1, 2, 3, 4}),
        ("[mon-fri]", {0, 1, 2, 3, 4}),
        ("sat-mon", {5, 6, 0}),
        ("[Tuesday, thu]", {1, 3}),
        ("'mon, wed-thu'", {0, 2, 3}),
        ("SUN", {6}),
        ("mon-mon", {0}),
    ],
)
def test_days_are_named_alone_as_ranges_and_as_lists(days: str, numbers: set[int]) -> None:
    found = schedule(f"  windows: [{{days: {days}, start_time: 19:00, end_time: 24:00}}]")
    assert found.spans == ((frozenset(numbers), 19 * 60, 24 * 60),)


def test_a_window_without_days_is_one_of_every_day() -> None:
    found = schedule("  windows: [{start_time: 00:00, end_time: 24:00}]")
    assert found.spans == ((frozenset(range(7)), 0, 1440),)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "  start_time: 19:00",
        "  start_time: 24:00\n  end_time: 07:00",
        "  start_time: 19:60\n  end_time: 07:00",
        "  start_time: 7 pm\n  end_time: 07:00",
        "  start_time: 24:01\n  end_time: 07:00",
        "  start_time: 1:00\n  end_time: 7:00\n  windows: [{start_time: 1:00, end_time: 2:00}]",
        "  windows: [{start_time: 1:00}]",
        "  windows: [{days: funday, start_time: 1:00, end_time: 2:00}]",
        "  windows: [{days: mon-tue-wed, start_time: 1:00, end_time: 2:00}]",
        "  windows: [{days: [], start_time: 1:00, end_time: 2:00}]",
        "  start_time: 1:00\n  end_time: 7:00\n  at_end: explode",
    ],
)
def test_a_schedule_that_says_nothing_clear_is_refused(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        schedule(text)
    assert caught.value.findings[0].line >= 5


def test_a_schedule_that_is_off_is_always_open() -> None:
    off = BASE.replace("enabled: yes", "enabled: no\n  start_time: 19:00")
    assert parse(off, "c.yml", {}).config.schedule.spans == ()


def test_a_time_zone_is_known_in_any_case() -> None:
    found = schedule("  start_time: 1:00\n  end_time: 2:00\n  timezone: europe/amsterdam")
    assert found.timezone == "Europe/Amsterdam"


@given(st.integers(0, 1439), st.integers(0, 1440))
def test_every_pair_of_times_is_a_window(start: int, end: int) -> None:
    times = [f"{minute // 60}:{minute % 60:02}" for minute in (start, end)]
    text = f"  start_time: {times[0]}\n  end_time: {times[1]}\n"
    assert schedule(text).spans == ((frozenset(range(7)), start, end),)


def test_excepted_dates_alone_leave_all_other_days_open() -> None:
    assert schedule("  except: [2026-12-25]").spans == ((frozenset(range(7)), 0, 1440),)
