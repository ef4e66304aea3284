"""Which request an arrival belongs to. Pure; the receiver and the recovery of the spool ask it."""

from collections.abc import Iterable
from dataclasses import dataclass

from pydicombatch.core.model import Identifiers, Origin, Request

# How specific a key is: an instance belongs to the request that names it most exactly.
ATTRIBUTABLE = {
    "PatientID": "patient_id",
    "AccessionNumber": "accession_number",
    "StudyInstanceUID": "study_instance_uid",
    "SeriesInstanceUID": "series_instance_uid",
    "SOPInstanceUID": "sop_instance_uid",
}
UNIQUE_ENOUGH = frozenset(ATTRIBUTABLE)


@dataclass(frozen=True, slots=True)
class Expectation:
    """A C-MOVE that is out: what its instances must look like."""

    request: int  # ledger id
    message_id: int  # (0000,0110) of the C-MOVE-RQ
    keys: tuple[tuple[str, frozenset[str]], ...]  # keyword of ATTRIBUTABLE -> values allowed

    def contradicted_by(self, instance: Identifiers) -> bool:
        """Whether the instance says something else than the request asked for."""
        return any(
            (found := getattr(instance, ATTRIBUTABLE[keyword])) and found not in values
            for keyword, values in self.keys
        )

    def named_by(self, instance: Identifiers) -> bool:
        """Whether every key of the request is found in the instance, and there is one at least."""
        return bool(self.keys) and all(
            getattr(instance, ATTRIBUTABLE[keyword]) in values for keyword, values in self.keys
        )


def expectation(number: int, message_id: int, request: Request) -> Expectation:
    """Take from a request the keys by which its instances are known; wildcards tell nothing.

    Parameters
    ----------
    number
        The request's id in the ledger.
    message_id
        Message ID of the C-MOVE-RQ, 1 to 65535.
    request
        The request that is about to leave.
    """
    keys = tuple(
        (key.path, frozenset(value.strip(" \0") for value in key.value.split("\\")))
        for key in request.keys
        if key.path in UNIQUE_ENOUGH and key.value.strip() and not {"*", "?"} & set(key.value)
    )
    return Expectation(number, message_id, keys)


def attribute(
    instance: Identifiers, origin: Origin, our_aet: str, outstanding: Iterable[Expectation]
) -> tuple[int, ...]:
    """Decide which outstanding requests an arrival belongs to; none means unsolicited.

    By Move Originator title and message id (PS3.7 9.1.1.1) unless the identifiers contradict,
    else by the identifiers, to every request that names them. Never by the calling AE title.
    """
    waiting = tuple(outstanding)
    if origin.originator_message_id is not None and origin.originator_aet in {our_aet, None, ""}:
        for one in waiting:
            if one.message_id == origin.originator_message_id and not one.contradicted_by(instance):
                return (one.request,)
    return tuple(one.request for one in waiting if one.named_by(instance))
