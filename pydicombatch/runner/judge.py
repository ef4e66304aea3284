"""What an attempt came to: the archive's words held against what is stored. Pure."""

from dataclasses import dataclass, replace

from pydicombatch.core.errors import PydicombatchError
from pydicombatch.core.model import Answer, Outcome, Tally, Verdict
from pydicombatch.core.records import Folded, Holding, Pending, Result
from pydicombatch.runner.accounts import Evidence
from pydicombatch.runner.census import Census, proof

REFUSALS = frozenset({0x0122, 0x0124, 0xA900})  # PS3.4 C.4: the request itself is not accepted
NOTHING = "The archive found nothing for this request"
ELSEWHERE = (
    "Check at the archive which host and port it has for our AE title, and that no firewall "
    "stands in between"
)
SILENT = "The archive calls it a success, but has sent nothing and does not say how much there is"
CHECK_ROW = "Check the values of this row"
UNASKED = Census()
AGAIN = "Run again; if it stays so, ask the archive's administrator what it did not send"


@dataclass(frozen=True, slots=True)
class Judgement:
    """The result of an attempt, and whether another one may do better."""

    result: Result
    again: bool = False
    stop: bool = False  # every other request would fail the same way
    retrieves: tuple[Pending, ...] | None = None  # a row was looked up: these come in its place
    rows: tuple[Folded, ...] = ()  # rows that are decided with it

    def took(self, seconds: float) -> "Judgement":
        """Add how long the attempt took."""
        return replace(self, result=replace(self.result, seconds=seconds))


def failure(
    error: PydicombatchError, received: int = 0, *, again: bool, missing: tuple[str, ...] = ()
) -> Judgement:
    """Judge an attempt that brought no final response."""
    outcome = Outcome.PARTIAL if received else Outcome.FAILED
    result = Result(
        outcome, received=received, reason=error.problem, remedy=error.remedy, missing=missing
    )
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


def retrieve(
    answer: Answer,
    evidence: Evidence,
    holding: Holding | None = None,
    census: Census = UNASKED,
) -> Judgement:
    """Judge a retrieve to ourselves: done means stored.

    Every instance that the archive lists must lie here, by its SOP Instance UID. Where it lists
    none, all that it counts (PS3.4 C.4.2.1.6 to .9) must have arrived, every arrival must be in
    the ledger, and no sub-operation may have failed.

    Parameters
    ----------
    answer
        The final response.
    evidence
        What this attempt brought.
    holding
        What lies here of all attempts; as much as this one brought if not given.
    census
        What queries about the request have brought.
    """
    result = Result(
        Outcome.COMPLETE,
        answer,
        received=evidence.times or evidence.arrived,
        expected=_expected(answer, evidence, census),
        failed=answer.tally.failed or 0,
        evidence=proof(answer.tally, census),
    )
    stored = len(holding.stored) if holding else evidence.stored
    if answer.verdict is Verdict.STOP:
        return _unsuccessful(answer, result, partial=stored > 0)
    if census.listed is not None and holding is not None:
        return _by_list(answer, evidence, holding, census.listed, result)
    if answer.verdict is not Verdict.DONE:
        lacking = replace(result, missing=answer.failed_uids)
        return _unsuccessful(answer, lacking, partial=stored > 0)
    held = len(holding.all) if holding else evidence.processed
    lack = _lack(answer.tally, evidence) or _uncounted(answer.tally, census.related, held)
    if lack:
        outcome = Outcome.PARTIAL if stored else Outcome.FAILED
        remedy = AGAIN if held or evidence.arrived or answer.tally.failed else ELSEWHERE
        lacking = replace(result, missing=answer.failed_uids)
        return Judgement(replace(lacking, outcome=outcome, reason=lack, remedy=remedy), again=True)
    quarantined = len(holding.quarantined) if holding else evidence.quarantined
    return _whole(result, stored, quarantined)


