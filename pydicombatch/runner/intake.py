"""From the spool to the final path: bounded queues between receiving, processing and the ledger."""

import queue
import threading
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import PurePath
from typing import Protocol

from pydicombatch.core.clock import Clock
from pydicombatch.core.errors import FatalError, as_fatal
from pydicombatch.core.log import EventLog
from pydicombatch.core.model import Arrival, Known, Quarantined, Stored
from pydicombatch.core.ports import Processor
from pydicombatch.core.threads import begin
from pydicombatch.runner.accounts import Accounts
from pydicombatch.runner.events import Event, InstanceStored
from pydicombatch.runner.quarantine_limit import QuarantineLimit

log = EventLog(__name__)
WAITING = 64  # arrivals between the receiver and the workers; then the receiver answers later
TOGETHER = 128  # results that share a commit


class InstanceLedger(Protocol):
    """What the intake needs of the ledger."""

    def known(self, sop_instance_uid: str) -> Known | None:
        """Return what is stored under a SOP Instance UID."""

    def record(
        self, stored: Sequence[Stored], quarantined: Sequence[Quarantined], now: datetime
    ) -> None:
        """Record what became of arrivals, all or none."""


class Intake:
    """Takes arrivals through the processor into the ledger; one SOP Instance UID at a time.

    Arrivals with a wish for the same name are stored in the order in which they came, so that
    the same one gets the plain name every time.

    Parameters
    ----------
    processor, ledger, accounts, clock
        Where instances go, where that is recorded, who waits for it, and the time.
    workers
        Threads that process.
    on_event
        Hears of every stored instance.
    on_fatal
        Called once when nothing more can be stored; what is unprocessed stays in the spool.
    limit
        Ends the run when too many are quarantined at its beginning.
    """

    def __init__(
        self,
        processor: Processor,
        ledger: InstanceLedger,
        accounts: Accounts,
        clock: Clock,
        workers: int,
        on_event: Callable[[Event], None],
        on_fatal: Callable[[FatalError], None],
        limit: QuarantineLimit | None = None,
    ) -> None:
        self._processor = processor
        self._ledger = ledger
        self._accounts = accounts
        self._clock = clock
        self._on_event = on_event
        self._on_fatal = on_fatal
        self._limit = limit
        self._broken = False
        self._breaking = threading.Lock()
        self._arrivals: queue.Queue[Arrival | None] = queue.Queue(WAITING)
        self._results: queue.Queue[Stored | Quarantined | None] = queue.Queue(WAITING)
        self._line: dict[PurePath, frozenset[str]] = {}  # what is under way, and what it claims
        self._taking = threading.Lock()
        self._free = threading.Condition()
        self._workers = [
            threading.Thread(target=self._work, name=f"worker-{n}", daemon=True)
            for n in range(1, workers + 1)
        ]
        self._committer = threading.Thread(target=self._commit, name="committer", daemon=True)
        for thread in (*self._workers, self._committer):
            begin(thread)

    def announce(self, arrival: Arrival) -> None:
        """Take an arrival on; blocks while the workers are behind, so that the peer waits."""
        self._accounts.arrived(arrival.requests, arrival.identifiers.sop_instance_uid)
        self._arrivals.put(arrival)

    def close(self) -> None:
        """Process what was announced, then end the threads."""
        for _ in self._workers:
            self._arrivals.put(None)
        for thread in self._workers:
            thread.join()
        self._results.put(None)
        self._committer.join()

    def _work(self) -> None:
        while (arrival := self._next()) is not None:
            if self._broken:
                self._leave(arrival)
                continue  # it stays in the spool for the next run
            try:
                self._wait_turn(arrival)
                known = self._ledger.known(arrival.identifiers.sop_instance_uid)
                self._results.put(self._processor.process(arrival, known))
            except Exception as exc:  # noqa: BLE001 - a worker must neither die nor hang the run
                self._leave(arrival)
                self._fail(exc)

    def _next(self) -> Arrival | None:
        """Take the next arrival and its place in the line; both in the order of arrival."""
        with self._taking:
            arrival = self._arrivals.get()
            if arrival is not None:
                claims = (arrival.identifiers.sop_instance_uid, self._wish(arrival))
                with self._free:
                    self._line[arrival.file] = frozenset(filter(None, claims))
            return arrival

    def _wish(self, arrival: Arrival) -> str:
        try:
            return self._processor.wish(arrival)
        except Exception:  # noqa: BLE001 - `process` meets it again and says what it is
            return ""

    def _commit(self) -> None:
        going = True
        while going:
            batch, going = _drain(self._results, TOGETHER)
            if not batch:
                continue
            stored = [one for one in batch if isinstance(one, Stored)]
            quarantined = [one for one in batch if isinstance(one, Quarantined)]
            try:
                self._ledger.record(stored, quarantined, self._clock.now())
                for one in batch:
                    self._processor.discard(one.arrival)
                self._tell(stored, quarantined)
                if self._limit is not None:
                    self._limit.count(batch)
            except Exception as exc:  # noqa: BLE001 - what is not recorded stays in the spool
                self._fail(exc)
            for one in batch:
                self._leave(one.arrival)

    def _tell(self, stored: Sequence[Stored], quarantined: Sequence[Quarantined]) -> None:
        for one in stored:
            self._accounts.stored(one.arrival.requests, _uid(one))
            if not one.duplicate:
                self._on_event(InstanceStored(one.size, one.kept))
        for each in quarantined:
            log.warning("instance.quarantined", reason=each.reason)
            self._accounts.quarantined(each.arrival.requests, _uid(each))

    def _fail(self, exc: Exception) -> None:
        with self._breaking:
            if self._broken:
                return
            self._broken = True
        log.error("intake.stopped", error=type(exc).__name__)
        try:
            self._on_fatal(as_fatal(exc))  # first, so that what waits is judged as broken off
        finally:
            self._accounts.give_up()

    def _wait_turn(self, arrival: Arrival) -> None:
        """Wait for earlier arrivals of the same instance, or with a wish for the same name."""
        with self._free:
            self._free.wait_for(lambda: self._is_first(arrival))

    def _is_first(self, arrival: Arrival) -> bool:
        mine = self._line[arrival.file]
        for file, claims in self._line.items():  # in the order of arrival
            if file == arrival.file:
                return True
            if claims & mine:
                return False
        return True

    def _leave(self, arrival: Arrival) -> None:
        with self._free:
            self._line.pop(arrival.file, None)
            self._free.notify_all()


def _uid(one: Stored | Quarantined) -> str:
    return one.arrival.identifiers.sop_instance_uid


def _drain(
    source: queue.Queue[Stored | Quarantined | None], most: int
) -> tuple[list[Stored | Quarantined], bool]:
    """Take what is there, waiting for one at least; False at the end mark."""
    found: list[Stored | Quarantined] = []
    item = source.get()
    while item is not None:
        found.append(item)
        if len(found) == most:
            return found, True
        try:
            item = source.get_nowait()
        except queue.Empty:
            return found, True
    return found, False
