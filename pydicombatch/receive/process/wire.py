"""What engine and receiver say to each other: one JSON object a line, no pickle."""

import json
from base64 import b64decode, b64encode
from typing import Any

from pydicombatch.core.adoption import Adoption, Returned
from pydicombatch.core.attribution import Expectation
from pydicombatch.core.model import Arrival, Identifiers, Origin
from pydicombatch.receive.server.outlet import Kind, arrivals

Message = dict[str, Any]
_ENCODER = json.JSONEncoder(separators=(",", ":"))
_LONGEST_LINE = 1 << 28  # bytes; a request may name a million UIDs


def encode(message: Message) -> bytes:
    """Return one line."""
    return _ENCODER.encode(message).encode() + b"\n"


class Lines:
    """Messages out of bytes, however they are cut."""

    def __init__(self) -> None:
        self._begun: list[bytes] = []  # pieces of a line that is not complete
        self._size = 0  # bytes of it

    def take(self, data: bytes) -> list[Message]:
        """Return the messages that are complete with `data`.

        Raises
        ------
        ValueError
            If a line is no message.
        """
        *lines, rest = data.split(b"\n")
        if lines:
            lines[0] = b"".join((*self._begun, lines[0]))
            self._begun, self._size = [], 0
        self._begun.append(rest)
        self._size += len(rest)
        if self._size > _LONGEST_LINE:
            raise ValueError("a line is too long")
        return [json.loads(line) for line in lines]


def pack_kind(kind: Kind) -> list[Any]:
    """Turn what instances have in common into plain values."""
    return [pack_identifiers(kind.identifiers), kind.transfer_syntax_uid, kind.requests]


def unpack_kept(values: list[Any]) -> list[Arrival]:
    """Read a `pack_kind` and the list of `Kept` that follows it."""
    (identifiers, syntax, requests), kept = values
    return arrivals(Kind(Identifiers(*identifiers), syntax, tuple(requests)), kept)


def pack_identifiers(found: Identifiers) -> list[str]:
    """Turn identifiers into plain values."""
    return [
        found.sop_class_uid,
        found.sop_instance_uid,
        found.study_instance_uid,
        found.series_instance_uid,
        found.patient_id,
        found.accession_number,
    ]


def pack_adoption(one: Adoption) -> list[Any]:
    """Turn what is known of an association into plain values."""
    storage = [[number, *about] for number, about in one.storage.items()]
    origin = one.origin
    titles = [origin.calling_aet, origin.address, origin.originator_aet]
    return [
        storage,
        sorted(one.others),
        one.context,
        one.message_id,
        one.longest,
        one.maximum,
        [*titles, origin.originator_message_id],
        sorted(one.known),
        pack_bytes(one.received),
    ]


def unpack_adoption(values: list[Any]) -> Adoption:
    """Read what `pack_adoption` wrote."""
    storage, others, context, message_id, longest, maximum, origin, *rest = values
    about = {number: (sop_class, syntax) for number, sop_class, syntax in storage}
    ids = frozenset(others), context, message_id
    known, received = frozenset(rest[0]), unpack_bytes(rest[1])
    return Adoption(about, *ids, longest, maximum, Origin(*origin), known, received)


def pack_returned(one: Returned) -> list[Any]:
    """Turn what an association was given back with into plain values."""
    rest = None if one.rest is None else pack_bytes(one.rest)
    return [rest, pack_bytes(one.unsent), one.broken, dict(one.stored), one.refused]


def unpack_returned(values: list[Any]) -> Returned:
    """Read what `pack_returned` wrote."""
    rest, unsent, broken, stored, refused = values
    known = {sop_class: tuple(uids) for sop_class, uids in stored.items()}
    left = None if rest is None else unpack_bytes(rest)
    return Returned(left, unpack_bytes(unsent), broken, known, refused)


def pack_bytes(data: bytes) -> str:
    """Turn bytes into text."""
    return b64encode(data).decode("ascii")


def unpack_bytes(text: str) -> bytes:
    """Read what `pack_bytes` wrote."""
    return b64decode(text)


def pack_expectation(one: Expectation) -> list[Any]:
    """Turn an expectation into plain values."""
    keys = [[keyword, sorted(values)] for keyword, values in one.keys]
    return [one.request, one.message_id, keys]


def unpack_expectation(values: list[Any]) -> Expectation:
    """Read what `pack_expectation` wrote."""
    request, message_id, keys = values
    return Expectation(
        request, message_id, tuple((keyword, frozenset(allowed)) for keyword, allowed in keys)
    )
