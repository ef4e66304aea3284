"""The receiver as a thread of this process: for small runs and tests."""

import threading
from collections.abc import Callable, Sequence
from queue import SimpleQueue

from pydicombatch.core.attribution import Expectation
from pydicombatch.core.log import EventLog
from pydicombatch.core.model import Arrival, Identifiers
from pydicombatch.core.threads import begin
from pydicombatch.receive.server.lane import Lane
from pydicombatch.receive.server.outlet import Kept, Kind, arrivals
from pydicombatch.receive.server.service import Service
from pydicombatch.receive.server.settings import Settings

Retained = Callable[[Identifiers], tuple[int, ...]]
_LONGEST_ECHO = 30.0  # seconds that the loop may take for one turn, with a disk that hangs

log = EventLog(__name__)


class ThreadReceiver:
    """Port `Receiver` on a loop in a thread.

    Parameters
    ----------
    settings
        All the loop needs to know.
    retained
        Ledger ids of requests sent earlier that name an instance; called in a thread.
    """

    def __init__(self, settings: Settings, retained: Retained) -> None:
        self.port = settings.port
        self._settings = settings
        self._retained = retained
        self._service: Service | None = None
        self._threads: list[threading.Thread] = []
        self._outlet: _ThreadOutlet | None = None

    def start(self, announce: Callable[[Arrival], None]) -> None:
        """Listen; call `announce` for every instance that is durable in the spool.

        Raises
        ------
        ConfigError
            If the port cannot be bound.
        """
        service = Service(self._settings)
        outlet = _ThreadOutlet(announce, self._retained, service.post)
        self._service, self._outlet, self.port = service, outlet, service.port
        self._threads = [
            threading.Thread(target=service.run, args=(outlet,), name="receiver", daemon=True),
            threading.Thread(target=outlet.work, name="announcer", daemon=True),
        ]
        for thread in self._threads:
            begin(thread)

    def expect(self, expectation: Expectation) -> None:
        """Accept the instances of this request from now on; returns once that is in force."""
        if self._service is not None:
            service, done = self._service, threading.Event()
            service.post(lambda: service.expect(expectation))
            service.post(done.set)
            done.wait(_LONGEST_ECHO)

    def settle(self, request: int) -> None:
        """Forget the message id of this request; its instances stay welcome by their UIDs."""
        if self._service is not None:
            service = self._service
            service.post(lambda: service.settle(request))

    def hasten(self) -> None:
        """Do nothing: all is announced at once."""

    def is_full(self) -> bool:
        """Tell whether instances are refused because the disk of the spool is too full."""
        return self.full

    def refused(self) -> int:
        """Return how many instances nobody asked for were refused so far."""
        return self._service.refused() if self._service is not None else 0

    @property
    def full(self) -> bool:
        """Whether the spool's file system is below its floor and nothing is taken."""
        return self._outlet is not None and self._outlet.full

    def close(self) -> None:
        """Stop listening; instances acknowledged so far have been announced."""
        if self._service is None or self._outlet is None:
            return
        self._service.stop()
        self._threads[0].join()
        self._outlet.end()
        self._threads[1].join()
        self._service = None


class _ThreadOutlet:
    """Announces in a thread of its own, so that a slow engine delays answers, not the loop."""

    def __init__(
        self,
        announce: Callable[[Arrival], None],
        retained: Retained,
        post: Callable[[Callable[[], None]], None],
    ) -> None:
        self.full = False
        self._announce = announce
        self._retained = retained
        self._queue: SimpleQueue[Arrival | None] = SimpleQueue()
        self._lane = Lane(post, 1)

    def announce(self, kind: Kind, kept: Sequence[Kept]) -> None:
        """Tell of instances that are durable in the spool; never blocks."""
        for arrival in arrivals(kind, kept):
            self._queue.put(arrival)

    def backlog(self) -> int:
        """Return how many announcements were not taken yet."""
        return self._queue.qsize()

    def ask(self, instance: Identifiers, decide: Callable[[tuple[int, ...]], None]) -> None:
        """Find requests sent earlier that name this instance; `decide` runs in the loop."""

        def failed(error: Exception) -> None:
            log.warning("retained.failed", error=type(error).__name__)
            decide(())

        self._lane.submit(lambda: self._retained(instance), decide, failed)

    def room(self, *, enough: bool) -> None:
        """Note whether the spool's file system has room."""
        self.full = not enough
        log.warning("spool.room", reason="enough again" if enough else "below the floor")

    def end(self) -> None:
        """End `work` once everything is announced."""
        self._lane.close()
        self._queue.put(None)

    def work(self) -> None:
        """Announce until `end`."""
        while (arrival := self._queue.get()) is not None:
            try:
                self._announce(arrival)
            except Exception as exc:  # noqa: BLE001 - it stays in the spool for the next run
                log.warning("announce.failed", error=type(exc).__name__)
