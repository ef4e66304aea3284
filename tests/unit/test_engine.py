import threading
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import NoReturn

import pytest

from pydicombatch.core.errors import FatalError, RequestError, TransientError, Unreachable
from pydicombatch.core.model import Answer, Match, Outcome, Request, RequestType, Tally, Verdict
from pydicombatch.core.records import Result
from pydicombatch.runner.accounts import Accounts
from pydicombatch.runner.breaker import Breaker
from pydicombatch.runner.engine import Engine
from pydicombatch.runner.events import Event, Finished, Retrying
from pydicombatch.runner.executors import Surroundings
from pydicombatch.runner.gate import Gate
from pydicombatch.runner.message_ids import MessageIds
from pydicombatch.runner.pace import Pace
from pydicombatch.runner.schedule import Schedule, Window
from pydicombatch.runner.settling import Settings
from pydicombatch.runner.summary import Ending
from pydicombatch.runner.throttle import RequestRate
from pydicombatch.runner.work import Work
from tests.support.clock import START, FakeClock
from tests.support.fakes import (
    DONE,
    LIMIT,
    FakeArchive,
    FakeAttempts,
    FakeReceiver,
    Script,
    arrival,
    fetch_from,
    together,
)

DOWN = Unreachable("The archive refuses connections", "Start it")
LOST = TransientError("The connection was lost", "It is tried again")
LATER = Answer(0xA702, Verdict.RETRY, "The archive is busy", "Wait")
CANCELLED = Answer(0xFE00, Verdict.RETRY, "The request was cancelled", "It is asked for again")
USUAL = Settings(
    threads=1,
    throttle_time=0,
    attempts=3,
    wait=0,
    longest_wait=0,
    grace=5,
    cancel_at_end=False,
)
ALWAYS = Schedule()


def hours(first: int, last: int) -> Schedule:
    return Schedule((Window(frozenset(range(7)), first * 60, last * 60),))


class Site:
    """An engine over fakes; queries unless a receiver is given."""

    def __init__(
        self,
        script: Script,
        lines: Iterable[int] = (1, 2, 3),
        settings: Settings = USUAL,
        schedule: Schedule = ALWAYS,
        *,
        kind: RequestType = RequestType.FIND,
        receiver: FakeReceiver | None = None,
        ends_with_window: bool = False,
        limit: int | None = None,
        on_open: Callable[[int], None] = lambda _: None,
        connect: Callable[[], None] = lambda: None,
        on_event: Callable[[Event], None] = lambda _: None,
        ledger: FakeAttempts | None = None,
    ) -> None:
        self.clock = FakeClock()
        self.stop = threading.Event()
        self.ledger = ledger or FakeAttempts()
        self.accounts = Accounts(self.clock, 0)
        self.events: list[Event] = []
        self.archives: list[FakeArchive] = []

        def make() -> FakeArchive:
            connect()
            number = len(self.archives)
            self.archives.append(FakeArchive(script, lambda: on_open(number)))
            return self.archives[-1]

        def hear(event: Event) -> None:
            self.events.append(event)
            on_event(event)

        breaker = Breaker(self.clock, 10, 60, 300, 3, lambda: 0.5)
        gate = Gate(
            schedule,
            RequestRate(None),
            breaker,
            self.clock,
            self.stop,
            hear,
            ends_with_window=ends_with_window,
        )
        around = Surroundings(
            1,
            kind,
            "study",
            self.ledger,
            self.clock,
            self.accounts,
            MessageIds(),
            receiver,
            "OURS",
        )
        self.engine = Engine(
            around,
            Work(fetch_from(lines), self.clock, limit),
            gate,
            Pace(schedule, len(list(lines)), self.clock.now()),
            settings,
            make,
            self.clock,
            self.stop,
            hear,
        )

    def run(self, *meanwhile: Callable[[], object]) -> Ending:
        """Run to the end, with other things going on; every thread has ended then."""
        endings: list[Ending] = []
        together(lambda: endings.append(self.engine.run()), *meanwhile)
        assert not [one for one in threading.enumerate() if one.name.startswith("request-")]
        assert all(archive.closed for archive in self.archives)
        return endings[0]

    @property
    def outcomes(self) -> dict[int, Outcome]:
        return {line: result.outcome for line, result in self.ledger.finished.items()}


