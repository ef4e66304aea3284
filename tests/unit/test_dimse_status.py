"""What final statuses mean."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pydicombatch.backends.dimse.status import meaning
from pydicombatch.core.model import PENDING, RequestType, Tally, Verdict

counts = st.none() | st.integers(0, 65535)
tallies = st.builds(Tally, counts, counts, counts, counts)
statuses = st.integers(0, 0xFFFF).filter(lambda status: status not in PENDING)


@pytest.mark.parametrize(
    ("status", "verdict"),
    [
        (0x0000, Verdict.DONE),
        (0xFE00, Verdict.RETRY),
        (0xA700, Verdict.RETRY),
        (0xA900, Verdict.GIVE_UP),
        (0xB001, Verdict.GIVE_UP),
        (0xC001, Verdict.RETRY),
        (0xCFFF, Verdict.RETRY),
        (0x0110, Verdict.RETRY),
        (0x0122, Verdict.STOP),
        (0x0124, Verdict.STOP),
        (0x0213, Verdict.RETRY),
        (0x1234, Verdict.RETRY),
    ],
)
def test_the_verdict_on_a_query(status: int, verdict: Verdict) -> None:
    assert meaning(RequestType.FIND, status).verdict is verdict


@pytest.mark.parametrize(
    ("status", "verdict"),
    [
        (0x0000, Verdict.DONE),
        (0xB000, Verdict.RETRY),
        (0xA701, Verdict.RETRY),
        (0xA702, Verdict.RETRY),
        (0xA7FF, Verdict.RETRY),
        (0xA801, Verdict.STOP),
        (0xA900, Verdict.GIVE_UP),
        (0xAA02, Verdict.GIVE_UP),
        (0x0117, Verdict.GIVE_UP),
        (0x0210, Verdict.RETRY),
        (0x0211, Verdict.STOP),
        (0xC000, Verdict.RETRY),
        (0xFE00, Verdict.RETRY),
    ],
)
def test_the_verdict_on_a_retrieve(status: int, verdict: Verdict) -> None:
    """F06."""
    assert meaning(RequestType.MOVE, status, Tally(), "SAMPLE_AE").verdict is verdict


@pytest.mark.parametrize("status", [0x0000, 0xB000])
def test_a_success_status_with_failed_sub_operations_is_retried(status: int) -> None:
    """F02."""
    found = meaning(RequestType.MOVE, status, Tally(completed=9, failed=1), "SAMPLE_AE")
    assert found.verdict is Verdict.RETRY
    assert found.reason == "1 of the archive's sub-operations failed"


def test_instances_stored_with_a_warning_are_stored() -> None:
    tally = Tally(completed=9, failed=0, warning=1)
    assert meaning(RequestType.MOVE, 0xB000, tally).verdict is Verdict.DONE


def test_a_warning_without_counters_is_retried() -> None:
    assert meaning(RequestType.MOVE, 0xB000, Tally(warning=1)).verdict is Verdict.RETRY


def test_the_unknown_destination_is_named_with_its_remedy() -> None:
    found = meaning(RequestType.MOVE, 0xA801, Tally(), "SAMPLE_AE")
    assert found.reason == "The archive does not know move destination SAMPLE_AE"
    assert found.remedy == "Ask its administrator to register SAMPLE_AE with our host and port"


def test_a_code_of_a_range_is_told() -> None:
    assert meaning(RequestType.FIND, 0xC123).reason.endswith("(0xC123)")


@pytest.mark.parametrize("status", sorted(PENDING))
@pytest.mark.parametrize("operation", RequestType)
def test_a_pending_status_is_no_final_one(operation: RequestType, status: int) -> None:
    with pytest.raises(ValueError, match="pending"):
        meaning(operation, status)


@given(st.sampled_from(RequestType), statuses, tallies, st.text("ABC{}%", max_size=16))
def test_every_final_status_has_a_verdict_and_all_but_done_a_reason_and_a_remedy(
    operation: RequestType, status: int, tally: Tally, destination: str
) -> None:
    found = meaning(operation, status, tally, destination)
    assert (found.verdict is Verdict.DONE) == (found.reason == "") == (found.remedy == "")
    assert not found.reason.endswith(".")


@given(statuses.filter(lambda status: status not in {0, 0xB000}), tallies)
def test_nothing_but_success_is_done(status: int, tally: Tally) -> None:
    assert meaning(RequestType.MOVE, status, tally, "A").verdict is not Verdict.DONE
