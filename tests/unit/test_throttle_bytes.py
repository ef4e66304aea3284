import math
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pydicombatch.runner.throttle import ByteRate
from tests.support.clock import FakeClock

MB = 1_000_000


def test_a_second_worth_of_bytes_takes_a_second() -> None:
    clock = FakeClock()
    rate, began = ByteRate(MB, clock, threading.Event()), clock.monotonic()
    rate.take(MB)
    assert clock.monotonic() - began == pytest.approx(1)


def test_without_a_limit_nobody_waits() -> None:
    clock = FakeClock()
    ByteRate(None, clock, threading.Event()).take(10**12)
    assert clock.waits == []


@pytest.mark.parametrize(
    ("limit", "burst"), [(4, 1), (1000, 250), (MB, 250_000), (100 * MB, 262_144)]
)
def test_after_a_quiet_hour_only_the_burst_passes_at_once(limit: float, burst: int) -> None:
    clock = FakeClock()
    rate = ByteRate(limit, clock, threading.Event())
    clock.advance(3600)
    began = clock.monotonic()
    assert rate.burst == burst
    rate.take(burst)
    assert clock.monotonic() == pytest.approx(began)
    rate.take(1)
    assert clock.monotonic() - began == pytest.approx(1 / limit, abs=1e-6)


@settings(deadline=None)
@given(
    st.floats(1000, 100 * MB),
    st.lists(
        st.tuples(st.floats(0, 3), st.integers(0, 300_000)),
        min_size=1,
        max_size=40,
    ),
)
def test_no_interval_sees_more_than_the_limit_and_one_burst(
    limit: float, takes: list[tuple[float, int]]
) -> None:
    clock = FakeClock(monotonic=0.0)
    rate, passed = ByteRate(limit, clock, threading.Event()), []
    for gap, count in takes:
        clock.advance(gap)
        for part in [1000] * (count // 1000) + [count % 1000]:
            rate.take(part)
            passed.append((clock.monotonic(), part))
    total = 0
    for at, part in passed:
        total += part
        assert total <= limit * at * (1 + 1e-9) + 1e-3  # from the beginning: no burst at all
    for first in range(0, len(passed), max(1, len(passed) // 10)):
        within = 0
        for at, part in passed[first:]:
            within += part
            allowed = limit * (at - passed[first][0]) + rate.burst
            assert within <= allowed * (1 + 1e-6) + 1000


@given(st.floats(0.5, 50), st.integers(1, 40))
def test_even_the_slowest_limit_is_kept(limit: float, count: int) -> None:
    clock = FakeClock(monotonic=0.0)
    ByteRate(limit, clock, threading.Event()).take(count)
    assert clock.monotonic() == pytest.approx(count / limit)


def test_a_busy_reader_reaches_the_limit() -> None:
    clock = FakeClock()
    rate, began = ByteRate(10 * MB, clock, threading.Event()), clock.monotonic()
    for _ in range(1000):
        rate.take(16_384)
        clock.advance(0.0005)  # what the reader does in between
    average = 1000 * 16_384 / (clock.monotonic() - began)
    assert 0.99 * 10 * MB < average <= 10 * MB


def test_a_large_instance_does_not_hold_up_small_ones() -> None:
    clock = FakeClock(parties=2)
    rate, began = ByteRate(MB, clock, threading.Event()), clock.monotonic()
    ends: dict[str, float] = {}

    def read(name: str, sizes: list[int]) -> None:
        for size in sizes:
            rate.take(size)
        ends[name] = clock.monotonic() - began
        clock.leave()

    with ThreadPoolExecutor(2) as pool:
        pool.submit(read, "large", [10 * MB])
        pool.submit(read, "small", [50_000] * 4)
    assert ends["large"] == pytest.approx(10.2)
    assert ends["small"] < 0.6


def test_threads_share_the_limit_evenly() -> None:
    parties = 4
    clock = FakeClock(parties=parties)
    rate, began = ByteRate(MB, clock, threading.Event()), clock.monotonic()
    ends: list[float] = []

    def read() -> None:
        rate.take(2 * MB)
        ends.append(clock.monotonic() - began)
        clock.leave()

    with ThreadPoolExecutor(parties) as pool:
        for _ in range(parties):
            pool.submit(read)
    assert max(ends) == pytest.approx(8)
    assert min(ends) > 7.7  # nobody was done long before the others


def test_a_set_stop_ends_a_wait_at_once() -> None:
    clock, stop = FakeClock(), threading.Event()
    rate, began = ByteRate(1000, clock, stop), clock.monotonic()
    clock.after(2.5, stop.set)
    rate.take(100 * MB)
    assert clock.monotonic() - began == pytest.approx(2.5)


@pytest.mark.parametrize("limit", [None, 1000.0])
def test_after_a_stop_nobody_waits(limit: float | None) -> None:
    clock, stop = FakeClock(), threading.Event()
    rate = ByteRate(limit, clock, stop)
    stop.set()
    rate.take(10 * MB)
    assert clock.waits == []


def test_no_bytes_need_no_wait() -> None:
    clock = FakeClock()
    ByteRate(1, clock, threading.Event()).take(0)
    assert clock.waits == []


def test_the_wall_clock_is_never_asked() -> None:
    clock = FakeClock()
    rate, began = ByteRate(MB, clock, threading.Event()), clock.monotonic()
    clock.set_wall(clock.now().replace(year=2036))
    rate.take(MB)
    assert clock.monotonic() - began == pytest.approx(1)


def test_nonsense_is_refused() -> None:
    for limit in (0, -1, math.inf, math.nan):
        with pytest.raises(ValueError, match="positive"):
            ByteRate(limit, FakeClock(), threading.Event())
    with pytest.raises(ValueError, match="negative"):
        ByteRate(1, FakeClock(), threading.Event()).take(-1)
