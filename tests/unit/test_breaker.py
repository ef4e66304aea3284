import pytest

from pydicombatch.core.errors import FatalError, Unreachable
from pydicombatch.runner.breaker import Breaker
from tests.support.clock import FakeClock
from tests.support.fakes import together

DOWN = Unreachable("The archive refuses connections", "Start it")


def breaker(clock: FakeClock, patience: float = 600, tries: int = 3) -> Breaker:
    return Breaker(clock, 10, 80, patience, tries, lambda: 0.999999)


def reached(clock: FakeClock, patience: float = 600) -> Breaker:
    one = breaker(clock, patience)
    one.reset()
    return one


def test_it_is_closed_until_the_archive_is_out_of_reach() -> None:
    one = breaker(FakeClock())
    assert not one.is_open
    assert not one.may_knock()
    one.trip(DOWN)
    assert one.is_open
    one.reset()
    assert not one.is_open


def test_one_thread_knocks_when_the_time_has_come() -> None:
    """F16."""
    clock = FakeClock()
    one = reached(clock)
    one.trip(DOWN)
    clock.advance(9.9)
    assert not one.may_knock()
    clock.advance(0.1)
    assert [one.may_knock() for _ in range(3)] == [True, False, False]


def test_the_pauses_between_knocks_double_up_to_the_longest() -> None:
    clock = FakeClock()
    one = reached(clock)
    one.trip(DOWN)
    pauses = []
    for _ in range(6):
        begun = clock.monotonic()
        while not one.may_knock():
            clock.advance(0.5)
        pauses.append(clock.monotonic() - begun)
        one.trip(DOWN)
    assert pauses == [10, 20, 40, 80, 80, 80]


def test_a_thread_that_was_under_way_does_not_count_as_a_knock() -> None:
    clock = FakeClock()
    one = reached(clock)
    one.trip(DOWN)
    together(lambda: one.trip(DOWN))
    clock.advance(10)
    assert one.may_knock()
    together(lambda: one.trip(DOWN))  # while another one knocks
    assert not one.may_knock()
    one.reset()
    assert not one.is_open


def test_an_outage_that_lasts_too_long_ends_the_run_with_its_own_words() -> None:
    clock = FakeClock()
    one = reached(clock, patience=100)
    one.trip(DOWN)
    clock.advance(99)
    assert one.may_knock()
    one.trip(DOWN)
    clock.advance(80)
    assert one.may_knock()
    with pytest.raises(FatalError, match="refuses connections") as caught:
        one.trip(DOWN)
    assert caught.value.remedy == "Start it"


def test_an_archive_that_was_never_reached_is_given_up_after_some_tries() -> None:
    clock = FakeClock()
    one = breaker(clock, patience=1e9, tries=3)
    for _ in range(2):
        one.trip(DOWN)
        clock.advance(100)
        assert one.may_knock()
    with pytest.raises(FatalError):
        one.trip(DOWN)


def test_a_single_try_is_allowed() -> None:
    with pytest.raises(FatalError):
        breaker(FakeClock(), tries=1).trip(DOWN)


def test_a_closed_window_is_no_outage() -> None:
    clock = FakeClock()
    one = reached(clock, patience=100)
    one.trip(DOWN)
    one.forget()
    clock.advance(50_000)
    assert not one.is_open
    one.trip(DOWN)
    assert one.is_open


def test_a_knock_under_way_is_not_forgotten() -> None:
    clock = FakeClock()
    one = reached(clock)
    one.trip(DOWN)
    clock.advance(10)
    assert one.may_knock()
    together(one.forget)
    assert one.is_open
