import threading
from dataclasses import replace
from datetime import timedelta

import pytest

from pydicombatch.core.errors import Busy, FatalError, TransientError, Unreachable
from pydicombatch.core.model import Answer, Outcome, RequestType, Tally, Verdict
from pydicombatch.core.records import Pending
from pydicombatch.runner.breaker import REFUSALS, Breaker
from pydicombatch.runner.settling import SPARED, STRIKES, Strikes
from pydicombatch.runner.summary import Ending
from pydicombatch.runner.work import Work
from tests.support.clock import START, FakeClock
from tests.support.fakes import DONE, FakeArchive, pending
from tests.unit.test_engine import LATER, LOST, USUAL, Site, done, times

UNKNOWN = Answer(0xA801, Verdict.STOP, "The archive does not know OURS", "Register it")
STRANGER = FatalError("The archive does not recognise our AE title", "Register it")


# --- refusals that every request should meet


def test_f06_the_first_refusal_ends_a_run_that_has_had_no_success() -> None:
    assert Strikes().are_out(UNKNOWN)


def test_f06_after_a_success_it_takes_several_of_one_kind_in_a_row() -> None:
    strikes = Strikes()
    strikes.success()
    assert [strikes.are_out(UNKNOWN) for _ in range(STRIKES)] == [False] * (STRIKES - 1) + [True]
    strikes.success()
    other = replace(UNKNOWN, status=0x0124)
    assert not any(strikes.are_out(one) for one in (UNKNOWN, other, UNKNOWN, other))


def test_f06_a_refusal_that_passes_costs_an_attempt_alone() -> None:
    sent = replace(DONE, tally=Tally(completed=1))
    answers = [sent, UNKNOWN, sent, sent]
    site = Site(lambda *_: answers.pop(0), [1, 2, 3], kind=RequestType.MOVE)
    assert site.run() is Ending.DONE
    assert site.outcomes == dict.fromkeys((1, 2, 3), Outcome.COMPLETE)
    assert site.ledger.interrupted == ["The archive does not know OURS"]


# --- attempts survive a restart


def fetch(*requests: Pending) -> Work:
    clock = FakeClock()

    def read(after: int, limit: int) -> list[Pending]:
        return [one for one in requests if one.line > after][:limit]

    return Work(read, clock, None, 60)


def test_a_request_goes_on_with_the_attempts_of_the_run_before() -> None:
    work = fetch(replace(pending(1), tries=2))
    task = work.take()
    assert task is not None
    assert task.attempt == 3


def test_a_request_waits_for_its_time_across_runs_but_not_for_a_clock_that_jumped() -> None:
    """F36."""
    soon = replace(pending(1), tries=1, due=START + timedelta(seconds=30))
    jumped = replace(pending(2), tries=1, due=START + timedelta(days=300))
    work = fetch(soon, jumped, pending(3))
    first = work.take()
    assert first is not None
    assert first.request.line == 3
    clock = work._clock
    assert isinstance(clock, FakeClock)
    clock.advance(31)
    second = work.take()
    assert second is not None
    assert second.request.line == 1
    clock.advance(30)
    third = work.take()
    assert third is not None
    assert third.request.line == 2


def test_the_time_of_the_next_attempt_is_written_down() -> None:
    site = Site(times(1, LATER), [1])
    assert site.run() is Ending.DONE
    assert [(request, tries) for request, tries, _ in site.ledger.postponed] == [(1, 1)]


# --- outages


def test_f16_an_attempt_that_was_lost_to_an_outage_does_not_count() -> None:
    lost = [LOST]
    away = [Unreachable("Down", "Wait")] * 2

    def on_open(number: int) -> None:
        if not lost and away:
            raise away.pop()

    def script(request: object, archive: FakeArchive) -> Answer:
        if lost:
            raise lost.pop()
        return DONE

    site = Site(script, [1, 2], replace(USUAL, attempts=1), on_open=on_open)
    assert site.run() is Ending.DONE
    assert site.outcomes == {1: Outcome.EMPTY, 2: Outcome.EMPTY}


def test_f16_a_request_that_fells_the_archive_each_time_fails_in_the_end() -> None:
    fallen = threading.Event()

    def on_open(number: int) -> None:
        if fallen.is_set():
            fallen.clear()
            raise Unreachable("Down", "Wait")

    def script(request: object, archive: FakeArchive) -> Answer:
        fallen.set()
        raise LOST

    site = Site(script, [1], replace(USUAL, attempts=1), on_open=on_open)
    assert site.run() is Ending.DONE
    assert site.outcomes == {1: Outcome.FAILED}
    assert len(site.ledger.started) == SPARED + 1


@pytest.mark.parametrize("status", [0x0110, 0xC000])
def test_f16_after_an_outage_an_association_alone_is_no_sign_of_life(status: int) -> None:
    away = [Unreachable("Down", "Wait")]
    echoes = [Answer(status, Verdict.RETRY, "Starting"), DONE]

    class Starting(FakeArchive):
        def echo(self) -> Answer:
            return echoes.pop(0)

    def on_open() -> None:
        if away:
            raise away.pop()

    site = Site(done, [1])
    site.engine._connect = lambda: Starting(done, on_open)
    assert site.run() is Ending.DONE
    assert echoes == []
    assert site.ledger.started == [1]


def breaker(clock: FakeClock) -> Breaker:
    return Breaker(clock, 10, 60, 300, 3, lambda: 0.5)


def test_f07_an_archive_that_never_knew_us_ends_the_run_at_once() -> None:
    with pytest.raises(FatalError) as caught:
        breaker(FakeClock()).trip(STRANGER)
    assert caught.value is STRANGER


def test_f16_an_archive_that_restarts_may_not_know_us_for_a_moment() -> None:
    clock = FakeClock()
    one = breaker(clock)
    one.reset()
    for _ in range(REFUSALS - 1):
        one.trip(STRANGER)
        clock.advance(60)
        assert one.may_knock()
    with pytest.raises(FatalError):
        one.trip(STRANGER)


def test_f07_a_busy_archive_is_asked_by_fewer_threads() -> None:
    refusals = [Busy("It takes no more associations", "Wait")] * 3

    def on_open(number: int) -> None:
        if number and refusals:
            raise refusals.pop()

    settings = replace(USUAL, threads=4, wait=1, longest_wait=2)
    site = Site(done, range(1, 200), settings, on_open=on_open)
    assert site.run() is Ending.DONE
    assert len(site.outcomes) == 199


def test_a_lost_request_of_an_archive_that_answers_counts() -> None:
    site = Site(times(9, TransientError("Lost", "Again")), [1], replace(USUAL, attempts=2))
    assert site.run() is Ending.DONE
    assert len(site.ledger.started) == 2