def row(request: Request) -> int:
    return request.row


def done(request: Request, archive: FakeArchive) -> Answer:
    return DONE


def times(count: int, first: Answer | Exception, then: Answer = DONE) -> Script:
    """Answer every request so many times in one way, then in another."""
    asked: dict[int, int] = {}

    def script(request: Request, archive: FakeArchive) -> Answer:
        asked[request.row] = asked.get(request.row, 0) + 1
        if asked[request.row] > count:
            return then
        if isinstance(first, Exception):
            raise first
        return first

    return script


# --- work is done


@pytest.mark.parametrize("threads", [1, 4])
def test_every_request_is_carried_out_once(threads: int) -> None:
    site = Site(done, range(1, 101), replace(USUAL, threads=threads))
    assert site.run() is Ending.DONE
    assert sorted(site.ledger.started) == list(range(1, 101))
    assert len(site.outcomes) == 100
    assert len(site.archives) == threads
    assert sum(isinstance(event, Finished) for event in site.events) == 100


def test_a_slow_request_keeps_no_other_thread_idle() -> None:
    others_done = threading.Event()

    def script(request: Request, archive: FakeArchive) -> Answer:
        if request.row == 1:
            assert others_done.wait(LIMIT)
        return DONE

    def on_event(event: Event) -> None:
        if sum(isinstance(one, Finished) for one in site.events) == 49:
            others_done.set()

    site = Site(script, range(1, 51), replace(USUAL, threads=2), on_event=on_event)
    assert site.run() is Ending.DONE
    assert len(site.outcomes) == 50


def test_each_thread_rests_between_two_requests() -> None:
    site = Site(done, settings=replace(USUAL, throttle_time=7))
    started: list[datetime] = []
    site = Site(
        lambda *_: started.append(site.clock.now()) or DONE,  # type: ignore[func-returns-value]
        settings=replace(USUAL, throttle_time=7),
    )
    site.run()
    assert [moment - START for moment in started] == [timedelta(seconds=n) for n in (0, 7, 14)]


def test_no_more_requests_than_the_limit_are_sent() -> None:
    site = Site(done, range(1, 11), limit=4)
    assert site.run() is Ending.DONE
    assert site.ledger.started == [1, 2, 3, 4]


def test_nothing_to_do_ends_at_once() -> None:
    assert Site(done, ()).run() is Ending.DONE


# --- errors of a request


def test_a_request_that_fails_for_the_moment_is_tried_again() -> None:
    site = Site(times(2, LATER), settings=replace(USUAL, wait=10, longest_wait=60))
    poke = threading.Event()

    def let_time_pass() -> None:
        while len(site.outcomes) < 3:
            site.clock.advance(5)
            with site.engine._work._changed:
                site.engine._work._changed.notify_all()
            poke.wait(0.001)

    assert site.run(let_time_pass) is Ending.DONE
    assert site.outcomes == dict.fromkeys((1, 2, 3), Outcome.EMPTY)
    assert len(site.ledger.started) == 9
    assert site.ledger.interrupted == ["The archive is busy"] * 6
    retries = [event for event in site.events if isinstance(event, Retrying)]
    assert sorted({event.attempt for event in retries}) == [1, 2]
    assert all(event.seconds >= 5 for event in retries)


@pytest.mark.parametrize("trouble", [LATER, LOST])
def test_after_the_last_attempt_the_failure_is_written_down(trouble: Answer | Exception) -> None:
    site = Site(times(3, trouble), [1])
    assert site.run() is Ending.DONE
    result = site.ledger.finished[1]
    assert result.outcome is Outcome.FAILED
    assert result.reason in {LATER.reason, LOST.problem}
    assert len(site.ledger.started) == 3


def test_a_request_that_cannot_be_sent_fails_alone() -> None:
    def script(request: Request, archive: FakeArchive) -> Answer:
        if request.row == 2:
            raise RequestError("A key is empty", "Fill it in")
        return DONE

    site = Site(script)
    assert site.run() is Ending.DONE
    assert site.outcomes == {1: Outcome.EMPTY, 2: Outcome.FAILED, 3: Outcome.EMPTY}
    assert site.ledger.started == [1, 2, 3]


