"""Windows computed a second way, with zoneinfo: which quarters of an hour are open.

The time zone rules are read from pytz's own files, so that both sides know the same laws of
every country and only the arithmetic is compared.
"""

from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from importlib.resources import files
from zoneinfo import ZoneInfo

QUARTER = timedelta(minutes=15)
ZONES = (
    "UTC",
    "America/New_York",
    "Europe/London",
    "Australia/Lord_Howe",
    "Asia/Kathmandu",
    "Africa/Casablanca",
    "America/Havana",  # changes at midnight
    "America/Sao_Paulo",
    "Europe/Dublin",
    "Pacific/Apia",
)


@lru_cache
def zone(name: str) -> ZoneInfo:
    with files("pytz").joinpath("zoneinfo", *name.split("/")).open("rb") as file:
        return ZoneInfo.from_file(file, key=name)


def shown(name: str, instant: datetime) -> datetime:
    """Return what the local clock shows, naive."""
    return instant.astimezone(zone(name)).replace(tzinfo=None)


@lru_cache
def latest_shown(name: str, start: datetime, quarters: int) -> tuple[datetime, ...]:
    """Return, for every quarter of an hour from `start`, the latest time shown so far.

    It is the wall clock that stands still while an hour is repeated: a window whose start it has
    passed has opened, a window whose end it has passed has closed.
    """
    before = 8 * 24 * 4
    latest = shown(name, start - before * QUARTER)
    found = []
    for number in range(-before, quarters):
        latest = max(latest, shown(name, start + number * QUARTER))
        if number >= 0:
            found.append(latest)
    return tuple(found)


def is_inside(
    wall: datetime, windows: list[tuple[frozenset[int], int, int]], excepted: frozenset[date]
) -> bool:
    """Whether a wall-clock time lies in a window (days, first and last minute of the day)."""
    for back in (0, 1):
        day = wall.date() - timedelta(days=back)
        minutes = (wall - datetime.combine(day, time())).total_seconds() / 60
        for days, start, end in windows:
            last = end if end > start else end + 24 * 60
            if day.weekday() in days and day not in excepted and start <= minutes < last:
                return True
    return False


def year_of(number: int) -> tuple[datetime, int]:
    """Return the first instant of a year in UTC and its quarters of an hour."""
    first = datetime(number, 1, 1, tzinfo=UTC)
    return first, (datetime(number + 1, 1, 1, tzinfo=UTC) - first) // QUARTER
