"""Which request an arrival belongs to. Pure; the receiver and the recovery of the spool ask it."""

from collections.abc import Iterable
from dataclasses import dataclass

from pydicombatch.core.model import Identifiers, Origin, Request

# Keys that an instance can be held against.
ATTRIBUTABLE = {
    "PatientID": "patient_id",
    "AccessionNumber": "accession_number",
    "StudyInstanceUID": "study_instance_uid",
    "SeriesInstanceUID": "series_instance_uid",
    "SOPInstanceUID": "sop_instance_uid",
}
# Archives coerce and merge patient ids, and match them in their own way; UIDs stay as they are.
UIDS = frozenset({"StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"})


@dataclass(frozen=True, slots=True)
class Expectation:
    """A C-MOVE that is out: what its instances must look like."""

    request: int  # ledger id
    message_id: int  # (0000,0110) of the C-MOVE-RQ
    keys: tuple[tuple[str, frozenset[str]], ...]  # keyword of ATTRIBUTABLE -> values allowed

    def contradicted_by(self, instance: Identifiers) -> bool:
        """Whether a UID of the instance is another one than the request asked for."""
        return any(
            (found := getattr(instance, ATTRIBUTABLE[keyword])) and found not in values
            for keyword, values in self.keys
            if keyword in UIDS
        )

    def named_by(self, instance: Identifiers) -> bool:
        """Whether every key of the request is found in the instance, and there is one at least."""
        return bool(self.keys) and all(
            getattr(instance, ATTRIBUTABLE[keyword]) in values for keyword, values in self.keys
        )


def expectation(number: int, message_id: int, request: Request) -> Expectation:
    """Take from a request the keys by which its instances are known; wildcards tell nothing.

    With a UID among them the UIDs are enough, whatever patient id the archive sends.

    Parameters
    ----------
    number
        The request's id in the ledger.
    message_id
        Message ID of the C-MOVE-RQ, 1 to 65535.
    request
        The request that is about to leave.
    """
    asked = {key.path: _values(key.value) for key in request.keys if key.path in ATTRIBUTABLE}
    named = UIDS & {path for path, values in asked.items() if values} or set(asked)
    keys = tuple((path, asked[path]) for path in asked if path in named and asked[path])
    return Expectation(number, message_id, keys)


def _values(text: str) -> frozenset[str]:
    """Split a list of values; a wildcard among them makes it name nothing."""
    if {"*", "?"} & set(text):
        return frozenset()
    return frozenset(value for one in text.split("\\") if (value := one.strip(" \0")))


def attribute(
    instance: Identifiers, origin: Origin, our_aet: str, outstanding: Iterable[Expectation]
) -> tuple[int, ...]:
    """Decide which outstanding requests an arrival belongs to; none means unsolicited.

    By Move Originator title and message id (PS3.7 9.1.1.1) unless the UIDs contradict, else by
    the identifiers, to every request that names them. Never by the calling AE title.
    """
    waiting = tuple(outstanding)
    if origin.originator_message_id is not None and origin.originator_aet in {our_aet, None, ""}:
        for one in waiting:
            if one.message_id == origin.originator_message_id and not one.contradicted_by(instance):
                return (one.request,)
    return tuple(one.request for one in waiting if one.named_by(instance))