def _by_list(
    answer: Answer,
    evidence: Evidence,
    holding: Holding,
    listed: frozenset[str],
    result: Result,
) -> Judgement:
    """Judge by the archive's list of instances."""
    missing = listed - holding.all
    partial = Outcome.PARTIAL if holding.stored else Outcome.FAILED
    lack = _unprocessed(evidence) or _unlisted(answer.tally, len(listed))
    if missing:
        lack = f"{len(missing)} of the {len(listed)} instances that the archive lists have not come"
    if not missing and not lack and (listed or answer.verdict is Verdict.DONE):
        return _whole(result, len(holding.stored), len(holding.quarantined))
    result = replace(result, missing=tuple(sorted(missing)))
    if answer.verdict is Verdict.DONE:
        remedy = AGAIN if holding.all else ELSEWHERE
        return Judgement(replace(result, outcome=partial, reason=lack, remedy=remedy), again=True)
    return _unsuccessful(answer, result, partial=bool(holding.stored))


def _whole(result: Result, stored: int, quarantined: int) -> Judgement:
    """Judge a request of which nothing is missing."""
    if quarantined:
        reason = f"{quarantined} instances were quarantined"
        remedy = "See the quarantine directory and the reasons in `pydicombatch status`"
        return Judgement(replace(result, outcome=Outcome.QUARANTINED, reason=reason, remedy=remedy))
    if stored:
        return Judgement(result)
    return Judgement(replace(result, outcome=Outcome.EMPTY, reason=NOTHING, remedy=CHECK_ROW))


def forward(answer: Answer) -> Judgement:
    """Judge a C-MOVE to somebody else: the counters are all the evidence."""
    tally = answer.tally
    result = Result(
        Outcome.COMPLETE,
        answer,
        expected=tally.expected,
        failed=tally.failed or 0,
        evidence=proof(tally, UNASKED),
    )
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
    if (tally.sent or 0) > evidence.processed:
        return f"The archive says it sent {tally.sent} instances, {evidence.processed} are stored"
    return _unprocessed(evidence) or _untold(tally, evidence)


def _unprocessed(evidence: Evidence) -> str:
    if evidence.arrived > evidence.processed:
        return f"{evidence.arrived} instances arrived, {evidence.processed} are stored"
    return ""


def _untold(tally: Tally, evidence: Evidence) -> str:
    if tally.sent is None and evidence.cut_short:
        return "The run was stopped while more instances could still come"
    return ""


def _uncounted(tally: Tally, related: int | None, held: int) -> str:
    if tally.sent is None and related is None and not held:
        return SILENT
    if related is not None and related > held:
        return f"The archive counts {related} instances of this request, {held} have come"
    return ""


def _unlisted(tally: Tally, listed: int) -> str:
    """Say what failed beyond what the archive lists: that list cannot be all."""
    if tally.failed and (tally.expected or 0) > listed:
        return _failed(tally.failed)
    return ""


def _failed(count: int) -> str:
    return f"{count} of the archive's sub-operations failed"


def _expected(answer: Answer, evidence: Evidence, census: Census) -> int | None:
    if census.listed is not None:
        return len(census.listed)
    told = answer.tally.expected
    if not told and answer.verdict is not Verdict.DONE:
        return None  # counters at zero tell nothing of what could not be tried
    if told is not None or census.related is not None:
        return max(told or 0, census.related or 0)
    return evidence.arrived if answer.verdict is Verdict.DONE and evidence.arrived else None


def _unsuccessful(answer: Answer, result: Result, *, partial: bool = False) -> Judgement:
    outcome = Outcome.REFUSED if answer.status in REFUSALS else Outcome.FAILED
    outcome = Outcome.PARTIAL if partial else outcome
    return Judgement(
        replace(result, outcome=outcome, reason=answer.reason, remedy=answer.remedy),
        again=answer.verdict is Verdict.RETRY,
        stop=answer.verdict is Verdict.STOP,
    )
