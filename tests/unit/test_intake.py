import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from pydicombatch.core.errors import FatalError, RequestError, as_fatal
from pydicombatch.core.model import Arrival, Known, Quarantined, Stored
from pydicombatch.runner.accounts import Accounts, Evidence
from pydicombatch.runner.events import Event, InstanceStored
from pydicombatch.runner.intake import AT_A_TIME, UNDER_WAY, Intake
from tests.support.clock import FakeClock
from tests.support.fakes import LIMIT, FakeInstances, FakeProcessor, arrival, together

FULL = FatalError("The output directory is full", "Make space")
Process = Callable[[Arrival, Known | None], Stored | Quarantined]


class Site:
    """An intake with what it told."""

    def __init__(
        self,
        process: Process | None = None,
        ledger_error: FatalError | None = None,
        on_event: Callable[[Event], None] | None = None,
        workers: int = 2,
        wish: Callable[[Arrival], str] = lambda _: "",
    ) -> None:
        self.journal: list[str] = []
        self.events: list[Event] = []
        self.fatal: list[FatalError] = []
        self.processor = FakeProcessor(process, self.journal, wish)
        self.ledger = FakeInstances(ledger_error, self.journal)
        self.accounts = Accounts(FakeClock(), 10)
        self.intake = Intake(
            self.processor,
            self.ledger,
            self.accounts,
            FakeClock(),
            workers,
            on_event or self.events.append,
            self.fatal.append,
        )

    def close(self) -> None:
        together(self.intake.close)

    @property
    def discarded(self) -> set[str]:
        return {one.file.name for one in self.processor.discarded}


@contextmanager
def closing(site: Site) -> Iterator[Site]:
    yield site
    site.close()


def fail_on(uid: str, error: Exception) -> Process:
    def process(arrival: Arrival, known: Known | None) -> Stored:
        if arrival.identifiers.sop_instance_uid == uid:
            raise error
        return Stored(arrival, "p", 100, "ab" * 32, duplicate=known is not None)

    return process


def test_what_was_announced_is_stored_recorded_and_counted_before_closing_returns() -> None:
    site = Site()
    site.accounts.open(1)
    with closing(site):
        for n in range(300):
            site.intake.announce(arrival(str(n), 1))
    assert len(site.ledger.stored) == len(site.discarded) == 300
    assert site.accounts.close(1, 300) == Evidence(300, 300, times=300)
    assert site.events == [InstanceStored(100)] * 300
    assert site.fatal == []


def test_the_spool_file_goes_only_after_the_ledger_has_its_row() -> None:
    with closing(Site()) as site:
        for n in range(20):
            site.intake.announce(arrival(str(n)))
    for n in range(20):
        name = f"spooled-{n}"
        assert site.journal.index(f"record {name}") < site.journal.index(f"discard {name}")


def test_the_same_instance_is_never_processed_twice_at_once() -> None:
    with closing(Site(workers=8)) as site:
        for n in range(200):
            site.intake.announce(arrival(str(n % 3), file=f"f{n}"))
    assert all(len(set(running)) == len(running) for running in site.processor.together)
    assert sum(not one.duplicate for one in site.ledger.stored) == 3
    assert len(site.discarded) == 200
    assert len(site.events) == 3


def test_a_second_copy_is_processed_once_the_ledger_knows_the_first() -> None:
    seen: list[Known | None] = []

    def process(arrival: Arrival, known: Known | None) -> Stored:
        seen.append(known)
        return Stored(arrival, "p", 1, "ab" * 32, duplicate=known is not None)

    with closing(Site(process, workers=2)) as site:
        site.intake.announce(arrival("1", file="a"))
        site.intake.announce(arrival("1", file="b"))
    assert seen == [None, Known("p", "ab" * 32)]


def test_arrivals_that_wish_for_one_name_get_it_in_the_order_in_which_they_came() -> None:
    done: dict[str, list[int]] = {"even": [], "odd": []}

    def name(one: Arrival) -> str:
        return ("even", "odd")[int(one.identifiers.sop_instance_uid) % 2]

    def process(one: Arrival, known: Known | None) -> Stored:
        done[name(one)].append(int(one.identifiers.sop_instance_uid))
        return Stored(one, "p", 1, "ab" * 32)

    with closing(Site(process, workers=8, wish=name)) as site:
        for n in range(200):
            site.intake.announce(arrival(str(n)))
    assert done == {"even": list(range(0, 200, 2)), "odd": list(range(1, 200, 2))}


