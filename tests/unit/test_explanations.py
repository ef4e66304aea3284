"""Every request that is not complete is explained, with something to do about it."""

import pytest

from pydicombatch.backends.dimse.status import _FIND, _MOVE
from pydicombatch.core.model import Outcome
from pydicombatch.report.explanations import explain
from pydicombatch.report.status import as_text, unfinished
from tests.support.fakes import entry
from tests.unit.test_status_report import COUNTS

STATUSES = [None, *sorted(_FIND | _MOVE), 0xA7FF, 0xC000, 0xCFFF, 0xB123, 0x0001]
JARGON = ("SCU", "SCP", "DIMSE", "C-MOVE", "SQLite", "0x")


@pytest.mark.parametrize("status", STATUSES)
@pytest.mark.parametrize("outcome", [None, *Outcome])
def test_every_outcome_and_status_has_a_meaning_and_a_remedy(
    outcome: Outcome | None, status: int | None
) -> None:
    said = explain(entry(1, outcome, status=status))
    for text in (said.meaning, said.remedy):
        assert len(text) > 15
        assert text[0].isupper()
        assert not text.endswith(".")
        assert not any(word in text for word in JARGON)


def test_the_outcomes_and_the_failures_are_told_apart() -> None:
    assert len({explain(entry(1, one)).meaning for one in [None, *Outcome]}) == len(Outcome) + 1
    failures = {explain(entry(1, Outcome.FAILED, status=one)).meaning
                for one in (None, 0xA702, 0xA801, 0xC000, 0x0124, 0xFE00)}  # fmt: skip
    assert len(failures) == 6


def test_the_remedy_of_the_attempt_itself_comes_first() -> None:
    said = explain(entry(1, Outcome.FAILED, status=0xA702, remedy="Check that X reaches Y"))
    assert said.remedy == "Check that X reaches Y"
    assert "too busy" in said.meaning


def test_a_partial_request_says_how_much_is_there() -> None:
    said = explain(entry(1, Outcome.PARTIAL, expected=8, stored=6))
    assert "(6 of 8)" in said.meaning


def test_the_text_shows_meaning_reason_and_remedy_with_control_characters_escaped() -> None:
    """S15."""
    one = entry(4, Outcome.FAILED, status=0xC000, reason="Odd \x1b[31m", remedy="Look\nthere")
    told = list(as_text(COUNTS, unfinished([(4, one)])))
    assert told[-3].strip().startswith("The archive could not process")
    assert told[-2].strip() == r"Reason: Odd \x1b[31m."
    assert told[-1].strip() == r"What to do: Look\nthere."
    assert any(line.startswith("Pending: it was not tried yet") for line in told)
