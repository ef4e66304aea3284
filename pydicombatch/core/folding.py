"""What the outcomes of its retrieves make of a row. Pure."""

from collections.abc import Mapping

from pydicombatch.core.model import Outcome

DELIVERED = frozenset({Outcome.COMPLETE, Outcome.PARTIAL, Outcome.QUARANTINED})


def fold(outcomes: Mapping[Outcome, int]) -> Outcome:
    """Join the outcomes of retrieves, none of which is pending.

    Parameters
    ----------
    outcomes
        Outcome -> how many retrieves have it; none at all: the row selected nothing.

    Returns
    -------
    Outcome
        What all have in common; else `partial` if one delivered something, `failed` if none did.
    """
    kinds = {outcome for outcome, count in outcomes.items() if count}
    if not kinds:
        return Outcome.EMPTY
    if len(kinds) == 1:
        return next(iter(kinds))
    if kinds <= {Outcome.COMPLETE, Outcome.QUARANTINED}:
        return Outcome.QUARANTINED
    return Outcome.PARTIAL if kinds & DELIVERED else Outcome.FAILED
