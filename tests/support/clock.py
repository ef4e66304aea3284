"""A clock that only moves when somebody waits, or when a test moves it."""

import heapq
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

START = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)  # a Monday
GLANCE = 0.005  # real seconds after which a waiting thread looks whether it was stopped


class FakeClock:
    """Implements `core.clock.Clock`; waiting moves time on instead of sleeping.

    With `parties` threads, time moves only when all of them wait, and then to the earliest of
    their ends: what happens is the same in every run. A thread that is done calls `leave`.
    """

    def __init__(self, now: datetime = START, monotonic: float = 1000.0, parties: int = 1) -> None:
        self._now = now
        self._monotonic = monotonic
        self._parties = parties
        self._waiting: list[float] = []
        self._alarms: list[tuple[float, int, Callable[[], None]]] = []
        self._set_alarms = 0
        self._changed = threading.Condition(threading.RLock())
        self.waits: list[float] = []  # every wait asked for, in seconds

    def now(self) -> datetime:
        """Return the wall time, aware, in UTC."""
        with self._changed:
            return self._now

    def monotonic(self) -> float:
        """Return seconds that only go forward."""
        with self._changed:
            return self._monotonic

    def wait(self, stop: threading.Event, seconds: float) -> bool:
        """Let time pass until the wait is over; return True when `stop` is set."""
        with self._changed:
            self.waits.append(seconds)
            end = self._monotonic + max(0.0, seconds)
            self._waiting.append(end)
            while self._monotonic < end and not stop.is_set():
                self._move_if_all_wait()
                if self._monotonic < end and not stop.is_set():
                    self._changed.wait(GLANCE)
            self._waiting.remove(end)
        return stop.is_set()

    def leave(self) -> None:
        """One thread less takes part."""
        with self._changed:
            self._parties -= 1
            self._changed.notify_all()

    def advance(self, seconds: float) -> None:
        """Let time pass for both clocks; alarms on the way go off in their order."""
        with self._changed:
            self._move_to(self._monotonic + seconds)

    def set_wall(self, now: datetime) -> None:
        """Put the wall clock forward or back; the monotonic one does not notice."""
        with self._changed:
            self._now = now

    def after(self, seconds: float, action: Callable[[], None]) -> None:
        """Call `action` once time has moved on by so many seconds."""
        with self._changed:
            self._set_alarms += 1
            alarm = (self._monotonic + seconds, self._set_alarms, action)
            heapq.heappush(self._alarms, alarm)

    def _move_if_all_wait(self) -> None:
        if len(self._waiting) >= self._parties:
            alarm = [self._alarms[0][0]] if self._alarms else []
            self._move_to(min(self._waiting + alarm))

    def _move_to(self, monotonic: float) -> None:
        while self._alarms and self._alarms[0][0] <= monotonic:
            at, _, action = heapq.heappop(self._alarms)
            self._set(at)
            action()
        self._set(monotonic)
        self._changed.notify_all()

    def _set(self, monotonic: float) -> None:
        if monotonic > self._monotonic:
            self._now += timedelta(seconds=monotonic - self._monotonic)
            self._monotonic = monotonic
