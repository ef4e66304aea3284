"""The instances of a C-GET: what has come of them in all rounds, and who takes them."""

from typing import Protocol

from pydicombatch.backends.dimse.association import LastArrival
from pydicombatch.backends.dimse.negotiation import OUR_MAXIMUM, Agreement
from pydicombatch.core.adoption import Adoption, Returned
from pydicombatch.core.model import Origin
from pydicombatch.core.ports import Adopter


class Kept:
    """What the receiver has kept of one request; no instance is kept twice.

    Parameters
    ----------
    adopter
        The receiver.
    """

    def __init__(self, adopter: Adopter) -> None:
        self.adopter = adopter
        self.uids: set[str] = set()
        self.classes: set[str] = set()
        self.refused = 0

    def note(self, returned: Returned) -> None:
        """Note what was kept and refused meanwhile."""
        for sop_class, uids in returned.stored.items():
            self.classes.add(sop_class)
            self.uids.update(uids)
        self.refused += returned.refused


class Lender(Protocol):
    """What is needed of the association."""

    @property
    def agreed(self) -> Agreement:
        """What was negotiated."""

    def lend(
        self, adopter: Adopter, adoption: Adoption, last_arrival: LastArrival, deadline: float
    ) -> Returned:
        """Have the receiver take instances until the archive sends something else."""


class SubOperations:
    """Has the instances of one C-GET taken.

    Parameters
    ----------
    kept
        What has come of the request; added to.
    origin
        What its instances are told apart by: the archive, and the C-GET they belong to.
    """

    def __init__(self, kept: Kept, origin: Origin) -> None:
        self._kept = kept
        self._origin = origin

    def carry_out(
        self,
        association: Lender,
        context: int,
        message_id: int,
        last_arrival: LastArrival,
        deadline: float,
    ) -> None:
        """Have instances taken until the archive sends something else.

        Raises
        ------
        TransientError
            As `Association.lend` does.
        """
        agreed = association.agreed
        adoption = Adoption(
            agreed.storage,
            frozenset(one.number for one in agreed.contexts.values()),
            context,
            message_id,
            OUR_MAXIMUM,
            agreed.maximum,
            self._origin,
            frozenset(self._kept.uids),
        )
        self._kept.note(association.lend(self._kept.adopter, adoption, last_arrival, deadline))
