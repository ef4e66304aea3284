"""How one request is carried out, by its type: a table row each."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Protocol

from pydicombatch.core.attribution import Expectation
from pydicombatch.core.clock import Clock
from pydicombatch.core.errors import RequestError, TransientError, Unreachable
from pydicombatch.core.model import Answer, Match, Request, RequestType
from pydicombatch.core.ports import Adopter, Archive, Receiver
from pydicombatch.core.records import Folded, Holding, Pending, Result
from pydicombatch.runner import judge
from pydicombatch.runner.accounts import Accounts
from pydicombatch.runner.asking import Asking
from pydicombatch.runner.completing import complete, needed_keys
from pydicombatch.runner.gate import NoTurnError
from pydicombatch.runner.inventory import Habits, Turn
from pydicombatch.runner.judge import Judgement
from pydicombatch.runner.message_ids import MessageIds
from pydicombatch.runner.querying import Means, Query
from pydicombatch.runner.retrieve import Retrieval

TOGETHER = 500  # matches put into the ledger at a time, so that memory stays flat


class AttemptLedger(Protocol):
    """What an executor needs of the ledger."""

    def start_attempt(
        self, run: int, request: int, now: datetime, expectation: Expectation | None = None
    ) -> int:
        """Record that a request leaves now; return the attempt's number."""

    def stage(self, request: int, attempt: int, first: int, matches: list[Match]) -> None:
        """Put matches of a query that still runs aside."""

    def interrupt(self, attempt: int, now: datetime, reason: str) -> None:
        """Record that an attempt came to nothing; its request stays pending."""

    def postpone(
        self, request: int, attempt: int, tries: int, due: datetime, reason: str, now: datetime
    ) -> None:
        """Record that an attempt has failed, the n-th in a row, and when the next may leave."""

    def resent(self, attempt: int, message_id: int) -> None:
        """Record that an attempt goes on with another C-MOVE."""

    def holding(self, request: int) -> Holding:
        """Return what lies here for a request, and how often it was sent."""

    def finish(self, request: int, attempt: int, result: Result, now: datetime) -> Sequence[Folded]:
        """Record the outcome of a request; return the rows that are decided with it."""


class Selector(Protocol):
    """Finds out what a row means before anything is retrieved."""

    def look_up(
        self, around: "Surroundings", archive: Archive, pending: Pending
    ) -> tuple[int, Judgement]:
        """Ask the archive, unless that was done; the judgement has the retrieves."""


@dataclass(frozen=True)
class Surroundings:
    """What executors share."""

    run: int
    type: RequestType
    model: str
    ledger: AttemptLedger
    clock: Clock
    accounts: Accounts
    message_ids: MessageIds
    receiver: Receiver | None  # None: nothing is stored here
    destination: str  # AE title that C-MOVE sends to
    adopter: Adopter | None = None  # takes what comes on our own association (C-GET)
    means: Means = field(default_factory=Means)  # of queries
    complete: bool = False  # whether counts that matches lack are made by further queries
    selector: "Selector | None" = None  # None: rows are sent as they are
    verify_instances: bool = False  # whether counts are never enough
    habits: Habits = field(default_factory=Habits)  # of the archive
    turn: Turn = lambda _: None  # waits until one more request of the same row may leave

    def request(self, pending: Pending) -> Request:
        """Make the request of a pending row."""
        return Request(pending.identity, pending.line, self.type, self.model, pending.keys)


Execute = Callable[[Surroundings, Archive, Pending], tuple[int, Judgement]]


def find(around: Surroundings, archive: Archive, pending: Pending) -> tuple[int, Judgement]:
    """Send a query; its matches go to the ledger while they come."""
    attempt = around.ledger.start_attempt(around.run, pending.id, around.clock.now())
    waiting: list[Match] = []
    count = 0

    def keep(match: Match) -> None:
        nonlocal count
        waiting.append(match)
        count += 1
        if len(waiting) == TOGETHER:
            flush()

    def flush() -> None:
        if waiting:
            around.ledger.stage(pending.id, attempt, count - len(waiting), waiting)
            waiting.clear()

    def send() -> Judgement:
        today = around.clock.now().date()
        request = around.request(pending)
        if not around.complete:
            judgement = Query(around.means, archive, request, keep, around.turn).carry_out(today)
            flush()
            return judgement
        found: list[Match] = []
        asked = replace(request, keys=needed_keys(request.keys, around.model))
        query = Query(around.means, archive, asked, found.append, around.turn)
        judgement = query.carry_out(today)
        asking = Asking(around.means, archive, pending, today, around.turn, is_first=False)
        lack = complete(asking, pending, around.model, found, keep)
        flush()
        return lack or judgement

    return attempt, _judged(around, attempt, pending.id, send)


def echo(around: Surroundings, archive: Archive, pending: Pending) -> tuple[int, Judgement]:
    """Send a C-ECHO."""
    attempt = around.ledger.start_attempt(around.run, pending.id, around.clock.now())
    return attempt, _judged(around, attempt, pending.id, lambda: judge.echo(archive.echo()))


def move(around: Surroundings, archive: Archive, pending: Pending) -> tuple[int, Judgement]:
    """Send a C-MOVE; to ourselves, with all that makes sure that everything has come."""

    def send(request: Request, message_id: int) -> Answer:
        return archive.move(request, message_id, around.destination, lambda _: None)

    if around.receiver is not None:
        return Retrieval(around, around.receiver, archive, pending, send).carry_out()
    message_id = around.message_ids.take()
    try:
        attempt = around.ledger.start_attempt(around.run, pending.id, around.clock.now())
        around.ledger.resent(attempt, message_id)
        request = around.request(pending)
        outcome = _judged(
            around, attempt, pending.id, lambda: judge.forward(send(request, message_id))
        )
        return attempt, outcome
    finally:
        around.message_ids.give_back(message_id)


def get(around: Surroundings, archive: Archive, pending: Pending) -> tuple[int, Judgement]:
    """Send a C-GET; its instances come on the same association and take the way of all others."""
    receiver, adopter = around.receiver, around.adopter
    if receiver is None or adopter is None:
        raise RuntimeError("a C-GET needs a receiver")

    def send(request: Request, message_id: int) -> Answer:
        return archive.get(request, message_id, adopter, lambda: around.turn(archive))

    return Retrieval(around, receiver, archive, pending, send).carry_out()


def _judged(
    around: Surroundings, attempt: int, request: int, send: Callable[[], Judgement]
) -> Judgement:
    """Send, and judge an error too; one that says that nothing was sent is passed on."""
    try:
        return send()
    except Unreachable:
        around.accounts.close(request, 0)
        around.ledger.interrupt(attempt, around.clock.now(), "The archive could not be reached")
        raise
    except NoTurnError:  # between two parts of a query
        around.ledger.interrupt(attempt, around.clock.now(), "Nothing more may be sent for now")
        raise
    except (TransientError, RequestError) as exc:
        evidence = around.accounts.close(request, 0)  # what has arrived is still being stored
        return judge.failure(exc, evidence.stored, again=isinstance(exc, TransientError))


EXECUTORS: dict[RequestType, Execute] = {
    RequestType.FIND: find,
    RequestType.MOVE: move,
    RequestType.GET: get,
    RequestType.ECHO: echo,
}


def executor(around: Surroundings, pending: Pending) -> Execute:
    """Choose how a request is carried out; a row that has to be looked up is that first."""
    if around.selector is not None and pending.owner is None:
        return around.selector.look_up
    return EXECUTORS[around.type]
