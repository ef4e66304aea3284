"""When the archive is down everybody waits, and one thread knocks now and then."""

import threading
from collections.abc import Callable

from pydicombatch.core.clock import Clock
from pydicombatch.core.errors import FatalError, PydicombatchError
from pydicombatch.runner.backoff import wait

REFUSALS = 3  # knocks in a row that were turned away for good


class Breaker:
    """Open while the archive cannot be reached; no request is tried, so no attempt is burnt.

    Parameters
    ----------
    clock
        Monotonic time.
    first, longest
        Seconds between two knocks, doubling from the one to the other.
    patience
        Seconds after which an outage ends the run.
    tries
        Knocks after which a run that has never reached the archive ends.
    random
        Numbers in [0, 1) for the jitter.
    """

    def __init__(
        self,
        clock: Clock,
        first: float,
        longest: float,
        patience: float,
        tries: int,
        random: Callable[[], float],
    ) -> None:
        self._clock = clock
        self._first = first
        self._longest = longest
        self._patience = patience
        self._tries = tries
        self._random = random
        self._lock = threading.Lock()
        self._since: float | None = None
        self._next = 0.0
        self._knocks = 0
        self._knocker: int | None = None  # identity of the thread that tries the archive
        self._reached = False
        self._refusals = 0

    @property
    def is_open(self) -> bool:
        """Whether the archive is out of reach."""
        return self._since is not None

    def trip(self, error: PydicombatchError) -> bool:
        """Say that the archive could not be reached, or has turned us away; whether that is news.

        Raises
        ------
        FatalError
            If that has gone on for too long. An archive that turns us away for good has to say
            so once if it never served us, else several times in a row: one that restarts may
            not know us for a moment.
        """
        with self._lock:
            now = self._clock.monotonic()
            if self._since is None:
                self._since, self._knocks = now, 0
            elif self._knocker != threading.get_ident():
                return False  # another thread that was under way when it began
            self._knocks += 1
            self._knocker = None
            self._refusals = self._refusals + 1 if isinstance(error, FatalError) else 0
            if self._is_hopeless(now):
                if isinstance(error, FatalError):
                    raise error
                raise FatalError(error.problem, error.remedy) from error
            self._next = now + wait(self._knocks, self._first, self._longest, self._random())
            return True

    def may_knock(self) -> bool:
        """Tell one thread, when the time has come, to try the archive."""
        with self._lock:
            due = self.is_open and self._knocker is None and self._clock.monotonic() >= self._next
            if due:
                self._knocker = threading.get_ident()
            return due

    def reset(self) -> None:
        """Say that the archive answers."""
        with self._lock:
            self._reached = True
            self._since = None
            self._knocker = None
            self._refusals = 0

    def forget(self) -> None:
        """Say that nobody could try for a while: an outage begins anew with the next window."""
        with self._lock:
            if self._knocker is None:
                self._since = None

    def _is_hopeless(self, now: float) -> bool:
        if self._refusals >= (REFUSALS if self._reached else 1):
            return True
        if not self._reached:
            return self._knocks >= self._tries
        return self._since is not None and now - self._since >= self._patience
