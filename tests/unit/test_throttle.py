import itertools
import math
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pydicombatch.runner.throttle import RequestRate
from tests.support.clock import FakeClock


def test_the_first_request_leaves_at_once() -> None:
    assert RequestRate(6).reserve(1000.0) == 0


def test_requests_that_come_together_are_spaced_evenly() -> None:
    rate = RequestRate(6)
    starts = [rate.reserve(1000.0) for _ in range(4)]
    gaps = [later - earlier for earlier, later in itertools.pairwise(starts)]
    assert gaps == pytest.approx([10, 10, 10], rel=0.002)


def test_a_quiet_time_earns_no_burst() -> None:
    rate = RequestRate(60)
    rate.reserve(0.0)
    assert rate.reserve(3600.0) == 0
    assert rate.reserve(3600.0) == pytest.approx(1, rel=0.002)


def test_without_a_limit_nobody_waits() -> None:
    rate = RequestRate(None)
    assert [rate.reserve(5.0) for _ in range(1000)] == [0.0] * 1000


def test_a_thread_whose_look_at_the_clock_is_a_little_old_changes_nothing() -> None:
    rate = RequestRate(60)
    assert rate.reserve(100.0) == 0
    assert 99.5 + rate.reserve(99.5) == pytest.approx(101, abs=0.01)


@given(
    st.floats(1, 6000),
    st.lists(st.floats(0, 20), min_size=1, max_size=200),
)
def test_no_sixty_seconds_see_more_starts_than_the_limit(
    per_minute: float, gaps: list[float]
) -> None:
    rate, now, starts = RequestRate(per_minute), 0.0, []
    for gap in gaps:
        now += gap
        starts.append(now + rate.reserve(now))
    assert starts == sorted(starts)
    for number, start in enumerate(starts):
        inside = [other for other in starts[number:] if other <= start + 60]
        assert len(inside) <= math.ceil(per_minute)


@given(st.floats(0.01, 6000), st.lists(st.floats(0, 5), min_size=2, max_size=50))
def test_the_long_run_average_stays_within_a_fractional_limit(
    per_minute: float, gaps: list[float]
) -> None:
    rate, now, starts = RequestRate(per_minute), 0.0, []
    for gap in gaps:
        now += gap
        starts.append(now + rate.reserve(now))
    assert len(starts) - 1 <= (starts[-1] - starts[0]) * per_minute / 60 + 1e-6


def test_threads_that_wake_fifty_milliseconds_late_stay_within_the_limit() -> None:
    rate = RequestRate(10)
    starts = [rate.reserve(0.0) for _ in range(60)]
    late = [start + (0.05 if number % 10 == 0 else 0.0) for number, start in enumerate(starts)]
    for start in late:
        assert sum(start <= other <= start + 60 for other in late) <= 10


def test_all_threads_together_stay_within_the_limit() -> None:
    parties = 4
    clock, rate, stop = FakeClock(parties=parties), RequestRate(30), threading.Event()
    starts: list[float] = []

    def send() -> None:
        for _ in range(25):
            clock.wait(stop, rate.reserve(clock.monotonic()))
            starts.append(clock.monotonic())
        clock.leave()

    with ThreadPoolExecutor(parties) as pool:
        for future in [pool.submit(send) for _ in range(parties)]:
            future.result()
    starts.sort()
    assert len(starts) == 100
    for start in starts:
        assert sum(start <= other <= start + 60 for other in starts) <= 30
    assert starts[-1] - starts[0] == pytest.approx(99 * 2, rel=0.002)


@pytest.mark.parametrize("per_minute", [0, -1, math.inf, math.nan])
def test_a_limit_that_is_no_positive_number_is_refused(per_minute: float) -> None:
    with pytest.raises(ValueError, match="positive"):
        RequestRate(per_minute)
