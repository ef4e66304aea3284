"""What became of a request in words of a researcher, and what to do about it. Pure.

The ledger keeps the technical reason of an attempt; this says what it means for the images.
"""

from dataclasses import dataclass

from pydicombatch.core.model import Outcome
from pydicombatch.core.records import Entry


@dataclass(frozen=True, slots=True)
class Explanation:
    """What happened, and what to do; sentences without a full stop."""

    meaning: str
    remedy: str


AGAIN = "Run again: only what is not done is asked for"
PENDING = Explanation("It was not tried yet, or its last try was cut off", AGAIN)
_OUTCOMES = {
    Outcome.COMPLETE: Explanation(
        "All that the archive says it has for this row was received", "Nothing needs to be done"
    ),
    Outcome.EMPTY: Explanation(
        "The archive has nothing that matches this row",
        "Check the values of the row, leading zeros too, and whether this archive should have it",
    ),
    Outcome.PARTIAL: Explanation(
        "Some of the images are here, some are missing; do not take this row for whole",
        AGAIN + "; if it stays so, ask the archive's administrator about the missing images",
    ),
    Outcome.AMBIGUOUS: Explanation(
        "The row matches more than select.at_most allows, so nothing was retrieved for it",
        "Make the row more precise, for instance by StudyDate, or raise the limit",
    ),
    Outcome.TRUNCATED: Explanation(
        "The archive has more matches than it sent, so the list of this row is not whole",
        "Ask for a shorter range of dates, or have the archive's limit of matches raised",
    ),
    Outcome.QUARANTINED: Explanation(
        "Images came that could not be read, anonymized or placed, and were set aside",
        "Look at the reasons in the quarantine directory; the other images of the row are here",
    ),
    Outcome.REFUSED: Explanation(
        "The archive does not accept this kind of request, so nothing was retrieved",
        "Check request.model, QueryRetrieveLevel and the elements with the archive's administrator",
    ),
    Outcome.FAILED: Explanation(
        "Nothing usable came in any of the attempts",
        AGAIN + "; if it stays so, show the reason to the archive's administrator",
    ),
}
_OVERLOADED = Explanation(
    "The archive was too busy, or could not deliver to this machine",
    "Run again at a quieter time with fewer request.threads; check that it can reach local.port",
)
_UNABLE = Explanation(
    "The archive could not process the request and does not say why",
    "Check that the archive has what the row names, knows our AE title and can reach local.port; "
    "then show the status to its administrator",
)
_NO_ANSWER = Explanation(
    "The archive did not answer to the end: the connection broke or it fell silent", AGAIN
)
_STATUSES = {
    0x0110: _UNABLE,
    0x0122: Explanation(
        "The archive does not offer this kind of request", "Try another request.model"
    ),
    0x0124: Explanation(
        "The archive does not allow us this request", "Ask its administrator to permit our AE title"
    ),
    0x0213: _OVERLOADED,
    0xA801: Explanation(
        "The archive does not know where to send the images",
        "Ask its administrator to register our AE title with this machine's address and local.port",
    ),
    0xA900: _OUTCOMES[Outcome.REFUSED],
    0xFE00: Explanation("The request was cancelled before it was done", AGAIN),
}
_RANGES = ((0xFF00, 0xA700, _OVERLOADED), (0xF000, 0xC000, _UNABLE))  # mask, value


def explain(entry: Entry) -> Explanation:
    """Say what became of a request and what to do; the attempt's own remedy comes first."""
    if entry.outcome is None:
        return PENDING
    known = _of_status(entry) or _OUTCOMES[entry.outcome]
    meaning = _OUTCOMES[entry.outcome].meaning
    if entry.outcome in {Outcome.FAILED, Outcome.REFUSED}:
        meaning = known.meaning
    return Explanation(_counted(meaning, entry), entry.remedy or known.remedy)


def _of_status(entry: Entry) -> Explanation | None:
    """Explain a final status (PS3.4 C.4.1.1.4, C.4.2.1.5), where it says more than the outcome."""
    if entry.outcome not in {Outcome.FAILED, Outcome.REFUSED, Outcome.PARTIAL}:
        return None
    if entry.status is None:
        return _NO_ANSWER if entry.outcome is Outcome.FAILED and not entry.reason else None
    ranged = (what for mask, value, what in _RANGES if entry.status & mask == value)
    return _STATUSES.get(entry.status) or next(ranged, None)


def _counted(meaning: str, entry: Entry) -> str:
    """Add how many images there are of how many."""
    if entry.outcome is Outcome.PARTIAL and entry.expected:
        return f"{meaning} ({entry.stored} of {entry.expected})"
    if entry.outcome is Outcome.QUARANTINED and entry.quarantined:
        return f"{meaning} ({entry.quarantined})"
    return meaning
