"""A C-GET from end to end: ask what will come, propose contexts for it, try others for the rest."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Protocol

from pydicombatch.backends.dimse import status
from pydicombatch.backends.dimse.contexts import MOST, RARE, USUAL, Proposal, alone, choose
from pydicombatch.backends.dimse.kept import Kept
from pydicombatch.backends.dimse.negotiation import Agreement
from pydicombatch.backends.dimse.survey import Outlook, Survey
from pydicombatch.core.errors import FatalError
from pydicombatch.core.model import Answer, Match, Request, RequestType, Tally, Verdict
from pydicombatch.core.ports import Adopter

OTHERS = 3  # contexts for the C-GET itself, the query before it and the C-ECHO
ROOM = MOST - OTHERS
FUTILE = 3  # requests in a row for which other contexts brought nothing; then they are not tried
SHORT = frozenset({0x0000, 0xB000, 0xA702})  # PS3.4 C.4.3.1.4; dcmqrscp says 0xA702


class Session(Protocol):
    """What is needed of the association's owner."""

    def find(self, request: Request, on_match: Callable[[Match], None]) -> Answer:
        """Send a C-FIND."""

    def get_once(
        self, request: Request, message_id: int, storage: tuple[Proposal, ...], kept: Kept
    ) -> tuple[Answer, Agreement]:
        """Send a C-GET with these contexts for what comes back; note in `kept` what has come."""


class Retrieval:
    """Carries out C-GETs, and remembers between them what was proposed and learned.

    Parameters
    ----------
    session
        Sends.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._survey = Survey(self._query)
        self._proposed: tuple[Proposal, ...] = ()
        self._useful: Counter[str] = Counter()  # transfer syntaxes that brought what lacked
        self._exhausted: set[str] = set()  # requests that nothing more can be done for
        self._futile = 0

    def carry_out(
        self, request: Request, message_id: int, adopter: Adopter, turn: Callable[[], None]
    ) -> Answer:
        """Send a C-GET until everything has come that can come; return what it amounts to."""
        self._survey.turn = turn
        outlook = self._survey.expected(request)
        kept = Kept(adopter)
        answers: list[Answer] = []
        for storage in self._rounds(request, outlook, kept):
            before = len(kept.uids)
            if answers or self._survey.asked:
                turn()
            answer, agreed = self._session.get_once(request, message_id, storage, kept)
            answers.append(answer)
            if not kept.uids and not agreed.sends and answer.tally.failed:
                raise _no_role()
            if len(answers) > 1 and len(kept.uids) > before:
                self._useful[storage[0].transfer_syntaxes[0]] += 1
            if not _lacks_contexts(answer, answers, kept):
                break
        return _together(answers, kept)

    def _rounds(
        self, request: Request, outlook: Outlook, kept: Kept
    ) -> Iterator[tuple[Proposal, ...]]:
        """Yield the contexts to try, until nobody asks for more."""
        yield self._first(outlook)
        if request.identity in self._exhausted or self._futile >= FUTILE:
            return
        came = len(kept.uids)
        if not outlook.is_told:
            proposed = {one.sop_class for one in self._proposed}
            yield choose((), ROOM, proposed)
        syntaxes = sorted(map(str, (*USUAL, *RARE)), key=lambda one: -self._useful[one])
        for syntax in syntaxes:
            yield alone(outlook.expected, kept.classes, syntax, ROOM)
        self._exhausted.add(request.identity)
        self._futile = 0 if len(kept.uids) > came else self._futile + 1

    def _first(self, outlook: Outlook) -> tuple[Proposal, ...]:
        """Choose anew only if the association that is open cannot do."""
        needed = choose(outlook.expected, ROOM)
        known = {one.sop_class for one in outlook.expected}
        vital = {one for one in needed if one.sop_class in known}
        if not self._proposed or not vital <= set(self._proposed):
            self._proposed = needed
        return self._proposed

    def _query(self, request: Request, on_match: Callable[[Match], None]) -> Verdict:
        return self._session.find(request, on_match).verdict


def _lacks_contexts(answer: Answer, answers: list[Answer], kept: Kept) -> bool:
    """Whether instances may have failed because there was no context for them."""
    is_short = answer.status in SHORT or answer.status & 0xF000 == status.UNABLE
    left = _most(answers) - len(kept.uids) - kept.refused
    return is_short and bool(answer.tally.failed) and left > 0


def _most(answers: list[Answer]) -> int:
    return max(one.tally.expected or 0 for one in answers)


def _together(answers: list[Answer], kept: Kept) -> Answer:
    """Sum up several rounds: each reports as failed what another one has brought."""
    last = answers[-1]
    if len(answers) == 1 or last.tally.expected is None:
        return last
    failed = max(0, _most(answers) - len(kept.uids))
    tally = Tally(remaining=0, completed=len(kept.uids), failed=failed, warning=0)
    code = status.SUB_OPERATIONS_FAILED if failed else status.SUCCESS
    means = status.meaning(RequestType.GET, code, tally)
    left = tuple(uid for uid in last.failed_uids if uid not in kept.uids)
    return replace(
        last,
        status=code,
        verdict=means.verdict,
        reason=means.reason,
        remedy=means.remedy,
        tally=tally,
        failed_uids=left,
    )


def _no_role() -> FatalError:
    return FatalError(
        "The archive does not send instances over our association: it granted no SCP role",
        "Use request.type c-move, or ask its administrator to allow C-GET for our AE title",
    )
