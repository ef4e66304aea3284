"""A query over a range of dates, cut into smaller ones (fault F12). Pure.

Halves of a range of StudyDate down to a day, then halves of StudyTime down to a minute. Together
the parts ask for exactly what the whole did.
"""

import re
from calendar import monthrange
from dataclasses import dataclass, replace
from datetime import date, timedelta

from pydicombatch.core.model import Key
from pydicombatch.core.moments import interval

DATE, TIME = "StudyDate", "StudyTime"
EARLIEST = date(1900, 1, 1)  # a lower end for ranges without one; what lies before is asked too
DAY = timedelta(days=1)
LAST_SECOND = 24 * 3600 - 1
MINUTE = 60
_RANGE = re.compile(r"(\d{8})?\s*(-)?\s*(\d{8})?")


@dataclass(frozen=True, slots=True)
class Span:
    """From a day to a day, both included; None is an open end. Times are seconds of the day."""

    first: date | None
    last: date | None
    start: int = 0
    end: int = LAST_SECOND
    timed: bool = False  # whether StudyTime is part of the query because of us
    divisible: bool = True  # whether a day may be cut by StudyTime

    def keys(self, keys: tuple[Key, ...]) -> tuple[Key, ...]:
        """Put this span in the place of the dates that were asked for."""
        changed = {DATE: self._dates()}
        if self.timed:
            changed[TIME] = f"{_clock(self.start)}-{_clock(self.end)}.999999"
        kept = [Key(key.path, changed.pop(key.path, key.value)) for key in keys]
        return (*kept, *(Key(path, value) for path, value in changed.items()))

    def _dates(self) -> str:
        if self.first == self.last and self.first is not None:
            return _digits(self.first)
        return f"{_digits(self.first)}-{_digits(self.last)}"


def spans(keys: tuple[Key, ...]) -> tuple[Span, ...]:
    """Return what the dates of a query span; nothing when they are none that can be cut."""
    asked = next((key.value for key in keys if key.path == DATE), "").strip()
    if not asked:
        return ()
    found = tuple(_span(one) for one in asked.split("\\"))
    whole = tuple(one for one in found if one is not None)
    if len(whole) < len(found):
        return ()
    times = next((key.value for key in keys if key.path == TIME), "").strip()
    return tuple(_within(one, times) for one in whole)


def halves(span: Span, today: date) -> tuple[Span, ...]:
    """Cut a span in two; nothing when it cannot be cut any more.

    Parameters
    ----------
    span
        What is to be cut.
    today
        Nothing much is expected behind it: a range without an upper end is cut there first.
    """
    if span.first is None or span.last is None:
        return _without_open_end(span, today)
    days = (span.last - span.first).days
    if days:
        middle = span.first + timedelta(days=days // 2)
        return replace(span, last=middle), replace(span, first=middle + DAY)
    if not span.divisible or span.end - span.start < MINUTE:
        return ()
    minutes = (span.end + 1 - span.start) // MINUTE
    cut = span.start + max(1, minutes // 2) * MINUTE
    return replace(span, end=cut - 1, timed=True), replace(span, start=cut, timed=True)


def _without_open_end(span: Span, today: date) -> tuple[Span, ...]:
    soon = today + DAY  # it may be tomorrow already where the archive stands
    if span.first is None and span.last is None:
        return replace(span, last=soon), replace(span, first=soon + DAY)
    if span.first is None and span.last is not None and span.last >= EARLIEST:
        return replace(span, last=EARLIEST - DAY), replace(span, first=EARLIEST)
    if span.first is not None and span.first <= soon:
        return replace(span, last=soon), replace(span, first=soon + DAY)
    return ()


def _span(text: str) -> Span | None:
    found = _RANGE.fullmatch(text.strip())
    if found is None or not (found[1] or found[3]) or (found[3] and not found[2]):
        return None
    try:
        first = _day(found[1], up=True) if found[1] else None
        if not found[2]:
            return Span(first, first)
        last = _day(found[3], up=False) if found[3] else None
    except (ValueError, OverflowError):
        return None
    return None if first and last and last < first else Span(first, last)


def _day(text: str, *, up: bool) -> date:
    """Read a date; one that its month does not have, as 20200231, is the nearest within."""
    year, month, day = int(text[:4]), int(text[4:6]), int(text[6:])
    longest = monthrange(year, month)[1]
    if 1 <= day <= longest:
        return date(year, month, day)
    if not longest < day <= 31:  # noqa: PLR2004 - the longest of all months
        raise ValueError
    last = date(year, month, longest)
    return last + DAY if up else last


def _within(span: Span, times: str) -> Span:
    """Keep to the times that were asked for, if they are a range within a day."""
    if not times.strip("*"):
        return span
    if "-" not in times or "\\" in times:
        return replace(span, divisible=False)
    asked = interval("TM", times)
    start, end = _seconds(asked.low or "0" * 6), _seconds(asked.high)
    if end <= start:  # over midnight: archives differ in what they make of it
        return replace(span, divisible=False)
    return replace(span, start=start, end=end)


def _seconds(digits: str) -> int:
    hours, minutes, seconds = (int(digits[at : at + 2]) for at in (0, 2, 4))
    return min(hours, 23) * 3600 + min(minutes, 59) * 60 + min(seconds, 59)


def _clock(seconds: int) -> str:
    return f"{seconds // 3600:02}{seconds // 60 % 60:02}{seconds % 60:02}"


def _digits(day: date | None) -> str:
    return "" if day is None else f"{day.year:04}{day.month:02}{day.day:02}"
