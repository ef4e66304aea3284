from concurrent.futures import ThreadPoolExecutor

from hypothesis import given
from hypothesis import strategies as st

from pydicombatch.runner.accounts import Accounts, Evidence
from tests.support.clock import FakeClock
from tests.support.fakes import LIMIT


def test_a_request_that_is_not_counted_brings_no_evidence() -> None:
    assert Accounts(FakeClock(), 10).close(1, 5) == Evidence()


def test_when_all_that_was_sent_is_stored_nobody_waits() -> None:
    clock = FakeClock()
    accounts = Accounts(clock, 10)
    accounts.open(1)
    for uid in "abc":
        accounts.arrived([1], uid)
        accounts.stored([1], uid)
    accounts.arrived([1, 2], "x")
    accounts.quarantined([1, 2], "x")
    evidence = accounts.close(1, 4)
    assert evidence == Evidence(arrived=4, stored=3, quarantined=1, times=4)
    assert evidence.processed == 4
    assert accounts.close(1, 4) == Evidence()


def test_a_request_without_instances_is_closed_at_once() -> None:
    accounts = Accounts(FakeClock(), 10)
    accounts.open(1)
    assert accounts.close(1, 0) == Evidence()


def test_the_mover_waits_for_what_is_still_being_stored() -> None:
    accounts = Accounts(FakeClock(), 10)
    accounts.open(1)
    accounts.arrived([1], "a")
    with ThreadPoolExecutor(1) as pool:
        closing = pool.submit(accounts.close, 1, 1)
        assert not closing.done()
        accounts.stored([1], "a")
        assert closing.result(LIMIT) == Evidence(1, 1, times=1)


def test_late_instances_are_waited_for_through_a_quiet_time_after_the_final_response() -> None:
    """F03."""
    clock = FakeClock()
    accounts = Accounts(clock, 10)
    accounts.open(1)
    clock.advance(500)  # the archive answered after a long time, and sends only now
    with ThreadPoolExecutor(1) as pool:
        closing = pool.submit(accounts.close, 1, 2)
        for uid in "ab":
            assert not closing.done()
            clock.advance(9)
            accounts.arrived([1], uid)
            accounts.stored([1], uid)
        assert closing.result(LIMIT) == Evidence(2, 2, times=2)


def test_when_all_stays_quiet_the_wait_ends() -> None:
    clock = FakeClock()
    accounts = Accounts(clock, 10)
    accounts.open(1)
    accounts.arrived([1], "a")
    accounts.stored([1], "a")
    with ThreadPoolExecutor(1) as pool:
        closing = pool.submit(accounts.close, 1, None)
        while not closing.done():
            clock.advance(1)
            accounts.arrived([], "x")
        assert closing.result(LIMIT) == Evidence(1, 1, times=1)


def test_giving_up_lets_everybody_go_and_says_that_it_was_cut_short() -> None:
    accounts = Accounts(FakeClock(), 10)
    for request in (1, 2):
        accounts.open(request)
    accounts.arrived([1], "a")
    with ThreadPoolExecutor(2) as pool:
        closing = [pool.submit(accounts.close, request, None) for request in (1, 2)]
        accounts.give_up()
        assert [one.result(LIMIT) for one in closing] == [
            Evidence(arrived=1, cut_short=True, times=1),
            Evidence(cut_short=True),
        ]


def test_what_was_complete_already_is_not_cut_short_by_giving_up() -> None:
    accounts = Accounts(FakeClock(), 10)
    accounts.open(1)
    accounts.arrived([1], "a")
    accounts.stored([1], "a")
    accounts.give_up()
    assert not accounts.close(1, 1).cut_short


def test_each_attempt_is_counted_from_nothing() -> None:
    accounts = Accounts(FakeClock(), 10)
    accounts.open(1)
    accounts.arrived([1], "a")
    accounts.open(1)
    assert accounts.close(1, 0) == Evidence()


@given(st.lists(st.lists(st.integers(1, 4), unique=True), max_size=30))
def test_an_arrival_counts_once_for_each_of_its_requests(arrivals: list[list[int]]) -> None:
    accounts = Accounts(FakeClock(), 10)
    for request in range(1, 5):
        accounts.open(request)
    for number, requests in enumerate(arrivals):
        accounts.arrived(requests, str(number))
        accounts.stored(requests, str(number))
    for request in range(1, 5):
        count = sum(request in requests for requests in arrivals)
        assert accounts.close(request, count) == Evidence(count, count, times=count)


uids = st.sampled_from("abcdef")


@given(st.lists(uids, max_size=30), st.sets(uids))
def test_f09_an_instance_counts_once_however_often_it_comes(
    came: list[str], aside: set[str]
) -> None:
    accounts = Accounts(FakeClock(), 10)
    accounts.open(1)
    for number, uid in enumerate(came):
        accounts.arrived([1], uid)
        # one that was set aside may come again and be stored then
        (accounts.quarantined if uid in aside and number % 2 else accounts.stored)([1], uid)
    evidence = accounts.close(1, 0)
    assert (evidence.arrived, evidence.times) == (len(set(came)), len(came))
    assert evidence.processed == evidence.arrived
    assert evidence.stored >= len(set(came) - aside)


def test_f09_duplicates_do_not_stand_for_what_has_not_come() -> None:
    clock = FakeClock()
    accounts = Accounts(clock, 10)
    accounts.open(1)
    for _ in range(2):
        accounts.arrived([1], "a")
        accounts.stored([1], "a")
    with ThreadPoolExecutor(1) as pool:
        closing = pool.submit(accounts.close, 1, 2)
        assert not closing.done()
        accounts.arrived([1], "b")
        accounts.stored([1], "b")
        assert closing.result(LIMIT) == Evidence(2, 2, times=3)
