import threading

from hypothesis import given
from hypothesis import strategies as st

from pydicombatch.runner.crowd import CALM, Allowance, Crowd
from tests.support.fakes import LIMIT, together

happenings = st.lists(st.booleans(), max_size=200)


@given(st.integers(1, 64), happenings)
def test_f07_the_limit_stays_between_one_and_all(most: int, rejections: list[bool]) -> None:
    now = Allowance(most, most)
    for rejected in rejections:
        now = now.after_rejection() if rejected else now.after_request()
        assert 1 <= now.limit <= most


@given(st.integers(2, 64))
def test_f07_a_rejection_halves_at_once_and_calm_grows_by_one(most: int) -> None:
    halved = Allowance(most, most).after_rejection()
    assert halved.limit == most // 2
    now = halved
    for _ in range(CALM * halved.limit):
        assert now.limit == halved.limit
        now = now.after_request()
    assert now.limit == halved.limit + 1


def test_f07_threads_that_were_under_way_halve_it_once_together() -> None:
    crowd = Crowd(8)
    inside, rejected = threading.Barrier(8), threading.Barrier(8)

    def serve() -> None:
        assert crowd.enter()
        inside.wait(LIMIT)
        crowd.rejected()
        rejected.wait(LIMIT)
        crowd.leave()

    together(*[serve] * 8)
    assert crowd.limit == 4


def test_f07_no_more_than_the_limit_are_inside() -> None:
    crowd = Crowd(2)
    assert crowd.enter()
    crowd.rejected()
    entered: list[bool] = []
    together(lambda: entered.append(crowd.enter()))
    assert entered == [False]
    crowd.leave()
    together(lambda: entered.append(crowd.enter()))
    assert entered == [False, True]
