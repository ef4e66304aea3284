from hypothesis import given
from hypothesis import strategies as st

from pydicombatch.runner.message_ids import LARGEST, MessageIds
from tests.support.fakes import together


def test_ids_go_on_behind_the_last_run() -> None:
    assert MessageIds(41).take() == 42


def test_ids_start_again_at_one_behind_the_largest() -> None:
    ids = MessageIds(LARGEST - 1)
    assert [ids.take(), ids.take()] == [LARGEST, 1]


def test_an_id_that_was_given_back_is_not_the_next_one() -> None:
    ids = MessageIds()
    first = ids.take()
    ids.give_back(first)
    assert ids.take() == first + 1


@given(st.integers(0, LARGEST), st.lists(st.booleans(), max_size=60))
def test_no_two_requests_that_are_out_have_the_same_id(last: int, take: list[bool]) -> None:
    ids = MessageIds(last)
    out: list[int] = []
    for more in take:
        if more or not out:
            taken = ids.take()
            assert 1 <= taken <= LARGEST
            assert taken not in out
            out.append(taken)
        else:
            ids.give_back(out.pop(0))


def test_an_id_in_use_is_left_out_when_the_count_comes_round() -> None:
    ids = MessageIds()
    assert ids.take() == 1
    for _ in range(LARGEST - 1):
        ids.give_back(ids.take())
    assert ids.take() == 2


def test_threads_get_ids_of_their_own() -> None:
    ids = MessageIds()
    taken: list[int] = []
    together(*[lambda: taken.extend(ids.take() for _ in range(200))] * 4)
    assert len(set(taken)) == 800
