"""Plain stand-ins for the ports: an archive, a receiver, a processor, a ledger of instances."""

import threading
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from datetime import datetime
from pathlib import PurePosixPath

from pydicombatch.core.attribution import Expectation
from pydicombatch.core.errors import FatalError
from pydicombatch.core.model import (
    Answer,
    Arrival,
    Identifiers,
    Key,
    Known,
    Match,
    Outcome,
    Quarantined,
    Request,
    RequestType,
    Stored,
    Tally,
    Verdict,
)
from pydicombatch.core.ports import Adopter, Processor
from pydicombatch.core.records import Entry, Folded, Holding, Pending, Result

LIMIT = 20.0  # seconds after which a test that hangs fails
DONE = Answer(0x0000, Verdict.DONE)


def request(
    row: int, identity: str = "", carried: tuple[tuple[str, str], ...] = (), **keys: str
) -> Request:
    """Make a request; its identity is its keys unless given."""
    named = identity or repr(sorted(keys.items()))
    pairs = tuple(Key(path, value) for path, value in keys.items())
    return Request(named, row, RequestType.MOVE, "study", pairs, carried)


def pending(number: int) -> Pending:
    """Make a request that waits; its ledger id is its line."""
    key = Key("StudyInstanceUID", f"1.2.{number}")
    return Pending(number, number, f"identity {number}", (key,), 0)


def arrival(uid: str, *requests: int, file: str = "") -> Arrival:
    """Make an arrival of this SOP Instance UID."""
    name = PurePosixPath(file or f"spooled-{uid}")
    return Arrival(name, Identifiers("1.2", uid), "1.2.840.10008.1.2", 100, requests)


def stored(uid: str, *requests: int, duplicate: bool = False, collided: bool = False) -> Stored:
    """Make a stored instance of 100 bytes."""
    return Stored(arrival(uid, *requests), f"path/{uid}.dcm", 100, "ab" * 32, collided, duplicate)


def entry(line: int | None, outcome: Outcome | None = Outcome.COMPLETE, **more: object) -> Entry:
    """Make a request as a report shows it."""
    fields: dict[str, object] = {
        "id": line or 999,
        "line": line,
        "keys": (Key("PatientID", f"P{line}"),),
        "carried": (),
        "outcome": outcome,
        "status": 0,
        "expected": None,
        "stored": 0,
        "failed": 0,
        "quarantined": 0,
        "matches": 0,
        "attempt": 1,
        "attempts": 1,
        "seconds": 1.0,
        "reason": "",
        "remedy": "",
        "finished": line,
    }
    return Entry(**(fields | more))  # type: ignore[arg-type]


Script = Callable[[Request, "FakeArchive"], Answer]


class FakeArchive:
    """Does what a function says with every request; `cancelled` and `aborted` are events."""

    def __init__(self, script: Script, on_open: Callable[[], None] = lambda: None) -> None:
        self._script = script
        self._on_open = on_open
        self.cancelled = threading.Event()
        self.aborted = threading.Event()
        self.closed = False
        self.opened = 0

    def open(self) -> None:
        self.opened += 1
        self._on_open()

    def echo(self) -> Answer:
        return DONE

    def find(self, request: Request, on_match: Callable[[Match], None]) -> Answer:
        return self._script(request, self)

    def is_relational(self) -> bool:
        return False

    def move(
        self,
        request: Request,
        message_id: int,
        destination: str,
        on_progress: Callable[[Tally], None],
    ) -> Answer:
        return self._script(request, self)

    def get(
        self, request: Request, message_id: int, adopter: Adopter, turn: Callable[[], None]
    ) -> Answer:
        return self._script(request, self)

    def cancel(self) -> None:
        self.cancelled.set()

    def abort(self) -> None:
        self.aborted.set()

    def close(self) -> None:
        self.closed = True


