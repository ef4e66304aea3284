"""An association of ours that the receiver serves for a while: what it is told, what it gives back.

During a C-GET the archive stores on the connection that asked (PS3.7 9.1.3). The receiver takes
these instances as it takes all others; whatever else comes is read by the one who asked.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from pydicombatch.core.model import Origin


@dataclass(frozen=True, slots=True)
class Adoption:
    """What the receiver must know of an association that it did not accept itself."""

    storage: Mapping[int, tuple[str, str]]  # context id: SOP class, transfer syntax
    others: frozenset[int]  # ids of the contexts for everything else
    context: int  # of the C-GET
    message_id: int  # of the C-GET
    longest: int  # bytes of a P-DATA-TF that we said we take
    maximum: int  # bytes of one that the archive takes; 0: no limit
    origin: Origin  # of every instance
    known: frozenset[str] = frozenset()  # SOP Instance UIDs that are kept already
    received: bytes = b""  # read of the connection, and not consumed


@dataclass(frozen=True, slots=True)
class Returned:
    """An association that the receiver has given back, and what it did meanwhile."""

    rest: bytes | None  # read and not consumed; None: the connection is lost
    unsent: bytes = b""  # what must be sent first
    broken: str = ""  # how the archive broke the protocol; one of our own sentences
    stored: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # by SOP class: UIDs
    refused: int = 0  # instances
