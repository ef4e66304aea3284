"""What every request passes before it leaves: the stop, the window, the archive, the rate."""

import threading
from collections.abc import Callable
from datetime import datetime
from enum import Enum

from pydicombatch.core.clock import Clock
from pydicombatch.core.errors import FatalError, PydicombatchError, TransientError
from pydicombatch.core.log import EventLog
from pydicombatch.runner.breaker import Breaker
from pydicombatch.runner.events import Event, Resumed, Waiting
from pydicombatch.runner.schedule import Schedule
from pydicombatch.runner.throttle import RequestRate

log = EventLog(__name__)
KNOCK = 0.5  # seconds between two looks at an archive that is out of reach
FULL = "the disk of the state directory is too full; make space"
OUTAGE = "the archive cannot be reached"


class NoTurnError(Exception):
    """Nothing may leave any more: the run was stopped, or ends with its window."""


class Admission(Enum):
    """What the gate says to a thread."""

    GRANTED = "a request may leave"
    CLOSED = "none may leave any more"
    ASIDE = "the archive serves other threads of ours, but not this one as well"


class Gate:
    """Lets one request after the other through, never outside a window or above a rate.

    Parameters
    ----------
    schedule, rate, breaker, clock
        What decides, and the time.
    stop
        Set when nothing more may leave.
    on_event
        Hears when the run waits and when it goes on.
    is_full
        Tells whether instances cannot be taken because the disk is too full.
    patience
        Seconds that a full disk is waited for.
    ends_with_window
        Whether the run ends, instead of waiting, when it is outside its window.
    """

    def __init__(
        self,
        schedule: Schedule,
        rate: RequestRate,
        breaker: Breaker,
        clock: Clock,
        stop: threading.Event,
        on_event: Callable[[Event], None],
        *,
        is_full: Callable[[], bool] = lambda: False,
        patience: float = 0.0,
        ends_with_window: bool,
    ) -> None:
        self._is_full = is_full
        self._patience = patience
        self._full_since: float | None = None
        self._schedule = schedule
        self._rate = rate
        self._breaker = breaker
        self._clock = clock
        self._stop = stop
        self._on_event = on_event
        self._ends_with_window = ends_with_window
        self._waiting = ""
        self._served: set[int] = set()  # threads whose association was open when last looked at
        self._refused: dict[int, int] = {}  # thread -> how often in a row it alone was not served
        self._lock = threading.Lock()
        self.window_ended = False

    def enter(
        self, connect: Callable[[], None], probe: Callable[[], None] = lambda: None
    ) -> Admission:
        """Wait until a request may leave.

        Parameters
        ----------
        connect
            Opens the association of this thread; raises `TransientError` while the archive is
            out of reach, or takes no more of them.
        probe
            Makes sure, after an outage, that the archive does more than accept associations;
            raises like `connect`.

        Raises
        ------
        FatalError
            If the archive stays out of reach, or turns us away for good.
        """
        while not self._stop.is_set():
            if not self.is_open():
                if self._ends_with_window:
                    self.window_ended = True
                    return Admission.CLOSED
                self._rest()
            elif admission := self._try(connect, probe):
                return admission
        return Admission.CLOSED

    def leave(self) -> None:
        """Say that this thread has no association any more."""
        with self._lock:
            self._served.discard(threading.get_ident())
            self._refused.pop(threading.get_ident(), None)

    @property
    def refusals(self) -> int:
        """How often in a row this thread got no association while others have theirs."""
        with self._lock:
            return self._refused.get(threading.get_ident(), 0)

    def is_open(self) -> bool:
        """Whether a window is open now."""
        return self._schedule.is_open(self._clock.now())

    def tripped(self, error: TransientError) -> None:
        """Hold everybody back: the archive cannot be reached.

        As long as it serves another thread of ours it is there, and takes no more associations.

        Raises
        ------
        FatalError
            If that has gone on for too long.
        """
        if not self._breaker.is_open and self._serves_others():
            log.info("archive.busy", error=type(error).__name__)
            return
        self._hold(error)

    def _hold(self, error: PydicombatchError) -> None:
        with self._lock:
            self._served.discard(threading.get_ident())
            self._refused.pop(threading.get_ident(), None)
        if not self._breaker.trip(error):
            return  # another thread has said it
        self._say(f"{OUTAGE}: {error.problem}")
        log.warning("archive.unreachable", error=type(error).__name__)

    def _serves_others(self) -> bool:
        """Whether another thread has its association; then this one was refused alone."""
        me = threading.get_ident()
        with self._lock:
            self._served.discard(me)
            refused = self._refused.pop(me, 0)
            if self._served:
                self._refused[me] = refused + 1
            return bool(self._served)

    def _rest(self) -> None:
        now = self._clock.now()
        self._breaker.forget()
        self._say(self._schedule.describe(now), self._schedule.opens_at(now))
        self._clock.wait(self._stop, self._schedule.nap(now))

    def _try(self, connect: Callable[[], None], probe: Callable[[], None]) -> Admission | None:
        """Take one turn; None is to look again. In an outage only one thread tries the archive."""
        if self._breaker.is_open and not self._breaker.may_knock():
            self._clock.wait(self._stop, KNOCK)
            return None
        if self._waits_for_room():
            return None
        if not self._reaches(connect, probe):
            return Admission.ASIDE if self.refusals else None
        if not self._has_its_turn():
            return None
        self._go_on()
        return Admission.GRANTED

    def _waits_for_room(self) -> bool:
        """Hold requests back while the disk is too full, but not for ever."""
        with self._lock:
            if not self._is_full():
                self._full_since = None
                return False
            now = self._clock.monotonic()
            since = self._full_since = now if self._full_since is None else self._full_since
        if now - since >= self._patience:
            raise FatalError(
                "The disk of the state directory is full and has stayed so",
                "Make space, or lower state.least_free, and start again; nothing is lost",
            )
        self._say(FULL)
        self._clock.wait(self._stop, KNOCK)
        return True

    def _reaches(self, connect: Callable[[], None], probe: Callable[[], None]) -> bool:
        try:
            connect()
            if self._breaker.is_open:
                probe()
        except TransientError as exc:
            self.tripped(exc)
            return False
        except FatalError as exc:
            self._hold(exc)  # ends the run, unless the archive has served us before
            return False
        with self._lock:
            self._served.add(threading.get_ident())
            self._refused.pop(threading.get_ident(), None)
        self._breaker.reset()
        return True

    def _has_its_turn(self) -> bool:
        """Wait for a start; the window may have closed meanwhile."""
        seconds = self._rate.reserve(self._clock.monotonic())
        return not self._clock.wait(self._stop, seconds) and self.is_open()

    def _say(self, reason: str, until: datetime | None = None) -> None:
        with self._lock:
            if self._waiting == reason:
                return
            self._waiting = reason
        self._on_event(Waiting(reason, until))

    def _go_on(self) -> None:
        with self._lock:
            waited, self._waiting = self._waiting, ""
        if waited:
            self._on_event(Resumed())
