import threading
from collections.abc import Callable
from datetime import timedelta

import pytest

from pydicombatch.core.errors import FatalError, Unreachable
from pydicombatch.runner.breaker import Breaker
from pydicombatch.runner.events import Event, Resumed, Waiting
from pydicombatch.runner.gate import Admission, Gate
from pydicombatch.runner.schedule import Schedule, Window
from pydicombatch.runner.throttle import RequestRate
from tests.support.clock import START, FakeClock
from tests.support.fakes import together

DOWN = Unreachable("The archive refuses connections", "Start it")
ALWAYS = Schedule((), "UTC", frozenset())


def nothing() -> None:
    """Connect at once."""


def refuse() -> None:
    raise DOWN


class Site:
    """A gate with its clock, and what it told."""

    def __init__(
        self,
        schedule: Schedule = ALWAYS,
        per_minute: float | None = None,
        *,
        ends_with_window: bool = False,
        patience: float = 600,
    ) -> None:
        self.clock = FakeClock()
        self.stop = threading.Event()
        self.events: list[Event] = []
        self.breaker = Breaker(self.clock, 10, 60, patience, 3, lambda: 0.5)
        self.gate = Gate(
            schedule,
            RequestRate(per_minute),
            self.breaker,
            self.clock,
            self.stop,
            self.events.append,
            ends_with_window=ends_with_window,
        )


def hours(first: int, last: int) -> Schedule:
    """Open between two hours; the clock starts at noon."""
    return Schedule((Window(frozenset(range(7)), first * 60, last * 60),), "UTC", frozenset())


def failing(times: int) -> Callable[[], None]:
    left = [DOWN] * times

    def connect() -> None:
        if left:
            raise left.pop()

    return connect


def test_an_open_gate_lets_a_request_through_and_says_nothing() -> None:
    site = Site()
    assert site.gate.enter(nothing) is Admission.GRANTED
    assert site.events == []


def test_outside_the_window_it_waits_and_says_until_when() -> None:
    site = Site(hours(14, 15))
    assert site.gate.enter(nothing) is Admission.GRANTED
    assert site.clock.now() == START + timedelta(hours=2)
    waiting, resumed = site.events
    assert isinstance(waiting, Waiting)
    assert waiting.until == START + timedelta(hours=2)
    assert isinstance(resumed, Resumed)


def test_it_ends_with_the_window_when_asked_to() -> None:
    site = Site(hours(14, 15), ends_with_window=True)
    assert site.gate.enter(nothing) is Admission.CLOSED
    assert site.gate.window_ended
    assert site.clock.now() == START


def test_no_request_leaves_once_the_window_has_closed_while_it_waited_for_its_turn() -> None:
    site = Site(hours(11, 13), per_minute=1 / 30)  # one in thirty minutes
    entered = []
    for _ in range(4):
        assert site.gate.enter(nothing) is Admission.GRANTED
        entered.append(site.clock.now())
    assert entered[1] < START + timedelta(minutes=31)
    assert entered[2] >= START + timedelta(hours=23)
    assert all(not 13 <= moment.hour < 24 for moment in entered)


def test_the_association_is_opened_while_the_window_is_open_only() -> None:
    site = Site(hours(14, 15))
    opened = []
    site.gate.enter(lambda: opened.append(site.clock.now()))
    assert opened == [START + timedelta(hours=2)]


def test_after_a_stop_nothing_leaves() -> None:
    site = Site()
    site.stop.set()
    assert site.gate.enter(refuse) is Admission.CLOSED
    assert not site.gate.window_ended


def test_a_stop_wakes_who_waits_for_the_window() -> None:
    site = Site(hours(14, 15))
    site.clock.after(600, site.stop.set)
    assert site.gate.enter(nothing) is Admission.CLOSED
    assert site.clock.now() < START + timedelta(hours=1)


def test_an_archive_that_is_down_is_tried_again_until_it_answers() -> None:
    site = Site()
    site.breaker.reset()
    assert site.gate.enter(failing(3)) is Admission.GRANTED
    waiting, resumed = site.events
    assert isinstance(waiting, Waiting)
    assert (waiting.until, isinstance(resumed, Resumed)) == (None, True)
    assert "cannot be reached: The archive refuses connections" in waiting.reason


def test_an_outage_that_lasts_ends_the_run() -> None:
    site = Site(patience=300)
    site.breaker.reset()
    with pytest.raises(FatalError, match="refuses connections"):
        site.gate.enter(refuse)
    assert site.clock.monotonic() >= 1300


def test_an_archive_that_never_answers_ends_the_run_soon() -> None:
    site = Site()
    with pytest.raises(FatalError):
        site.gate.enter(refuse)
    assert site.clock.monotonic() < 1060


def test_an_outage_at_the_end_of_a_window_does_not_end_the_next_one() -> None:
    site = Site(hours(11, 13), patience=600)
    assert site.gate.enter(nothing) is Admission.GRANTED
    site.clock.advance(3590)  # ten seconds before it closes
    assert site.gate.enter(failing(3)) is Admission.GRANTED
    assert site.clock.now() >= START + timedelta(hours=23)


def test_a_thread_that_gets_no_association_beside_others_steps_aside_and_holds_nobody() -> None:
    site = Site()
    assert site.gate.enter(nothing) is Admission.GRANTED
    for times in (1, 2):
        together(lambda: _steps_aside(site, times=1))
        assert not site.breaker.is_open, times
    assert site.gate.enter(nothing) is Admission.GRANTED
    assert site.events == []


def _steps_aside(site: Site, times: int) -> None:
    for number in range(1, times + 1):
        assert site.gate.enter(refuse) is Admission.ASIDE
        assert site.gate.refusals == number
    assert site.gate.enter(nothing) is Admission.GRANTED
    assert site.gate.refusals == 0
    site.gate.leave()


def test_when_the_others_have_left_a_refusal_is_an_outage() -> None:
    site = Site()

    def come_and_go() -> None:
        assert site.gate.enter(nothing) is Admission.GRANTED
        site.gate.leave()

    together(come_and_go)
    site.gate.tripped(DOWN)
    assert site.breaker.is_open