class FakeReceiver:
    """Remembers what was expected and settled, in order."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, int]] = []
        self.expected: list[Expectation] = []

    def start(self, announce: Callable[[Arrival], None]) -> None:
        self.announce = announce

    def expect(self, expectation: Expectation) -> None:
        self.expected.append(expectation)
        self.heard.append(("expect", expectation.request))

    def hasten(self) -> None:
        pass

    def settle(self, request: int) -> None:
        self.heard.append(("settle", request))

    def refused(self) -> int:
        return 0

    def is_full(self) -> bool:
        """Never."""
        return False

    def close(self) -> None:
        pass


def carried_out(
    processor: Processor, arrival: Arrival, known: Known | None
) -> Stored | Quarantined:
    """Have one arrival processed."""
    (done,) = processor.process([(arrival, known)])
    return done


class FakeProcessor:
    """Stores everything; notes what ran at the same time, and what was discarded, in order."""

    def __init__(
        self,
        process: Callable[[Arrival, Known | None], Stored | Quarantined] | None = None,
        journal: list[str] | None = None,
        wish: Callable[[Arrival], str] = lambda _: "",
    ) -> None:
        self._process = process or self._store
        self.wish = wish
        self._lock = threading.Lock()
        self._running: list[str] = []
        self.together: set[tuple[str, ...]] = set()
        self.discarded: list[Arrival] = []
        self.journal = [] if journal is None else journal

    def process(
        self, some: Sequence[tuple[Arrival, Known | None]]
    ) -> Generator[Stored | Quarantined, None, None]:
        for arrival, known in some:
            yield self._noted(arrival, known)

    def _noted(self, arrival: Arrival, known: Known | None) -> Stored | Quarantined:
        uid = arrival.identifiers.sop_instance_uid
        with self._lock:
            self._running.append(uid)
            self.together.add(tuple(sorted(self._running)))
        try:
            return self._process(arrival, known)
        finally:
            with self._lock:
                self._running.remove(uid)

    def discard(self, arrival: Arrival) -> None:
        self.discarded.append(arrival)
        self.journal.append(f"discard {arrival.file.name}")

    def _store(self, arrival: Arrival, known: Known | None) -> Stored:
        uid = arrival.identifiers.sop_instance_uid
        return Stored(arrival, f"{uid}.dcm", 100, "ab" * 32, duplicate=known is not None)


class FakeInstances:
    """The ledger as the intake sees it; raises `error` instead of recording, when given."""

    def __init__(self, error: FatalError | None = None, journal: list[str] | None = None) -> None:
        self._error = error
        self._known: dict[str, Known] = {}
        self.journal = [] if journal is None else journal
        self.stored: list[Stored] = []
        self.quarantined: list[Quarantined] = []
        self.asked: list[int] = []  # how many UIDs at a time

    def known(self, sop_instance_uids: Sequence[str]) -> dict[str, Known]:
        self.asked.append(len(sop_instance_uids))
        return {uid: self._known[uid] for uid in sop_instance_uids if uid in self._known}

    def record(
        self, stored: Sequence[Stored], quarantined: Sequence[Quarantined], now: datetime
    ) -> None:
        if self._error:
            raise self._error
        self.stored += stored
        self.quarantined += quarantined
        both: list[Stored | Quarantined] = [*stored, *quarantined]
        for one in both:
            uid = one.arrival.identifiers.sop_instance_uid
            self.journal.append(f"record {one.arrival.file.name}")
            if isinstance(one, Stored):
                self._known[uid] = Known(one.path, one.sha256, one.received_sha256)


class FakeAttempts:
    """The ledger as the engine sees it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.started: list[int] = []
        self.interrupted: list[str] = []
        self.postponed: list[tuple[int, int, datetime]] = []  # request, tries, due
        self.message_ids: list[int] = []
        self.held: dict[int, set[str]] = {}  # request -> SOP Instance UIDs stored for it
        self.finished: dict[int, Result] = {}
        self.staged: list[tuple[int, int]] = []  # first, how many

    def start_attempt(
        self, run: int, request: int, now: datetime, expectation: Expectation | None = None
    ) -> int:
        with self._lock:
            self.started.append(request)
            return len(self.started)

    def stage(self, request: int, attempt: int, first: int, matches: Sequence[Match]) -> None:
        self.staged.append((first, len(matches)))

    def interrupt(self, attempt: int, now: datetime, reason: str) -> None:
        with self._lock:
            self.interrupted.append(reason)

    def postpone(
        self, request: int, attempt: int, tries: int, due: datetime, reason: str, now: datetime
    ) -> None:
        with self._lock:
            self.interrupted.append(reason)
            self.postponed.append((request, tries, due))

    def resent(self, attempt: int, message_id: int) -> None:
        with self._lock:
            self.message_ids.append(message_id)

    def holding(self, request: int) -> Holding:
        with self._lock:
            return Holding(self.started.count(request), frozenset(self.held.get(request, ())))

    def finish(self, request: int, attempt: int, result: Result, now: datetime) -> Sequence[Folded]:
        with self._lock:
            assert request not in self.finished
            self.finished[request] = result
        return ()


class FakeResults:
    """The ledger as the results file sees it: finished requests in the order of finishing."""

    def __init__(self, *entries: Entry) -> None:
        self.entries = list(entries)
        self._meta: dict[str, object] = {}

    def finished_after(self, number: int) -> Iterator[Entry]:
        behind = (one for one in self.entries if (one.finished or 0) > number)
        return iter(sorted(behind, key=lambda one: one.finished or 0))

    def results(self) -> Iterator[Entry]:
        return iter(sorted(self.entries, key=lambda one: one.line or 1 << 40))

    def meta(self, name: str) -> object:
        return self._meta.get(name)

    def set_meta(self, name: str, value: object) -> None:
        self._meta[name] = value


def fetch_from(lines: Iterable[int]) -> Callable[[int, int], list[Pending]]:
    """Read requests of these lines as the ledger does."""
    every = sorted(lines)

    def fetch(after: int, limit: int) -> list[Pending]:
        return [pending(line) for line in every if line > after][:limit]

    return fetch


def together(*jobs: Callable[[], object]) -> None:
    """Run functions in threads at once; fail when one raises or does not end in time."""
    errors: list[BaseException] = []

    def guarded(job: Callable[[], object]) -> None:
        try:
            job()
        except BaseException as exc:  # noqa: BLE001 - raised below, in the thread of the test
            errors.append(exc)

    threads = [threading.Thread(target=guarded, args=(job,), daemon=True) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LIMIT)
        assert not thread.is_alive(), "a thread hangs"
    if errors:
        raise errors[0]
