"""What an outcome means and what to do about it, in the reader's words. Pure."""

import re
from dataclasses import dataclass

from pydicombatch.core.model import Outcome

PENDING = "pending"
MEANING = {
    PENDING: ("Not tried yet, or cut off", "Run again: it goes on where it was"),
    Outcome.COMPLETE: ("All that the archive says it sent is stored", ""),
    Outcome.EMPTY: ("The archive found nothing", "Check the values of the row"),
    Outcome.PARTIAL: ("Some instances are stored, not all", "Run again"),
    Outcome.AMBIGUOUS: (
        "The row matches more than it may, so nothing was retrieved",
        "Make the row more exact, or raise select.at_most",
    ),
    Outcome.TRUNCATED: (
        "The archive cut its answer short",
        "Ask for less in one row, for example a narrower range of dates",
    ),
    Outcome.QUARANTINED: (
        "All came, some could not be delivered and were set aside",
        "Look into the quarantine directory; the archive holds damaged instances",
    ),
    Outcome.REFUSED: (
        "The archive does not accept the keys of the request",
        "Check request.model, the level and the keys",
    ),
    Outcome.FAILED: ("Nothing came of it", "Run again"),
}


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a request is as it is; both are sentences without full stop, "" when there is none."""

    reason: str
    remedy: str


def explain(outcome: Outcome | None, reason: str = "", remedy: str = "") -> Explanation:
    """Explain an outcome, None for pending; what was recorded about the request comes first."""
    meaning, usual = MEANING[outcome or PENDING]
    return Explanation(reason or meaning, remedy or usual)


def alike(text: str) -> str:
    """Return a reason without its numbers, so that reasons of the same kind are one."""
    return re.sub(r"(?<![\w.:])[0-9]+(?![\w.:])", "…", text)
