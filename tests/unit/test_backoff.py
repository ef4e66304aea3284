import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pydicombatch.runner import backoff

TIMES = st.just(0.0) | st.floats(min_value=0.001, max_value=1e9)
JITTER = st.floats(min_value=0, max_value=1, exclude_max=True)


@pytest.mark.parametrize(
    ("attempt", "jitter", "expected"),
    [
        (1, 0.0, 5.0),
        (1, 0.5, 7.5),
        (2, 0.0, 10.0),
        (3, 0.0, 20.0),
        (4, 0.0, 30.0),  # 80 s are capped at 60 s
        (100_000, 0.5, 45.0),
    ],
)
def test_the_wait_doubles_up_to_its_cap(attempt: int, jitter: float, expected: float) -> None:
    assert backoff.wait(attempt, 10, 60, jitter) == expected


@given(st.integers(1, 10**6), TIMES, TIMES, JITTER)
def test_a_wait_is_between_half_of_the_nominal_one_and_all_of_it(
    attempt: int, base: float, longest: float, jitter: float
) -> None:
    nominal = min(longest, math.ldexp(base, min(attempt - 1, 900)))
    assert nominal / 2 <= backoff.wait(attempt, base, longest, jitter) <= nominal


@given(st.integers(1, 10**6), TIMES, TIMES, JITTER)
def test_a_later_attempt_never_waits_less_at_the_same_jitter(
    attempt: int, base: float, longest: float, jitter: float
) -> None:
    earlier = backoff.wait(attempt, base, longest, jitter)
    assert backoff.wait(attempt + 1, base, longest, jitter) >= earlier


def test_threads_that_failed_together_spread_over_half_of_the_wait() -> None:
    waits = [backoff.wait(1, 10, 60, number / 10) for number in range(10)]
    assert waits == sorted(set(waits))
    assert waits[-1] - waits[0] == pytest.approx(4.5)


@pytest.mark.parametrize(
    ("attempt", "base", "longest", "jitter"),
    [
        (0, 1.0, 1.0, 0.0),
        (1, -1.0, 1.0, 0.0),
        (1, 1.0, -1.0, 0.0),
        (1, math.nan, 1.0, 0.0),
        (1, 1.0, 1.0, 1.0),
        (1, 1.0, 1.0, -0.1),
        (1, 1.0, 1.0, math.nan),
    ],
)
def test_nonsense_is_refused(attempt: int, base: float, longest: float, jitter: float) -> None:
    with pytest.raises(ValueError, match=r"attempts|negative|jitter_random"):
        backoff.wait(attempt, base, longest, jitter)
