"""What an attempt came to: the archive's words held against what is stored. Pure."""

from dataclasses import dataclass, replace

from pydicombatch.core.errors import PydicombatchError
from pydicombatch.core.model import Answer, Outcome, Tally, Verdict
from pydicombatch.core.records import Folded, Pending, Result
from pydicombatch.runner.accounts import Evidence

REFUSALS = frozenset({0x0122, 0x0124, 0xA900})  # PS3.4 C.4: the request itself is not accepted
NOTHING = "The archive found nothing for this request"
ELSEWHERE = (
    "Check at the archive which host and port it has for our AE title, and that no firewall "
    "stands in between"
)
CHECK_ROW = "Check the values of this row"
AGAIN = "Run again; if it stays so, ask the archive's administrator what it did not send"


@dataclass(frozen=True, slots=True)
class Judgement:
    """The result of an attempt, and whether another one may do better."""

    result: Result
    again: bool = False
    stop: bool = False  # every other request would fail the same way
    cut_off: bool = False  # it ended before its time, so no attempt is spent
    retrieves: tuple[Pending, ...] | None = None  # a row was looked up: these come in its place
    rows: tuple[Folded, ...] = ()  # rows that are decided with it

    def took(self, seconds: float) -> "Judgement":
        """Add how long the attempt took."""
        return replace(self, result=replace(self.result, seconds=seconds))


def failure(error: PydicombatchError, received: int = 0, *, again: bool) -> Judgement:
    """Judge an attempt that brought no final response."""
    outcome = Outcome.PARTIAL if received else Outcome.FAILED
    result = Result(outcome, received=received, reason=error.problem, remedy=error.remedy)
    return Judgement(result, again=again)


def query(answer: Answer, matches: int) -> Judgement:
    """Judge a query by its final response."""
    if answer.verdict is Verdict.DONE:
        outcome = Outcome.COMPLETE if matches else Outcome.EMPTY
        return Judgement(Result(outcome, answer, matches=matches))
    return _unsuccessful(answer, Result(Outcome.FAILED, answer, matches=matches))


def echo(answer: Answer) -> Judgement:
    """Judge a C-ECHO."""
    if answer.verdict is Verdict.DONE:
        return Judgement(Result(Outcome.COMPLETE, answer))
    return _unsuccessful(answer, Result(Outcome.FAILED, answer))


def retrieve(answer: Answer, evidence: Evidence) -> Judgement:
    """Judge a C-MOVE to ourselves: done means stored.

    The archive's count of what it sent (PS3.4 C.4.2.1.6 to .9) must have arrived, every arrival
    must be in the ledger, and no sub-operation may have failed.
    """
    tally = answer.tally
    result = Result(
        Outcome.COMPLETE,
        answer,
        received=evidence.arrived,
        expected=_expected(answer, evidence),
        failed=tally.failed or 0,
    )
    if answer.verdict is not Verdict.DONE:
        return _unsuccessful(answer, result, partial=evidence.stored > 0)
    lack = _lack(tally, evidence)
    if lack:
        outcome = Outcome.PARTIAL if evidence.stored else Outcome.FAILED
        remedy = AGAIN if evidence.arrived or tally.failed else ELSEWHERE
        return Judgement(replace(result, outcome=outcome, reason=lack, remedy=remedy), again=True)
    if evidence.quarantined:
        reason = f"{evidence.quarantined} instances were quarantined"
        remedy = "See the quarantine directory and the reasons in `pydicombatch status`"
        return Judgement(replace(result, outcome=Outcome.QUARANTINED, reason=reason, remedy=remedy))
    if not evidence.arrived:
        return Judgement(replace(result, outcome=Outcome.EMPTY, reason=NOTHING, remedy=CHECK_ROW))
    return Judgement(result)


def forward(answer: Answer) -> Judgement:
    """Judge a C-MOVE to somebody else: the counters are all the evidence."""
    tally = answer.tally
    result = Result(Outcome.COMPLETE, answer, expected=tally.expected, failed=tally.failed or 0)
    if answer.verdict is not Verdict.DONE:
        return _unsuccessful(answer, result, partial=bool(tally.sent))
    if tally.failed:
        outcome = Outcome.PARTIAL if tally.sent else Outcome.FAILED
        lack = _failed(tally.failed)
        return Judgement(replace(result, outcome=outcome, reason=lack, remedy=AGAIN), again=True)
    if tally.sent == 0:
        return Judgement(replace(result, outcome=Outcome.EMPTY, reason=NOTHING, remedy=CHECK_ROW))
    return Judgement(result)


def _lack(tally: Tally, evidence: Evidence) -> str:
    """Say what is missing although the archive calls it a success; "" when nothing is."""
    if tally.failed:
        return _failed(tally.failed)
    if max(tally.sent or 0, evidence.arrived) > evidence.processed:
        if tally.sent is None:
            return f"{evidence.arrived} instances arrived, {evidence.processed} are stored"
        return f"The archive says it sent {tally.sent} instances, {evidence.processed} are stored"
    if tally.sent is None and evidence.cut_short:
        return "The run was stopped while more instances could still come"
    return ""


def _failed(count: int) -> str:
    return f"{count} of the archive's sub-operations failed"


def _expected(answer: Answer, evidence: Evidence) -> int | None:
    if not answer.tally.expected and answer.verdict is not Verdict.DONE:
        return None  # counters at zero tell nothing of what could not be tried
    if answer.tally.expected is None:
        return evidence.arrived if answer.verdict is Verdict.DONE and evidence.arrived else None
    return answer.tally.expected


def _unsuccessful(answer: Answer, result: Result, *, partial: bool = False) -> Judgement:
    outcome = Outcome.REFUSED if answer.status in REFUSALS else Outcome.FAILED
    outcome = Outcome.PARTIAL if partial else outcome
    return Judgement(
        replace(result, outcome=outcome, reason=answer.reason, remedy=answer.remedy),
        again=answer.verdict is Verdict.RETRY,
        stop=answer.verdict is Verdict.STOP,
    )
