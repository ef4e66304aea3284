"""Dates as they are written in conditions and rows; `today` is an argument. Pure."""

import re
from dataclasses import dataclass
from datetime import date, timedelta

_DASHED = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})")
_PLAIN = re.compile(r"([0-9]{4})[.]?([0-9]{2})[.]?([0-9]{2})")  # dots: ACR-NEMA, PS3.5 6.2 note
_RELATIVE = re.compile(r"today(?:\s*([+-])\s*([0-9]{1,5}))?", re.IGNORECASE)
_RANGE = re.compile(r"([0-9]{8})?-([0-9]{8})?")
_DAYS = re.compile(r"([0-9]{1,5})\s*(?:d|day|days)?")
FIRST, LAST = date.min, date.max


@dataclass(frozen=True, slots=True)
class Day:
    """A date, or one that is counted from today."""

    day: date | None  # None: today
    days: int = 0  # added to it

    def on(self, today: date) -> date:
        """Return the date it stands for."""
        return plus(self.day or today, self.days)


@dataclass(frozen=True, slots=True)
class Span:
    """From one day to another, both included; None is without end."""

    first: Day | None
    last: Day | None

    def on(self, today: date) -> tuple[date, date]:
        """Return its first and last date."""
        first = FIRST if self.first is None else self.first.on(today)
        last = LAST if self.last is None else self.last.on(today)
        return first, last


def plus(day: date, days: int) -> date:
    """Add days, staying within the calendar."""
    try:
        return day + timedelta(days=days)
    except OverflowError:
        return LAST if days > 0 else FIRST


def parse_day(text: str) -> Day:
    """Read `20200131`, `2020-01-31`, `today`, `today-2`, `today+1`.

    Raises
    ------
    ValueError
        If it is none of these.
    """
    cleaned = text.strip()
    relative = _RELATIVE.fullmatch(cleaned)
    if relative:
        days = int(relative[2] or 0)
        return Day(None, -days if relative[1] == "-" else days)
    found = _DASHED.fullmatch(cleaned) or _PLAIN.fullmatch(cleaned)
    if found is None:
        raise ValueError("it is no date")
    return Day(date(int(found[1]), int(found[2]), int(found[3])))


def parse_span(text: str) -> Span:
    """Read one day, `20200101-20201231`, or two days joined by `..`; an end may be left out.

    Raises
    ------
    ValueError
        If it is none of these, or ends before it begins.
    """
    cleaned = text.strip()
    hyphen = _RANGE.fullmatch(cleaned)
    if ".." in cleaned:
        parts = cleaned.split("..")
    elif hyphen:
        parts = [hyphen[1] or "", hyphen[2] or ""]
    else:
        parts = [cleaned, cleaned]
    if len(parts) != 2 or not any(part.strip() for part in parts):  # noqa: PLR2004
        raise ValueError("it is no range of dates")
    first, last = (parse_day(part) if part.strip() else None for part in parts)
    span = Span(first, last)
    if first and last and (first.day is None) == (last.day is None):
        start, end = span.on(date(2000, 1, 1))
        if end < start:
            raise ValueError("the range ends before it begins")
    return span


def value_date(text: str) -> date | None:
    """Return the date of a value of VR DA or DT; None when it is none."""
    found = _PLAIN.match(text.strip())
    try:
        return None if found is None else date(int(found[1]), int(found[2]), int(found[3]))
    except ValueError:
        return None


def matching(first: date, last: date) -> str:
    """Write a range as a value of range matching (PS3.4 C.2.2.2.5); "" is no limit at all."""
    low = "" if first == FIRST else f"{first:%Y%m%d}".rjust(8, "0")
    high = "" if last == LAST else f"{last:%Y%m%d}".rjust(8, "0")
    if low == high:
        return low
    return f"{low}-{high}"


def widened(text: str, days: int) -> str:
    """Turn a single date into a range of so many days around it; anything else stays.

    Raises
    ------
    ValueError
        If the text is neither empty nor dates.
    """
    if not days or not text.strip():
        return text
    span = parse_span(text)
    if span.first is None or span.first != span.last or span.first.day is None:
        return text
    return matching(plus(span.first.day, -days), plus(span.first.day, days))


def parse_days(text: str) -> int:
    """Read `3 days`, `3d` or `3`.

    Raises
    ------
    ValueError
        If it is no number of days.
    """
    found = _DAYS.fullmatch(text.strip().lower())
    if found is None:
        raise ValueError("it is no number of days")
    return int(found[1])
