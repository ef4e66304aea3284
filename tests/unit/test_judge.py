import pytest
from hypothesis import given
from hypothesis import strategies as st

from pydicombatch.core.errors import RequestError, TransientError
from pydicombatch.core.model import Answer, Outcome, Tally, Verdict
from pydicombatch.runner import judge
from pydicombatch.runner.accounts import Evidence

DONE, RETRY, GIVE_UP, STOP = Verdict.DONE, Verdict.RETRY, Verdict.GIVE_UP, Verdict.STOP
COMPLETE, PARTIAL, EMPTY = Outcome.COMPLETE, Outcome.PARTIAL, Outcome.EMPTY
QUARANTINED, REFUSED, FAILED = Outcome.QUARANTINED, Outcome.REFUSED, Outcome.FAILED
counts = st.none() | st.integers(0, 20)
tallies = st.builds(Tally, counts, counts, counts, counts)
verdicts = st.sampled_from(Verdict)


@st.composite
def evidences(draw: st.DrawFn) -> Evidence:
    arrived = draw(st.integers(0, 20))
    stored = draw(st.integers(0, arrived))
    aside = draw(st.integers(0, arrived - stored))
    return Evidence(arrived, stored, aside, draw(st.booleans()))


def answer(verdict: Verdict = DONE, status: int = 0, **tally: int) -> Answer:
    return Answer(status, verdict, "reason", "remedy", Tally(**tally))


@pytest.mark.parametrize(
    ("given_answer", "evidence", "outcome", "again"),
    [
        (answer(completed=3), Evidence(3, 3), COMPLETE, False),
        (answer(completed=2, warning=1, failed=0, remaining=0), Evidence(3, 3), COMPLETE, False),
        (answer(), Evidence(3, 3), COMPLETE, False),  # an archive that does not count
        (answer(completed=2), Evidence(4, 4), COMPLETE, False),  # it counted too few
        (answer(completed=0, warning=0), Evidence(), EMPTY, False),
        (answer(), Evidence(), FAILED, True),  # it says nothing at all
        (answer(completed=3), Evidence(2, 2), PARTIAL, True),
        (answer(completed=3), Evidence(3, 2), PARTIAL, True),
        (answer(completed=3), Evidence(), FAILED, True),
        (answer(), Evidence(3, 2), PARTIAL, True),
        (answer(), Evidence(3, 3, cut_short=True), PARTIAL, True),
        (answer(), Evidence(cut_short=True), FAILED, True),
        (answer(completed=3, failed=1), Evidence(3, 3), PARTIAL, True),
        (answer(completed=0, failed=4), Evidence(), FAILED, True),
        (answer(completed=3), Evidence(3, 2, 1), QUARANTINED, False),
        (answer(completed=3), Evidence(3, 0, 3), QUARANTINED, False),
        (answer(completed=4), Evidence(3, 2, 1), PARTIAL, True),
        (answer(RETRY, 0xB000, completed=2, failed=1), Evidence(2, 2), PARTIAL, True),
        (answer(RETRY, 0xA702, completed=0, failed=3), Evidence(), FAILED, True),
        (answer(RETRY, 0xFE00, completed=1, remaining=2), Evidence(1, 1), PARTIAL, True),
        (answer(GIVE_UP, 0xA900), Evidence(), REFUSED, False),
        (answer(GIVE_UP, 0xA900), Evidence(1, 1), PARTIAL, False),
        (answer(GIVE_UP, 0xAA00), Evidence(), FAILED, False),
    ],
)
def test_a_retrieve(
    given_answer: Answer, evidence: Evidence, outcome: Outcome, again: bool
) -> None:
    judged = judge.retrieve(given_answer, evidence)
    assert (judged.result.outcome, judged.again, judged.stop) == (outcome, again, False)


