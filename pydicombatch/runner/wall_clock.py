"""What the local clock of a time zone shows, and when it first shows it. Pure.

A wall-clock time stands for the first instant at which the local clock shows that time or a
later one: of an hour that comes twice the first, of an hour that is skipped the moment of the
change. So the order of wall-clock times is kept, and every one of them exists.
"""

from datetime import UTC, datetime, timedelta
from functools import lru_cache

import pytz


def utc(moment: datetime) -> datetime:
    """Return an aware datetime in UTC.

    Raises
    ------
    ValueError
        If it is naive: the zone of the machine decides nothing here.
    """
    if moment.tzinfo is None:
        raise ValueError("an instant without time zone")
    return moment.astimezone(UTC)


def wall(timezone: str, moment: datetime) -> datetime:
    """Return what the local clock shows at a moment in UTC, naive."""
    known_to_pytz = pytz.utc.localize(moment.replace(tzinfo=None))
    return pytz.timezone(timezone).normalize(known_to_pytz).replace(tzinfo=None)


@lru_cache(maxsize=4096)
def instant(timezone: str, shown: datetime) -> datetime:
    """Return the first instant at which the local clock shows `shown` or later, in UTC."""
    zone = pytz.timezone(timezone)
    # Which of two readings is the first does not follow from is_dst: winter time may be the
    # "daylight saving" one (Casablanca), or neither (Moscow 2014). So both are asked for.
    readings = (zone.localize(shown, is_dst=True), zone.localize(shown, is_dst=False))
    early, late = sorted(reading.astimezone(UTC) for reading in readings)
    if wall(timezone, early) == shown:
        return early
    if wall(timezone, late) == shown:
        return late
    # Skipped: the two readings use the offsets after and before the change and enclose it.
    while late - early > timedelta(seconds=1):
        middle = early + (late - early) // timedelta(seconds=2) * timedelta(seconds=1)
        if wall(timezone, middle) < shown:
            early = middle
        else:
            late = middle
    return late
