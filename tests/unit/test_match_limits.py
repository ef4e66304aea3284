"""The signs of a limit on matches (fault F12)."""

import pytest

from pydicombatch.core.model import Answer, Verdict
from pydicombatch.runner.match_limits import MatchLimits

DONE = Answer(0x0000, Verdict.DONE)


@pytest.mark.parametrize("status", [0xA700, 0xA701, 0xB001])
def test_a_status_that_says_so_is_a_limit(status: int) -> None:
    assert MatchLimits(0).held_back("STUDY", Answer(status, Verdict.RETRY), 3)


@pytest.mark.parametrize("count", [500, 1000])
def test_a_count_that_archives_are_configured_with_is_suspicious(count: int) -> None:
    assert MatchLimits().held_back("STUDY", DONE, count)
    assert not MatchLimits().held_back("STUDY", DONE, count - 1)


def test_an_archive_that_sent_more_has_another_limit() -> None:
    limits = MatchLimits()
    assert not limits.held_back("STUDY", DONE, 1234)
    assert not limits.held_back("STUDY", DONE, 500)
    assert limits.held_back("IMAGE", DONE, 500)  # each level has its own


def test_a_round_count_that_repeats_is_a_limit_and_is_told_before_it_is_believed() -> None:
    told: list[dict[str, int]] = []
    limits = MatchLimits(on_found=told.append)
    assert [limits.held_back("STUDY", DONE, n) for n in (200, 17, 200, 200, 200)] == [
        False, False, False, True, True,
    ]  # fmt: skip
    assert told == [{"STUDY": 200}]


def test_small_or_odd_counts_may_repeat() -> None:
    limits = MatchLimits()
    assert not any(limits.held_back("STUDY", DONE, 10) for _ in range(9))
    assert not any(limits.held_back("SERIES", DONE, 123) for _ in range(9))


def test_a_limit_that_an_earlier_run_found_is_known_from_the_start() -> None:
    assert MatchLimits(known={"STUDY": 150}).held_back("STUDY", DONE, 150)


def test_the_operator_knows_better() -> None:
    assert MatchLimits(37).held_back("STUDY", DONE, 37)
    assert not MatchLimits(37).held_back("STUDY", DONE, 500)
    assert not MatchLimits(0).held_back("STUDY", DONE, 500)


def test_a_failure_tells_nothing() -> None:
    assert not MatchLimits().held_back("STUDY", Answer(0xC000, Verdict.RETRY), 500)