@pytest.mark.parametrize(
    ("given_answer", "outcome", "again"),
    [
        (answer(completed=3), COMPLETE, False),
        (answer(), COMPLETE, False),
        (answer(completed=0, failed=0), EMPTY, False),
        (answer(completed=2, failed=1), PARTIAL, True),
        (answer(completed=0, failed=1), FAILED, True),
        (answer(RETRY, 0xB000, completed=2, failed=1), PARTIAL, True),
        (answer(RETRY, 0xA702), FAILED, True),
        (answer(GIVE_UP, 0xA900), REFUSED, False),
    ],
)
def test_a_retrieve_to_another_destination(
    given_answer: Answer, outcome: Outcome, again: bool
) -> None:
    judged = judge.forward(given_answer)
    assert (judged.result.outcome, judged.again) == (outcome, again)


@pytest.mark.parametrize(
    ("given_answer", "matches", "outcome", "again"),
    [
        (answer(), 5, COMPLETE, False),
        (answer(), 0, EMPTY, False),
        (answer(RETRY, 0xA700), 5, FAILED, True),
        (answer(GIVE_UP, 0x0122), 0, REFUSED, False),
        (answer(GIVE_UP, 0xC001), 0, FAILED, False),
    ],
)
def test_a_query(given_answer: Answer, matches: int, outcome: Outcome, again: bool) -> None:
    judged = judge.query(given_answer, matches)
    assert (judged.result.outcome, judged.again, judged.result.matches) == (outcome, again, matches)


def test_an_echo() -> None:
    assert judge.echo(answer()).result.outcome is COMPLETE
    assert judge.echo(answer(GIVE_UP, 0x0122)).result.outcome is REFUSED
    assert judge.echo(answer(RETRY, 0x0110)).again


def test_an_error_in_place_of_an_answer() -> None:
    lost = judge.failure(TransientError("Lost", "Wait"), 2, again=True)
    assert (lost.result.outcome, lost.again, lost.result.reason) == (PARTIAL, True, "Lost")
    unsent = judge.failure(RequestError("No key", "Add one"), again=False)
    assert (unsent.result.outcome, unsent.again, unsent.result.remedy) == (FAILED, False, "Add one")


def test_a_missing_instance_is_told_with_its_numbers() -> None:
    assert judge.retrieve(answer(completed=8), Evidence(6, 6)).result.reason == (
        "The archive says it sent 8 instances, 6 are stored"
    )


@given(tally=tallies, evidence=evidences(), verdict=verdicts)
def test_complete_means_that_all_that_was_sent_is_stored_and_nothing_failed(
    tally: Tally, evidence: Evidence, verdict: Verdict
) -> None:
    result = judge.retrieve(Answer(0, verdict, tally=tally), evidence).result
    if result.outcome is COMPLETE:
        assert verdict is DONE
        assert evidence.stored == evidence.arrived > 0
        assert evidence.stored >= (tally.sent or 0)
        assert not tally.failed


@given(tally=tallies, evidence=evidences(), verdict=verdicts)
def test_empty_means_that_the_archive_sent_nothing_and_nothing_came(
    tally: Tally, evidence: Evidence, verdict: Verdict
) -> None:
    result = judge.retrieve(Answer(0, verdict, tally=tally), evidence).result
    if result.outcome is EMPTY:
        assert not tally.sent
        assert not tally.failed
        assert not evidence.arrived


@given(tally=tallies, evidence=evidences(), verdict=verdicts, status=st.integers(0, 0xFFFF))
def test_what_is_not_done_says_why_and_what_to_do(
    tally: Tally, evidence: Evidence, verdict: Verdict, status: int
) -> None:
    given_answer = Answer(status, verdict, "reason", "remedy", tally)
    for judged in (judge.retrieve(given_answer, evidence), judge.forward(given_answer)):
        if judged.result.outcome is not COMPLETE:
            assert judged.result.reason
            assert judged.result.remedy
        assert judged.stop == (verdict is STOP)
        if judged.again:
            assert judged.result.outcome in {PARTIAL, FAILED, REFUSED}
