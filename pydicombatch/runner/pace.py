"""How far a run is, and when it will be done at this pace, closed windows counted."""

import threading
from datetime import datetime

from pydicombatch.runner.schedule import Schedule


class Pace:
    """Counts finished requests; safe to call from every thread."""

    def __init__(self, schedule: Schedule, total: int, started: datetime) -> None:
        self._schedule = schedule
        self._total = total
        self._started = started
        self._done = 0
        self._lock = threading.Lock()

    def more(self, requests: int) -> None:
        """Count requests that were not known of."""
        with self._lock:
            self._total += requests

    def finished(self, now: datetime) -> datetime | None:
        """Count one more finished request; return when all will be done, None when untold."""
        with self._lock:
            self._done += 1
            done = self._done
        return self._schedule.estimate(self._started, now, done, self._total)
