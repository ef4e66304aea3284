"""Queries that belong to one row: each goes through the gate, is reviewed and tried again."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date

from pydicombatch.core.errors import TransientError
from pydicombatch.core.log import EventLog
from pydicombatch.core.model import Key, Match, Outcome, Request, RequestType
from pydicombatch.core.ports import Archive
from pydicombatch.core.records import Pending
from pydicombatch.runner.answers import LEVEL
from pydicombatch.runner.inventory import Turn
from pydicombatch.runner.judge import Judgement
from pydicombatch.runner.querying import Means, Query

log = EventLog(__name__)
ANSWERED = frozenset({Outcome.COMPLETE, Outcome.EMPTY})


class UnansweredError(Exception):
    """A query did not bring all answers; the judgement says why."""

    def __init__(self, judgement: Judgement) -> None:
        super().__init__(judgement.result.outcome)
        self.judgement = judgement


@dataclass
class Asking:
    """Sends the queries of one row, one after the other.

    The first may leave at once: the engine has let the row through the gate. Each further one
    waits for the pause, the window and the rate like a request of its own.
    """

    means: Means
    archive: Archive
    pending: Pending
    today: date
    turn: Turn
    is_first: bool = True
    sent: int = 0

    def __call__(self, model: str, keys: tuple[Key, ...]) -> list[dict[str, str]]:
        """Send a query; return its answers as path -> text.

        Raises
        ------
        UnansweredError
            If it was refused, cut short or cut off.
        TransientError
            If it failed again and again.
        NoTurnError
            If nothing may leave any more.
        """
        request = Request(self.pending.identity, self.pending.line, RequestType.FIND, model, keys)
        for tries in range(1, self.means.attempts):
            found = self._try(request, tries)
            if found is not None:
                return found
            self.means.pause(tries)
        return self._send(request)

    def _try(self, request: Request, tries: int) -> list[dict[str, str]] | None:
        """Send it; None when it may do better the next time."""
        alone = self.is_first  # then the engine knows what to do
        try:
            return self._send(request)
        except UnansweredError as exc:
            if alone or not exc.judgement.again:
                raise
        except TransientError as exc:  # an archive that is down is waited for by the next turn
            if alone:
                raise
            log.warning("selection.query", error=type(exc).__name__, attempt=tries)
        return None

    def _send(self, request: Request) -> list[dict[str, str]]:
        if not self.is_first:
            self.turn(self.archive)
        self.is_first = False
        self.sent += 1
        found: list[dict[str, str]] = []

        def keep(match: Match) -> None:
            found.append(dict(match.values))

        judgement = Query(self.means, self.archive, request, keep, self.turn).carry_out(self.today)
        if judgement.result.outcome not in ANSWERED:
            raise UnansweredError(_located(judgement, request))
        return found


def _located(judgement: Judgement, request: Request) -> Judgement:
    """Add at which level it was asked: the row itself may name none."""
    result = judgement.result
    reason = f"{result.reason} (asked at {request.value(LEVEL)} level)"
    return replace(judgement, result=replace(result, reason=reason))


Ask = Callable[[str, tuple[Key, ...]], list[dict[str, str]]]
