"""The words of the program as frozen values: request, match, arrival, tally, stored, outcome."""

from dataclasses import dataclass, field
from enum import Enum, StrEnum
from pathlib import PurePath

from pydicombatch.core.traits import Traits

PENDING = frozenset({0xFF00, 0xFF01})  # PS3.4 C.4.1.1.4: not final


class RequestType(StrEnum):
    """What a row asks the archive for; the values of `request.type`."""

    FIND = "c-find"
    MOVE = "c-move"
    GET = "c-get"
    ECHO = "c-echo"

    @property
    def retrieves(self) -> bool:
        """Whether instances come, and not only words about them."""
        return self in {RequestType.MOVE, RequestType.GET}


class Outcome(StrEnum):
    """What became of a request."""

    COMPLETE = "complete"
    PARTIAL = "partial"
    EMPTY = "empty"
    AMBIGUOUS = "ambiguous"
    TRUNCATED = "truncated"
    QUARANTINED = "quarantined"
    REFUSED = "refused"
    FAILED = "failed"

    @property
    def is_final(self) -> bool:
        """Whether a later run leaves this request alone; the others are asked for once more."""
        return self in {Outcome.COMPLETE, Outcome.EMPTY}


@dataclass(frozen=True, slots=True)
class Key:
    """One element of an identifier.

    `path` is canonical (`core.elements`): a DICOM keyword or `(gggg,eeee)`, below a sequence
    `Sequence[0].Keyword`. `value` is text, several values joined by a backslash; "" asks for
    the element in return (universal matching, PS3.4 C.2.2.2.3).
    """

    path: str
    value: str = ""


@dataclass(frozen=True, slots=True)
class Request:
    """One row to send."""

    identity: str  # SHA-256 over archive, type, model and the keys that have a value
    row: int  # line of the batch file that asked for it first, counted from 1; 1 without a file
    type: RequestType
    model: str  # patient, study, psonly
    keys: tuple[Key, ...]
    carried: tuple[tuple[str, str], ...] = ()  # columns that are no elements: name, cell

    def value(self, keyword: str) -> str:
        """Return the value of the key of this keyword, stripped; "" when it is not there."""
        return next((key.value.strip() for key in self.keys if key.path == keyword), "")


@dataclass(frozen=True, slots=True)
class Match:
    """One answer to a query: the requested paths with their text, in the order of the keys."""

    values: tuple[tuple[str, str], ...]
    # keys with a value below a sequence: their text in each of its items (PS3.4 C.2.2.2.6)
    items: tuple[tuple[str, tuple[str, ...]], ...] = ()


@dataclass(frozen=True, slots=True)
class Tally:
    """The archive's own counts of sub-operations (PS3.7 9.1.4.1.7); None where it sent none."""

    remaining: int | None = None
    completed: int | None = None
    failed: int | None = None
    warning: int | None = None

    @property
    def sent(self) -> int | None:
        """Instances that the archive says arrived: completed and warning; None if it is silent."""
        if self.completed is None and self.warning is None:
            return None
        return (self.completed or 0) + (self.warning or 0)

    @property
    def expected(self) -> int | None:
        """All sub-operations of the request; None when the archive does not say."""
        counts = (self.remaining, self.completed, self.failed, self.warning)
        if all(count is None for count in counts):
            return None
        return sum(count or 0 for count in counts)


class Verdict(Enum):
    """What a final status means for the request that earned it."""

    DONE = "done"  # the archive has said all; what arrived decides
    RETRY = "retry"  # later, with back-off
    GIVE_UP = "give up"  # this row will not succeed as it is
    STOP = "stop"  # no row will


@dataclass(frozen=True, slots=True)
class Answer:
    """The final response of one operation."""

    status: int  # DIMSE status, 0x0000 to 0xFFFF
    verdict: Verdict
    reason: str = ""  # what the status means, a sentence without full stop; "" on success
    remedy: str = ""  # what the reader can do about it
    tally: Tally = field(default_factory=Tally)
    comment: str = ""  # (0000,0902), escaped for a terminal
    offending: str = ""  # (0000,0901), as (gggg,eeee)
    failed_uids: tuple[str, ...] = ()  # (0008,0058)


@dataclass(frozen=True, slots=True)
class Origin:
    """Where an arrival came from: what the association and the C-STORE command say."""

    calling_aet: str
    address: str
    originator_aet: str | None = None  # (0000,1030), stripped
    originator_message_id: int | None = None  # (0000,1031)


@dataclass(frozen=True, slots=True)
class Identifiers:
    """What an instance is and whom it belongs to; values stripped, "" when absent."""

    sop_class_uid: str
    sop_instance_uid: str
    study_instance_uid: str = ""
    series_instance_uid: str = ""
    patient_id: str = ""
    accession_number: str = ""


@dataclass(frozen=True, slots=True)
class Arrival:
    """One instance received, lying in the spool."""

    file: PurePath  # in the spool directory
    identifiers: Identifiers
    transfer_syntax_uid: str
    size: int  # bytes of the file, File Meta Information included
    requests: tuple[int, ...]  # ledger ids of the requests it belongs to; empty: unsolicited


@dataclass(frozen=True, slots=True)
class Known:
    """What the ledger already holds under a SOP Instance UID."""

    path: str  # below the output directory, with forward slashes
    sha256: str  # hex
    received_sha256: str = ""  # hex, before anonymization; "": it was stored as it came


@dataclass(frozen=True, slots=True)
class Stored:
    """One instance at its final path."""

    arrival: Arrival
    path: str  # below the output directory, with forward slashes
    size: int  # bytes
    sha256: str  # hex
    collided: bool = False  # the plain name was taken by another SOP Instance UID
    duplicate: bool = False  # the same instance was there already
    kept: bool = False  # as received, although it was to be decompressed
    aside: str = ""  # a duplicate with other content: its name in the quarantine directory
    stored_uid: str = ""  # SOP Instance UID of the anonymized file; "": it was not anonymized
    received_sha256: str = ""  # hex, before anonymization; "": it was not anonymized
    traits: Traits | None = None  # what the stored file is; None: unknown


@dataclass(frozen=True, slots=True)
class Quarantined:
    """One instance that was set aside and must not be delivered."""

    arrival: Arrival
    file: str  # name in the quarantine directory
    reason: str  # a sentence without any value of the data set
