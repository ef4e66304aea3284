"""From the spool to the final path: bounded queues between receiving, processing and the ledger."""

import queue
import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from datetime import datetime
from itertools import compress
from operator import not_
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
from pydicombatch.runner.turns import Turns

log = EventLog(__name__)
UNDER_WAY = 128  # arrivals between the receiver and the ledger; then the receiver answers later
MOST_AT_A_TIME, AT_A_TIME = 8, 4 << 20  # arrivals, and bytes of them, that a worker takes


class InstanceLedger(Protocol):
    """What the intake needs of the ledger."""

    def known(self, sop_instance_uids: Sequence[str]) -> dict[str, Known]:
        """Return what is stored under these SOP Instance UIDs."""

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
        self._waiting: deque[Arrival] = deque()
        self._turns = Turns()
        self._closing = False
        lock = threading.Lock()  # of these three
        self._arrived, self._room, self._turn = (threading.Condition(lock) for _ in range(3))
        self._results: queue.SimpleQueue[list[Stored | Quarantined] | None] = queue.SimpleQueue()
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
        claims = filter(None, (arrival.identifiers.sop_instance_uid, self._wish(arrival)))
        with self._room:
            self._room.wait_for(lambda: len(self._turns) < UNDER_WAY)
            self._turns.enter(str(arrival.file), claims)
            self._waiting.append(arrival)
            self._arrived.notify()

    def close(self) -> None:
        """Process what was announced, then end the threads."""
        with self._arrived:
            self._closing = True
            self._arrived.notify_all()
        for thread in self._workers:
            thread.join()
        self._results.put(None)
        self._committer.join()

    def _work(self) -> None:
        while share := self._next():
            while share:
                ready, share = self._ready(share)
                done = self._process(ready)
                if done:
                    self._results.put(done)
                self._leave(ready[len(done) :])  # they stay in the spool for the next run

    def _next(self) -> list[Arrival]:
        """Take a few small arrivals or a large one; nothing at the end."""
        share: list[Arrival] = []
        with self._arrived:
            self._arrived.wait_for(lambda: self._waiting or self._closing)
            most = min(MOST_AT_A_TIME, -(-len(self._waiting) // len(self._workers)))
            room = AT_A_TIME
            while len(share) < most and room > 0:
                share.append(self._waiting.popleft())
                room -= share[-1].size
        return share

    def _ready(self, share: list[Arrival]) -> tuple[list[Arrival], list[Arrival]]:
        """Wait until it is the first one's turn; return those whose turn it is, and the others."""
        with self._turn:
            self._turn.wait_for(lambda: self._turns.is_first(str(share[0].file)))
            first = [self._turns.is_first(str(one.file)) for one in share]
        return list(compress(share, first)), list(compress(share, map(not_, first)))

    def _process(self, ready: list[Arrival]) -> list[Stored | Quarantined]:
        """Process one after the other; nothing is returned that is not there for certain."""
        done: list[Stored | Quarantined] = []
        if self._broken:
            return done
        try:
            with closing(self._processor.process(self._looked_up(ready))) as results:
                for one in results:
                    done.append(one)
                    if self._broken:
                        break
        except Exception as exc:  # noqa: BLE001 - a worker must neither die nor hang the run
            self._fail(exc)
            return []
        return done

    def _looked_up(self, ready: list[Arrival]) -> list[tuple[Arrival, Known | None]]:
        known = self._ledger.known([one.identifiers.sop_instance_uid for one in ready])
        return [(one, known.get(one.identifiers.sop_instance_uid)) for one in ready]

    def _wish(self, arrival: Arrival) -> str:
        try:
            return self._processor.wish(arrival)
        except Exception:  # noqa: BLE001 - `process` meets it again and says what it is
            return ""

    def _commit(self) -> None:
        going = True
        while going:
            batch, going = _drain(self._results)
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
            self._leave([one.arrival for one in batch])

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

    def _leave(self, arrivals: Iterable[Arrival]) -> None:
        with self._turn:
            for one in arrivals:
                self._turns.leave(str(one.file))
            self._turn.notify_all()
            self._room.notify_all()


def _uid(one: Stored | Quarantined) -> str:
    return one.arrival.identifiers.sop_instance_uid


def _drain(
    source: queue.SimpleQueue[list[Stored | Quarantined] | None],
) -> tuple[list[Stored | Quarantined], bool]:
    """Take what is there, waiting for something at least; False at the end mark."""
    found: list[Stored | Quarantined] = []
    some = source.get()
    while some is not None:
        found += some
        try:
            some = source.get_nowait()
        except queue.Empty:
            return found, True
    return found, False