# --- errors of the archive


def test_an_archive_out_of_reach_burns_no_attempt() -> None:
    left = [DOWN] * 2

    def on_open(number: int) -> None:
        if left:
            raise left.pop()

    site = Site(done, settings=replace(USUAL, attempts=1), on_open=on_open)
    assert site.run() is Ending.DONE
    assert site.outcomes == dict.fromkeys((1, 2, 3), Outcome.EMPTY)
    assert site.ledger.started == [1, 2, 3]


def test_a_request_that_could_not_leave_comes_first_and_burns_no_attempt() -> None:
    site = Site(times(1, DOWN), settings=replace(USUAL, attempts=1))
    assert site.run() is Ending.DONE
    assert site.ledger.started == [1, 1, 2, 2, 3, 3]
    assert site.outcomes == dict.fromkeys((1, 2, 3), Outcome.EMPTY)
    assert site.ledger.interrupted == ["The archive could not be reached"] * 3


@pytest.mark.parametrize("threads", [1, 4])
def test_an_archive_that_stays_away_ends_the_run_with_one_error(threads: int) -> None:
    opened: list[int] = []

    def on_open(number: int) -> None:
        opened.append(number)
        if len(opened) > 2 * threads:  # it dies in the middle of the run
            raise DOWN

    site = Site(done, range(1, 500), replace(USUAL, threads=threads), on_open=on_open)
    assert site.run() is Ending.FATAL
    assert site.engine.error is not None
    assert site.engine.error.problem == DOWN.problem
    assert len(site.outcomes) <= 2 * threads


@pytest.mark.parametrize("threads", [1, 4])
def test_an_archive_that_takes_associations_but_no_request_ends_the_run(threads: int) -> None:
    site = Site(times(1000, DOWN), range(1, 50), replace(USUAL, threads=threads))
    assert site.run() is Ending.FATAL
    assert str(site.engine.error) == str(DOWN)
    assert site.outcomes == {}


def test_fewer_associations_than_threads_are_enough() -> None:
    def on_open(number: int) -> None:
        if number >= 2:
            raise DOWN

    both = threading.Barrier(2)

    def script(request: Request, archive: FakeArchive) -> Answer:
        if request.row <= 2:
            both.wait(LIMIT)  # two requests run at the same time in spite of the refusals
        return DONE

    settings = replace(USUAL, threads=4, attempts=1, wait=20, longest_wait=60)
    site = Site(script, range(1, 61), settings, on_open=on_open)
    assert site.run() is Ending.DONE
    assert len(site.outcomes) == 60


def test_a_stop_verdict_ends_the_run_and_is_no_failure_of_the_request() -> None:
    unknown = Answer(0xA801, Verdict.STOP, "The archive does not know OURS", "Register it")
    site = Site(lambda *_: unknown, range(1, 50), replace(USUAL, threads=4))
    assert site.run() is Ending.FATAL
    assert str(site.engine.error) == "The archive does not know OURS. Register it."
    assert site.outcomes == {}
    assert len(site.ledger.started) <= 4


# --- errors of ours


def test_a_thread_that_raises_ends_the_run_without_telling_values() -> None:
    site = Site(times(9, ValueError("PATIENT^NAME")), range(1, 50), replace(USUAL, threads=4))
    assert site.run() is Ending.FATAL
    assert "ValueError" in str(site.engine.error)
    assert "PATIENT" not in str(site.engine.error)
    assert site.outcomes == {}


def test_a_session_that_cannot_be_made_ends_the_run() -> None:
    def connect() -> None:
        raise LookupError

    site = Site(done, connect=connect, settings=replace(USUAL, threads=3))
    assert site.run() is Ending.FATAL


def test_a_display_that_raises_ends_the_run() -> None:
    def on_event(event: Event) -> None:
        raise LookupError

    assert Site(done, on_event=on_event).run() is Ending.FATAL


def test_a_ledger_that_cannot_be_written_ends_the_run() -> None:
    full = FatalError("The disk of the state directory is full", "Make space")

    class Full(FakeAttempts):
        def finish(self, request: int, attempt: int, result: Result, now: datetime) -> NoReturn:
            raise full

    site = Site(done, range(1, 50), replace(USUAL, threads=4), ledger=Full())
    assert site.run() is Ending.FATAL
    assert site.engine.error is full


