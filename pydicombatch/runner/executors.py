"""How one request is carried out, by its type: a table row each."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from pydicombatch.core.attribution import Expectation, expectation
from pydicombatch.core.clock import Clock
from pydicombatch.core.errors import RequestError, TransientError, Unreachable
from pydicombatch.core.model import Answer, Match, Request, RequestType, Verdict
from pydicombatch.core.ports import Archive, Receiver, Sink
from pydicombatch.core.records import Pending, Result
from pydicombatch.runner import judge
from pydicombatch.runner.accounts import Accounts
from pydicombatch.runner.judge import Judgement
from pydicombatch.runner.message_ids import MessageIds

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

    def finish(self, request: int, attempt: int, result: Result, now: datetime) -> None:
        """Record the outcome of a request."""


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
    sink: Sink | None = None  # where instances go that come on our own association (C-GET)

    def request(self, pending: Pending) -> Request:
        """Make the request of a pending row."""
        return Request(pending.identity, pending.line, self.type, self.model, pending.keys)


Execute = Callable[[Surroundings, Archive, Pending], tuple[int, Judgement]]


def find(around: Surroundings, archive: Archive, pending: Pending) -> tuple[int, Judgement]:
    """Send a query; its matches go to the ledger while they come."""
    attempt = around.ledger.start_attempt(around.run, pending.id, around.clock.now())
    waiting: list[Match] = []
    count = 0

    def on_match(match: Match) -> None:
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
        answer = archive.find(around.request(pending), on_match)
        flush()
        return judge.query(answer, count)

    return attempt, _judged(around, attempt, pending.id, send)


def echo(around: Surroundings, archive: Archive, pending: Pending) -> tuple[int, Judgement]:
    """Send a C-ECHO."""
    attempt = around.ledger.start_attempt(around.run, pending.id, around.clock.now())
    return attempt, _judged(around, attempt, pending.id, lambda: judge.echo(archive.echo()))


def move(around: Surroundings, archive: Archive, pending: Pending) -> tuple[int, Judgement]:
    """Send a C-MOVE; it leaves only when its instances are expected, and ends when they are in."""

    def send(request: Request, message_id: int) -> Answer:
        return archive.move(request, message_id, around.destination, lambda _: None)

    return _retrieve(around, pending, send)


def get(around: Surroundings, archive: Archive, pending: Pending) -> tuple[int, Judgement]:
    """Send a C-GET; its instances come on the same association and take the way of all others."""
    sink = around.sink
    if sink is None:
        raise RuntimeError("a C-GET needs a sink")
    return _retrieve(around, pending, lambda request, number: archive.get(request, number, sink))


def _retrieve(
    around: Surroundings, pending: Pending, ask: Callable[[Request, int], Answer]
) -> tuple[int, Judgement]:
    message_id = around.message_ids.take()
    request = around.request(pending)
    expected = expectation(pending.id, message_id, request)

    def send() -> Judgement:
        answer = ask(request, message_id)
        if around.receiver is None:
            return judge.forward(answer)
        # after a refusal of everything nothing more will come, so nobody waits for it
        wanted = 0 if answer.verdict is Verdict.STOP else answer.tally.sent
        return judge.retrieve(answer, around.accounts.close(pending.id, wanted))

    try:
        attempt = around.ledger.start_attempt(around.run, pending.id, around.clock.now(), expected)
        if around.receiver is not None:
            around.accounts.open(pending.id)
            around.receiver.expect(expected)
        return attempt, _judged(around, attempt, pending.id, send)
    finally:
        if around.receiver is not None:
            around.receiver.settle(pending.id)
        around.message_ids.give_back(message_id)


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
    except (TransientError, RequestError) as exc:
        evidence = around.accounts.close(request, 0)  # what has arrived is still being stored
        return judge.failure(exc, evidence.stored, again=isinstance(exc, TransientError))


EXECUTORS: dict[RequestType, Execute] = {
    RequestType.FIND: find,
    RequestType.MOVE: move,
    RequestType.GET: get,
    RequestType.ECHO: echo,
}