def test_a_wish_that_cannot_be_told_holds_nothing_up() -> None:
    def nowhere(one: Arrival) -> str:
        raise OSError

    with closing(Site(wish=nowhere)) as site:
        for n in range(20):
            site.intake.announce(arrival(str(n)))
    assert len(site.ledger.stored) == 20


def test_the_receiver_is_held_back_when_the_workers_are_behind() -> None:
    """F41."""
    go = threading.Event()
    announced: list[int] = []

    def process(arrival: Arrival, known: Known | None) -> Stored:
        assert go.wait(LIMIT)
        return Stored(arrival, "p", 1, "ab" * 32)

    site = Site(process, workers=1)

    def announce() -> None:
        for n in range(4 * UNDER_WAY):
            site.intake.announce(arrival(str(n)))
            announced.append(n)

    thread = threading.Thread(target=announce, daemon=True)
    thread.start()
    while len(announced) < UNDER_WAY:
        thread.join(0.01)
    thread.join(0.2)
    assert len(announced) == UNDER_WAY
    go.set()
    thread.join(LIMIT)
    site.close()
    assert len(site.ledger.stored) == 4 * UNDER_WAY


def test_a_quarantined_instance_is_recorded_counted_and_no_event() -> None:
    def process(arrival: Arrival, known: Known | None) -> Quarantined:
        return Quarantined(arrival, "q", "It cannot be read")

    site = Site(process)
    site.accounts.open(1)
    with closing(site):
        site.intake.announce(arrival("1", 1))
    assert site.accounts.close(1, 1) == Evidence(1, 0, 1, times=1)
    assert (len(site.ledger.quarantined), site.events) == (1, [])
    assert site.discarded == {"spooled-1"}


@pytest.mark.parametrize("error", [FULL, ValueError("PATIENT^NAME"), OSError(28, "No space")])
def test_a_worker_that_raises_ends_the_run_once_and_leaves_the_spool(error: Exception) -> None:
    """F40."""
    site = Site(fail_on("7", error), workers=4)
    site.accounts.open(1)
    with closing(site):
        for n in range(100):
            site.intake.announce(arrival(str(n), 1))
    assert len(site.fatal) == 1
    assert "PATIENT" not in str(site.fatal[0])
    assert "spooled-7" not in site.discarded
    assert {one.arrival.file.name for one in site.ledger.stored} == site.discarded
    assert site.accounts.close(1, 100).cut_short


def test_two_workers_that_raise_end_the_run_once() -> None:
    barrier = threading.Barrier(2)

    def process(arrival: Arrival, known: Known | None) -> Stored:
        barrier.wait(LIMIT)
        raise FULL

    with closing(Site(process)) as site:
        for uid in ("1", "2"):  # so large that each worker takes one
            site.intake.announce(replace(arrival(uid), size=AT_A_TIME))
    assert site.fatal == [FULL]


def test_when_the_ledger_fails_nothing_is_discarded() -> None:
    error = FatalError("The disk of the state directory is full", "Make space")
    with closing(Site(ledger_error=error)) as site:
        for n in range(200):
            site.intake.announce(arrival(str(n % 5), file=str(n)))
    assert site.fatal == [error]
    assert site.discarded == set()


def test_a_display_that_raises_ends_the_run_and_hangs_nobody() -> None:
    def on_event(event: Event) -> None:
        raise LookupError("a bug in somebody's display")

    with closing(Site(on_event=on_event)) as site:
        for n in range(200):
            site.intake.announce(arrival(str(n % 5), file=str(n)))
    assert len(site.fatal) == 1
    assert {one.arrival.file.name for one in site.ledger.stored} == site.discarded


def test_an_error_with_a_remedy_keeps_it_and_any_other_loses_its_text() -> None:
    assert as_fatal(FULL) is FULL
    known = as_fatal(RequestError("No key", "Add one"))
    assert (known.problem, known.remedy) == ("No key", "Add one")
    unknown = as_fatal(KeyError("PATIENT^NAME"))
    assert "KeyError" in unknown.problem
    assert "PATIENT" not in str(unknown)