# --- windows


def ten_minutes(clock: Callable[[], FakeClock], started: list[datetime]) -> Script:
    def script(request: Request, archive: FakeArchive) -> Answer:
        started.append(clock().now())
        clock().advance(600)
        return DONE

    return script


def test_no_request_starts_after_the_closing_instant_and_the_next_window_goes_on() -> None:
    started: list[datetime] = []
    site = Site(ten_minutes(lambda: site.clock, started), range(1, 10), schedule=hours(11, 13))
    assert site.run() is Ending.DONE
    assert [moment - START for moment in started[:6]] == [
        timedelta(minutes=10 * n) for n in range(6)
    ]
    assert started[6] >= START + timedelta(hours=23)
    assert len(site.outcomes) == 9


def test_the_run_can_end_with_its_window() -> None:
    started: list[datetime] = []
    script = ten_minutes(lambda: site.clock, started)
    site = Site(script, range(1, 10), schedule=hours(11, 13), ends_with_window=True)
    assert site.run() is Ending.WINDOW
    assert sorted(site.outcomes) == [1, 2, 3, 4, 5, 6]


def test_what_runs_at_the_end_of_the_window_is_cancelled_when_asked_for() -> None:
    started: list[datetime] = []

    def script(request: Request, archive: FakeArchive) -> Answer:
        started.append(site.clock.now())
        if len(started) > 1:
            return DONE
        site.clock.advance(2 * 3600)  # it runs beyond the end
        assert archive.cancelled.wait(LIMIT)
        return CANCELLED

    settings = replace(USUAL, cancel_at_end=True, attempts=1)
    site = Site(script, [1], settings, hours(11, 13))
    assert site.run() is Ending.DONE
    assert started[1] >= START + timedelta(hours=23)
    assert site.outcomes == {1: Outcome.EMPTY}
    assert not site.archives[0].aborted.is_set()


def test_what_runs_at_the_end_of_the_window_may_end_by_itself() -> None:
    def script(request: Request, archive: FakeArchive) -> Answer:
        site.clock.advance(2 * 3600)
        assert not archive.cancelled.wait(0.3)
        return DONE

    site = Site(script, [1], schedule=hours(11, 13))
    assert site.run() is Ending.DONE
    assert site.outcomes == {1: Outcome.EMPTY}


# --- stops


def test_a_stop_lets_what_runs_end_and_sends_nothing_more() -> None:
    def script(request: Request, archive: FakeArchive) -> Answer:
        site.engine.stop()
        return DONE

    site = Site(script, range(1, 50))
    assert site.run() is Ending.STOPPED
    assert site.outcomes == {1: Outcome.EMPTY}
    assert site.ledger.started == [1]


def test_after_the_grace_time_what_runs_is_cancelled_and_at_last_dropped() -> None:
    cancelled_at: list[float] = []
    running = threading.Event()

    def script(request: Request, archive: FakeArchive) -> Answer:
        running.set()
        assert archive.cancelled.wait(LIMIT)
        cancelled_at.append(site.clock.monotonic())
        assert archive.aborted.wait(LIMIT)
        raise LOST

    site = Site(script, range(1, 50), replace(USUAL, attempts=1))

    def stop() -> None:
        assert running.wait(LIMIT)
        site.engine.stop()
        while not site.archives[0].aborted.wait(0.05):
            site.clock.advance(1)

    assert site.run(stop) is Ending.STOPPED
    assert cancelled_at[0] >= 1005
    assert site.clock.monotonic() >= 1015
    assert site.outcomes == {}
    assert site.ledger.interrupted == ["It was cut off by a stop or the end of the window"]


@pytest.mark.parametrize("how", ["halt", "break_off"])
def test_a_halt_drops_what_runs_at_once_and_leaves_it_pending(how: str) -> None:
    def script(request: Request, archive: FakeArchive) -> Answer:
        if how == "halt":
            site.engine.halt()
        else:
            site.engine.break_off(FatalError("The output directory is full", "Make space"))
        assert archive.aborted.is_set()
        raise LOST

    site = Site(script, range(1, 50), replace(USUAL, attempts=1))
    assert site.run() is (Ending.STOPPED if how == "halt" else Ending.FATAL)
    assert site.outcomes == {}


