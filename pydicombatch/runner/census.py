"""What the archive says belongs to a request, and whether it settles the matter. Pure."""

from dataclasses import dataclass
from enum import StrEnum

from pydicombatch.core.model import Tally
from pydicombatch.runner.accounts import Evidence


class Proof(StrEnum):
    """What a verdict rests on, from weak to strong; column `evidence` of the ledger."""

    NONE = ""
    COUNTERS = "counters"  # of the final response (PS3.4 C.4.2.1.6 to .9)
    RELATED = "related"  # NumberOf…RelatedInstances agrees, too
    INSTANCES = "instances"  # the archive's own list of SOP Instance UIDs


@dataclass(frozen=True, slots=True)
class Census:
    """What queries about a request have brought; None where the archive does not tell."""

    related: int | None = None
    listed: frozenset[str] | None = None


def is_doubtful(tally: Tally, evidence: Evidence, held: int, related: int | None) -> bool:
    """Whether the counts disagree with what came, or with each other, or there are none.

    Parameters
    ----------
    tally
        The archive's own counts of this attempt.
    evidence
        What this attempt brought.
    held
        Distinct instances of the request that lie here, over all its attempts.
    related
        NumberOf…RelatedInstances, summed over what the request names.
    """
    if tally.sent is None and related is None:
        return True
    if tally.failed:
        return True
    miscounted = tally.sent is not None and tally.sent != evidence.processed
    return miscounted or (related is not None and related != held)


def at_least(tally: Tally, held: int, related: int | None) -> int:
    """Return how many instances there should be by all that is known."""
    return max(tally.sent or 0, related or 0, held)


def proof(tally: Tally, census: Census) -> Proof:
    """Name the strongest evidence that there is."""
    if census.listed is not None:
        return Proof.INSTANCES
    if census.related is not None:
        return Proof.RELATED
    return Proof.NONE if tally.sent is None else Proof.COUNTERS
