"""Time as an argument: wall time decides windows, monotonic time everything else."""

import threading
import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """Where time comes from."""

    def now(self) -> datetime:
        """Return the wall time, aware, in UTC."""

    def monotonic(self) -> float:
        """Return seconds that no clock change touches."""

    def wait(self, stop: threading.Event, seconds: float) -> bool:
        """Sleep; return True at once when `stop` is set."""


class SystemClock:
    """The machine's own clock."""

    def now(self) -> datetime:
        """Return the wall time, aware, in UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Return seconds that no clock change touches."""
        return time.monotonic()

    def wait(self, stop: threading.Event, seconds: float) -> bool:
        """Sleep; return True at once when `stop` is set."""
        return stop.wait(max(0.0, seconds))