def test_a_stop_wakes_threads_that_wait_for_a_retry() -> None:
    site = Site(times(9, LATER), [1, 2], replace(USUAL, threads=2, wait=1e6, longest_wait=1e6))

    def stop() -> None:
        while len(site.ledger.interrupted) < 2:
            threading.Event().wait(0.005)
        site.engine.stop()

    assert site.run(stop) is Ending.STOPPED
    assert site.outcomes == {}


def test_the_first_of_two_errors_is_the_error_of_the_run() -> None:
    site = Site(done)
    first, second = FatalError("First", "A"), FatalError("Second", "B")
    site.engine.fail(first)
    site.engine.fail(second)
    assert site.engine.error is first
    assert site.run() is Ending.FATAL


# --- executors


def test_a_retrieve_is_expected_before_it_leaves_and_settled_when_all_is_in() -> None:
    receiver = FakeReceiver()

    def script(request: Request, archive: FakeArchive) -> Answer:
        assert receiver.heard[-1] == ("expect", request.row)
        for n in range(3):
            site.accounts.arrived(arrival(str(n), request.row).requests, str(n))
            site.accounts.stored([request.row], str(n))
            site.ledger.held.setdefault(request.row, set()).add(str(n))
        return replace(DONE, tally=Tally(completed=3))

    site = Site(script, kind=RequestType.MOVE, receiver=receiver)
    assert site.run() is Ending.DONE
    assert site.outcomes == dict.fromkeys((1, 2, 3), Outcome.COMPLETE)
    assert [what for what, _ in receiver.heard] == ["expect", "settle"] * 3
    assert [one.message_id for one in receiver.expected] == [1, 2, 3]
    assert receiver.expected[0].keys == (("StudyInstanceUID", frozenset({"1.2.1"})),)


def test_a_retrieve_whose_instances_are_missing_is_tried_again_and_is_partial_then() -> None:
    def script(request: Request, archive: FakeArchive) -> Answer:
        site.accounts.arrived([request.row], "a")
        site.accounts.stored([request.row], "a")
        site.ledger.held[request.row] = {"a"}
        return replace(DONE, tally=Tally(completed=2))

    site = Site(script, [1], kind=RequestType.MOVE, receiver=FakeReceiver())
    assert site.run() is Ending.DONE
    assert site.outcomes == {1: Outcome.PARTIAL}
    assert (len(site.ledger.started), site.ledger.finished[1].received) == (3, 1)


@pytest.mark.parametrize("trouble", [DOWN, LOST, RequestError("Bad", "Mend")])
def test_a_retrieve_that_broke_is_settled_too(trouble: Exception) -> None:
    receiver = FakeReceiver()
    site = Site(times(1, trouble), [1], kind=RequestType.MOVE, receiver=receiver)
    assert site.run() is Ending.DONE
    assert [what for what, _ in receiver.heard[:2]] == ["expect", "settle"]
    assert site.accounts._open == {}


def test_a_retrieve_to_somebody_else_is_judged_by_the_counters_alone() -> None:
    site = Site(lambda *_: replace(DONE, tally=Tally(completed=5)), [1], kind=RequestType.MOVE)
    assert site.run() is Ending.DONE
    assert (site.outcomes[1], site.ledger.finished[1].expected) == (Outcome.COMPLETE, 5)


def test_matches_go_to_the_ledger_while_they_come() -> None:
    class Talkative(FakeArchive):
        def find(self, request: Request, on_match: Callable[[Match], None]) -> Answer:
            for n in range(1201):
                on_match(Match((("PatientID", str(n)),)))
            return DONE

    site = Site(done, [1])
    site.engine._connect = lambda: Talkative(done)
    assert site.run() is Ending.DONE
    assert site.ledger.staged == [(0, 500), (500, 500), (1000, 201)]
    assert (site.outcomes[1], site.ledger.finished[1].matches) == (Outcome.COMPLETE, 1201)


def test_an_echo_is_carried_out_like_any_request() -> None:
    site = Site(done, [1], kind=RequestType.ECHO)
    assert site.run() is Ending.DONE
    assert site.outcomes == {1: Outcome.COMPLETE}
