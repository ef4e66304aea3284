"""Which requests a run carries out. Pure."""

from enum import Enum

from pydicombatch.core.model import Outcome


class Selection(Enum):
    """What `run` was asked for."""

    ALL = "what is pending, and what failed before, once more"
    ONLY_FAILED = "what failed before"
    SKIP_FAILED = "what is pending"


FINAL = frozenset(outcome for outcome in Outcome if outcome.is_final)
UNFINISHED = frozenset(Outcome) - FINAL


def wanted(outcome: Outcome | None, selection: Selection) -> bool:
    """Tell whether a request with this outcome (None: pending) belongs to the run."""
    if outcome is None:
        return selection is not Selection.ONLY_FAILED
    return outcome in UNFINISHED and selection is not Selection.SKIP_FAILED


def outcomes(selection: Selection) -> tuple[str, ...]:
    """Return the outcomes that a run asks for again, for a query; pending is not among them."""
    return tuple(sorted(outcome.value for outcome in Outcome if wanted(outcome, selection)))
