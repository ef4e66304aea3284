import threading
from dataclasses import replace
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pydicombatch.core.model import Arrival, Known, Stored
from pydicombatch.runner.intake import AT_A_TIME, MOST_AT_A_TIME
from pydicombatch.runner.turns import Turns
from tests.support.fakes import LIMIT, arrival
from tests.unit.test_intake import Site, closing

CLAIMS = st.lists(st.lists(st.sampled_from("abc"), max_size=3), max_size=8)


@given(CLAIMS, st.randoms())
def test_nobody_goes_before_one_in_front_with_a_claim_in_common(
    claims: list[list[str]], random: Random
) -> None:
    turns, inside = Turns(), dict(enumerate(claims))
    for one, held in inside.items():
        turns.enter(str(one), held)
    while inside:
        first = {
            one
            for one, held in inside.items()
            if not any(set(held) & set(inside[other]) for other in inside if other < one)
        }
        assert {one for one in inside if turns.is_first(str(one))} == first
        left = random.choice(sorted(inside))  # whoever is broken off leaves before its turn
        turns.leave(str(left))
        del inside[left]
    assert len(turns) == 0


@pytest.mark.parametrize(("size", "most"), [(100, MOST_AT_A_TIME), (AT_A_TIME, 1)])
def test_a_worker_takes_several_small_arrivals_or_a_large_one(size: int, most: int) -> None:
    go = threading.Event()

    def process(one: Arrival, known: Known | None) -> Stored:
        assert go.wait(LIMIT)
        return Stored(one, "p", 1, "ab" * 32)

    site = Site(process, workers=1)
    with closing(site):
        for n in range(30):
            site.intake.announce(replace(arrival(str(n)), size=size))
        go.set()
    assert len(site.ledger.stored) == 30
    assert max(site.ledger.asked) == most


def test_copies_in_one_share_wait_for_each_other() -> None:
    with closing(Site(workers=1)) as site:
        for n in range(40):
            site.intake.announce(arrival(str(n % 2), file=f"f{n}"))
    assert len(site.ledger.stored) == 40
    assert sum(not one.duplicate for one in site.ledger.stored) == 2
