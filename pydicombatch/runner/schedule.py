"""When requests may leave: windows of the local day, correct across clock changes. Pure.

A wall-clock time stands for one instant (`wall_clock`), in the same order; so windows are joined
by the wall clock first, and only the ends are looked up. `now` is always an aware datetime;
results are in UTC. Only window decisions use wall time. It may jump, so whoever waits asks again
after `nap`.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache

import pytz

from pydicombatch.core.errors import ConfigError
from pydicombatch.runner.wall_clock import instant, utc, wall

DAY = timedelta(days=1)
WEEK = timedelta(days=7)
HORIZON = 400  # days that are searched for an opening or a closing
FAR = 522  # weeks that work may take: about ten years
LONGEST_NAP = 30.0  # seconds between two looks at the wall clock
MINUTES = 24 * 60

Span = tuple[datetime, datetime]  # start inclusive, end exclusive


@dataclass(frozen=True, slots=True)
class Window:
    """A time of the day at which requests may leave.

    An `end` at or before `start` lies on the next day; equal ones are the whole 24 hours.

    Raises
    ------
    ValueError
        If a day or a minute is out of range.
    """

    days: frozenset[int]  # local weekdays on which it starts, 0 is Monday
    start: int  # minutes since local midnight, 0 to 1439
    end: int  # the same, 0 to 1440

    def __post_init__(self) -> None:
        if not self.days <= frozenset(range(7)):
            raise ValueError("weekdays go from 0, Monday, to 6")
        if not (0 <= self.start < MINUTES and 0 <= self.end <= MINUTES):
            raise ValueError("a window starts at 0 to 1439 and ends at 0 to 1440 minutes")

    def on(self, day: date) -> Span:
        """Return its wall-clock times, naive, when it starts on this day."""
        midnight = datetime.combine(day, time())
        end = self.end if self.end > self.start else self.end + MINUTES
        return midnight + timedelta(minutes=self.start), midnight + timedelta(minutes=end)


@dataclass(frozen=True)
class Schedule:
    """All windows of a configuration; overlapping and adjoining ones are one.

    Raises
    ------
    ConfigError
        If the time zone is unknown.
    """

    windows: tuple[Window, ...] = ()  # none: always open, whatever is excepted
    timezone: str = "UTC"  # IANA name
    excepted: frozenset[date] = field(default_factory=frozenset)  # no window starts on these

    def __post_init__(self) -> None:
        try:
            pytz.timezone(self.timezone)
        except (pytz.UnknownTimeZoneError, ValueError, OSError) as exc:
            raise ConfigError.of(
                f"Time zone '{self.timezone}' is unknown",
                "Set schedule.timezone to a name of the IANA database such as Europe/Zurich",
            ) from exc

    def is_open(self, now: datetime) -> bool:
        """Whether a request may leave now."""
        at = utc(now)
        return not self.windows or any(start <= at < end for start, end in self._spans(at, 4))

    def opens_at(self, now: datetime) -> datetime | None:
        """Return the first open instant from `now` on: `now` itself when open.

        None when no window opens within 400 days.
        """
        at = utc(now)
        if self.is_open(at):
            return at
        span = self._next(at)
        return span and span[0]

    def closes_at(self, now: datetime) -> datetime | None:
        """Return the first closed instant from `now` on: `now` itself when closed.

        None when it stays open for the next 400 days.
        """
        at = utc(now)
        if self._never_closes(at):
            return None
        span = self._next(at)
        if span is None or span[0] > at:
            return at
        return span[1] if span[1] < at + HORIZON * DAY else None

    def open_seconds(self, start: datetime, end: datetime) -> float:
        """Return how many seconds between two instants are open; 0 when `end` is not later."""
        at, last = utc(start), utc(end)
        if not self.windows:
            return max(0.0, (last - at).total_seconds())
        total = timedelta()
        while last - at >= WEEK:
            total += self._open_in_week(at)
            at += WEEK
        return (total + _length(self.pieces(at, last))).total_seconds()

    def finish(self, now: datetime, seconds: float) -> datetime | None:
        """Return when work of this length will be done that rests while closed.

        Parameters
        ----------
        now
            When it begins, or goes on.
        seconds
            Length of the work; negative counts as none.

        Returns
        -------
        datetime | None
            In UTC; None when that is over ten years ahead, never, or `seconds` is no number.
        """
        at = utc(now)
        if not seconds <= (FAR * WEEK).total_seconds():
            return None
        left = timedelta(seconds=max(0.0, seconds))
        if not left or not self.windows:
            return at + left
        for _ in range(FAR):
            opened = self._open_in_week(at)
            if opened >= left:
                return _after(self.pieces(at, at + WEEK), left)
            left -= opened
            at += WEEK
        return None

    def estimate(self, started: datetime, now: datetime, done: int, total: int) -> datetime | None:
        """Return when the whole will be done at the pace so far, closed time left out.

        Parameters
        ----------
        started
            When the work began.
        now
            The present.
        done, total
            Pieces of work, in any unit.

        Returns
        -------
        datetime | None
            In UTC; None while nothing is done, and as in `finish`.
        """
        if done >= total:
            return utc(now)
        if done <= 0:
            return None
        return self.finish(now, self.open_seconds(started, now) / done * (total - done))

    def pieces(self, start: datetime, end: datetime) -> Iterator[Span]:
        """Yield what is open between two instants that are at most a week apart."""
        for opening, closing in self._spans(start, 11):
            first, last = max(opening, start), min(closing, end)
            if first < last:
                yield first, last

    def nap(self, now: datetime) -> float:
        """Return the seconds to sleep before looking again whether it is open; 0 when open.

        At most 30 s, because the wall clock may be set while we sleep.
        """
        opening = self.opens_at(now)
        if opening is None:
            return LONGEST_NAP
        return min(LONGEST_NAP, (opening - utc(now)).total_seconds())

    def local(self, moment: datetime) -> str:
        """Return an instant for people: `2026-11-21 19:00 (America/New_York)`."""
        return f"{wall(self.timezone, utc(moment)):%Y-%m-%d %H:%M} ({self.timezone})"

    def describe(self, now: datetime) -> str:
        """Say whether it is open and until when, as a sentence without full stop."""
        if not self.windows:
            return "no window is set, requests may leave at any time"
        opening, closing = self.opens_at(now), self.closes_at(now)
        if opening is None:
            return f"outside its window, which does not open within {HORIZON} days"
        if opening > utc(now):
            return f"outside its window, waiting until {self.local(opening)}"
        if closing is None:
            return "inside its window, which stays open"
        return f"inside its window, which is open until {self.local(closing)}"

    def _never_closes(self, at: datetime) -> bool:
        """Whether all of the week is open, and no exception to come."""
        if not self.windows:
            return True
        yesterday = wall(self.timezone, at).date() - DAY
        whole = _open_in_regular_week(self.windows) == WEEK
        return whole and all(day < yesterday for day in self.excepted)

    def _next(self, at: datetime) -> Span | None:
        """Return the span that contains `at`, else the next one."""
        return next((span for span in self._spans(at, HORIZON + 5) if span[1] > at), None)

    def _spans(self, at: datetime, days: int) -> Iterator[Span]:
        """Yield what is open from the day before `at` on, joined, in UTC, in order.

        The day before, as windows end on the next day at the latest; the day after, as a clock
        put back at midnight shows the day before again. A span may have begun earlier.
        """
        walls = _joined(self._walls(wall(self.timezone, at).date() - DAY, days))
        spans = ((instant(self.timezone, one), instant(self.timezone, two)) for one, two in walls)
        # A second time: what lies between two windows may be an hour that is skipped.
        return _joined((start, end) for start, end in spans if start < end)

    def _walls(self, first: date, days: int) -> Iterator[Span]:
        """Yield the wall-clock times of every window that starts on these days, in order."""
        ordered = sorted(self.windows, key=lambda window: window.start)
        for day in (first + number * DAY for number in range(days)):
            if day not in self.excepted:
                weekday = day.weekday()
                yield from (window.on(day) for window in ordered if weekday in window.days)

    def _open_in_week(self, at: datetime) -> timedelta:
        """Return the open time of the seven days from `at` on; most weeks are like any other."""
        if self._is_regular(at):
            return _open_in_regular_week(self.windows)
        return _length(self.pieces(at, at + WEEK))

    def _is_regular(self, at: datetime) -> bool:
        """Whether these seven days see no clock change and no exception, two days around too."""
        # Three looks, as some zones have gone to summer time and back within a week (Brazil 2000).
        looks = (at - 2 * DAY, at + WEEK / 2, at + WEEK + 2 * DAY)
        shown = [wall(self.timezone, look) for look in looks]
        if shown[1] - shown[0] != looks[1] - looks[0] or shown[2] - shown[1] != looks[2] - looks[1]:
            return False
        first, last = shown[0], shown[-1]
        return not any(first.date() <= day <= last.date() for day in self.excepted)


@lru_cache(maxsize=64)
def _open_in_regular_week(windows: tuple[Window, ...]) -> timedelta:
    """Return the open time of a week without clock change or exception."""
    monday = datetime(2024, 1, 1, tzinfo=UTC)
    return _length(Schedule(windows).pieces(monday, monday + WEEK))


def _joined(spans: Iterable[Span]) -> Iterator[Span]:
    """Join spans that overlap or touch; `spans` are in the order of their starts."""
    current: Span | None = None
    for start, end in spans:
        if current and start <= current[1]:
            current = current[0], max(current[1], end)
            continue
        if current:
            yield current
        current = start, end
    if current:
        yield current


def _length(spans: Iterable[Span]) -> timedelta:
    return sum((end - start for start, end in spans), timedelta())


def _after(spans: Iterable[Span], left: timedelta) -> datetime | None:
    """Return when this much time of the spans has passed; None when they hold less."""
    for start, end in spans:
        if end - start >= left:
            return start + left
        left -= end - start
    return None
