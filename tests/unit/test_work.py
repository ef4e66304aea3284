import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pydicombatch.core.clock import SystemClock
from pydicombatch.core.errors import FatalError
from pydicombatch.core.records import Pending
from pydicombatch.runner.work import AHEAD, Task, Work
from tests.support.clock import FakeClock
from tests.support.fakes import LIMIT, fetch_from


def taken(work: Work) -> Task:
    task = work.take()
    assert task is not None
    return task


def line(work: Work) -> int:
    return taken(work).request.line


def test_requests_come_one_by_one_in_the_order_of_the_batch() -> None:
    work = Work(fetch_from(range(1, 3 * AHEAD)), FakeClock())
    lines = []
    while task := work.take():
        lines.append(task.request.line)
        work.done()
    assert lines == list(range(1, 3 * AHEAD))
    assert work.is_over


def test_a_request_that_was_put_back_comes_first() -> None:
    work = Work(fetch_from([1, 2, 3]), FakeClock())
    first = taken(work)
    assert line(work) == 2
    work.put_back(first)
    assert taken(work) == first


def test_a_retry_comes_when_it_is_due_and_counts_its_attempts() -> None:
    clock = FakeClock()
    work = Work(fetch_from([1, 2, 3]), clock)
    work.retry(taken(work), 30)
    assert line(work) == 2
    clock.advance(29)
    assert line(work) == 3
    clock.advance(1)
    again = taken(work)
    assert (again.request.line, again.attempt) == (1, 2)


def test_a_retry_that_is_due_goes_before_new_requests() -> None:
    work = Work(fetch_from([1, 2, 3]), FakeClock())
    work.retry(taken(work), 0)
    assert line(work) == 1


def test_a_thread_waits_for_a_retry_and_wakes_by_itself() -> None:
    work = Work(fetch_from([1]), SystemClock())
    work.retry(taken(work), 0.05)
    assert taken(work).attempt == 2


def test_a_thread_waits_while_another_one_may_still_hand_its_request_back() -> None:
    work = Work(fetch_from([1]), FakeClock())
    first = taken(work)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(work.take)
        assert not work.is_over
        work.put_back(first)
        assert waiting.result(LIMIT) == first


def test_all_waiting_threads_are_let_go_when_the_last_request_is_done() -> None:
    work = Work(fetch_from([1]), FakeClock())
    taken(work)
    with ThreadPoolExecutor(8) as pool:
        waiting = [pool.submit(work.take) for _ in range(8)]
        work.done()
        assert [one.result(LIMIT) for one in waiting] == [None] * 8


def test_after_closing_nothing_is_handed_out_and_nobody_waits() -> None:
    work = Work(fetch_from([1, 2]), FakeClock())
    first = taken(work)
    work.retry(first, 1000)
    with ThreadPoolExecutor(2) as pool:
        taken(work)
        waiting = pool.submit(work.take)
        work.close()
        assert waiting.result(LIMIT) is None
    assert work.take() is None
    assert work.is_over


@pytest.mark.parametrize("limit", [0, 1, AHEAD - 1, AHEAD, AHEAD + 1, 500])
def test_no_more_requests_than_the_limit_are_handed_out(limit: int) -> None:
    work = Work(fetch_from(range(1, 201)), FakeClock(), limit)
    count = 0
    while task := work.take():
        if task.attempt == 1 and count % 3 == 0:
            work.put_back(task)
            assert taken(work) == task
        count += 1
        work.done()
    assert count == min(limit, 200)


def test_an_error_of_the_ledger_reaches_the_thread_that_asked() -> None:
    def broken(after: int, limit: int) -> list[Pending]:
        raise FatalError("The ledger is damaged", "Restore it")

    with pytest.raises(FatalError, match="damaged"):
        Work(broken, FakeClock()).take()


@given(
    lines=st.sets(st.integers(1, 500), max_size=150),
    fates=st.lists(st.sampled_from(["done", "back", "retry"])),
)
def test_every_request_is_handed_out_until_it_is_done_and_never_twice_at_once(
    lines: set[int], fates: list[str]
) -> None:
    clock = FakeClock()
    work = Work(fetch_from(lines), clock)
    left = iter(fates)
    done: list[int] = []
    while task := work.take():
        fate = next(left, "done")
        if fate == "done":
            done.append(task.request.line)
            work.done()
        elif fate == "back":
            work.put_back(task)
        else:
            work.retry(task, 0)
    assert sorted(done) == sorted(lines)


def test_many_threads_share_the_requests_without_losing_or_doubling_one() -> None:
    work = Work(fetch_from(range(1, 1001)), SystemClock())
    seen: list[int] = []
    lock = threading.Lock()

    def serve(number: int) -> None:
        while task := work.take():
            if task.attempt < 2 and task.request.line % 7 == number:
                work.retry(task, 0.001)
                continue
            with lock:
                seen.append(task.request.line)
            work.done()

    with ThreadPoolExecutor(8) as pool:
        for one in [pool.submit(serve, n) for n in range(8)]:
            one.result(LIMIT)
    assert sorted(seen) == list(range(1, 1001))
