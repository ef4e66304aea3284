import pytest
from hypothesis import given
from hypothesis import strategies as st

from pydicombatch.core.errors import FatalError
from pydicombatch.core.model import Quarantined, Stored
from pydicombatch.runner.quarantine_limit import FIRST, QuarantineLimit
from tests.support.fakes import arrival, stored

Result = Stored | Quarantined


def result(number: int, *, well: bool, reason: str = "Why") -> Result:
    return stored(str(number)) if well else Quarantined(arrival(str(number)), "f", reason)


def exceeded(fates: list[bool], percent: float = 5.0, together: int = 1) -> bool:
    limit = QuarantineLimit(percent)
    results = [result(number, well=well) for number, well in enumerate(fates)]
    try:
        for start in range(0, len(results), together):
            limit.count(results[start : start + together])
    except FatalError:
        return True
    return False


def test_five_of_the_first_hundred_may_be_quarantined_and_six_may_not() -> None:
    assert not exceeded([False] * 5 + [True] * 200)
    assert exceeded([False] * 6)
    assert exceeded([True] * 94 + [False] * 6)


def test_what_comes_behind_the_first_hundred_is_not_counted() -> None:
    assert not exceeded([True] * 100 + [False] * 200)
    assert not exceeded([True] * 95 + [False] * 200)


def test_a_limit_of_nothing_ends_at_the_first_and_of_all_never() -> None:
    assert exceeded([True, False], 0)
    assert not exceeded([False] * 300, 100)


def test_the_error_names_the_commonest_reasons_first() -> None:
    limit = QuarantineLimit(5)
    first = [result(n, well=False, reason="Often") for n in range(4)]
    limit.count([*first, result(5, well=True), result(6, well=False, reason="Once")])
    with pytest.raises(FatalError) as caught:
        limit.count([result(7, well=False, reason="Once")])
    assert caught.value.problem == (
        "6 of the first 7 instances were quarantined (4 times: Often; 2 times: Once)"
    )
    assert "anonymization.quarantine_limit" in caught.value.remedy


@given(st.lists(st.booleans(), max_size=150), st.integers(0, 100), st.integers(1, 20))
def test_it_depends_on_the_share_of_the_first_hundred_alone(
    fates: list[bool], percent: int, together: int
) -> None:
    over = fates[:FIRST].count(False) > percent
    assert exceeded(fates, percent, together) == over
