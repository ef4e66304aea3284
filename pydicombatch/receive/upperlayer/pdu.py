"""The protocol data units of PS3.8 9.3 as values: bytes in, values out, and back."""

import struct
from collections.abc import Iterator
from enum import IntEnum
from typing import NamedTuple

from pydicombatch.core.pdus import PduType

HEADER = struct.Struct(">BxI")  # type, reserved, length of what follows
PDV_HEADER = struct.Struct(">IBB")  # length, presentation context id, message control header
_ITEM = struct.Struct(">BxH")
_FIXED = struct.Struct(">HH16s16s32x")  # version, reserved, called, calling, reserved

# Item types of PS3.8 9.3.2 and PS3.7 D.3.3
_APPLICATION_CONTEXT, _PROPOSED, _ANSWERED = 0x10, 0x20, 0x21
_ABSTRACT, _TRANSFER, _USER = 0x30, 0x40, 0x50
_MAX_LENGTH, _CLASS_UID, _ASYNCHRONOUS, _ROLE, _VERSION = 0x51, 0x52, 0x53, 0x54, 0x55
_IDENTITY, _IDENTITY_ANSWER = 0x58, 0x59
_SHORTEST_CONTEXT, _SHORTEST_IDENTITY, _MAX_LENGTH_SIZE = 4, 6, 4

APPLICATION_CONTEXT = "1.2.840.10008.3.1.1.1"


class AbortReason(IntEnum):
    """Why the service provider aborts (PS3.8 9.3.8)."""

    NOT_SPECIFIED = 0
    UNRECOGNIZED_PDU = 1
    UNEXPECTED_PDU = 2
    UNRECOGNIZED_PARAMETER = 4
    UNEXPECTED_PARAMETER = 5
    INVALID_PARAMETER = 6


class ProtocolError(Exception):
    """The peer broke PS3.8; `reason` goes into the A-ABORT, the text never quotes the peer."""

    def __init__(self, text: str, reason: AbortReason = AbortReason.INVALID_PARAMETER) -> None:
        super().__init__(text)
        self.reason = reason


def check(
    fine: bool,  # noqa: FBT001 - reads as an assertion
    problem: str,
    reason: AbortReason = AbortReason.INVALID_PARAMETER,
) -> None:
    """Raise the `ProtocolError` unless all is fine."""
    if not fine:
        raise ProtocolError(problem, reason)


class ProposedContext(NamedTuple):
    """One presentation context of an A-ASSOCIATE-RQ; syntaxes in the order of the peer."""

    id: int
    abstract_syntax: str
    transfer_syntaxes: tuple[str, ...]


class Role(NamedTuple):
    """An SCP/SCU role selection (PS3.7 D.3.3.4), as proposed or as answered."""

    sop_class_uid: str
    scu: bool
    scp: bool


class UserIdentity(NamedTuple):
    """A user identity item (PS3.7 D.3.3.7); the secret itself is not kept."""

    type: int
    wants_answer: bool


class AssociateRequest(NamedTuple):
    """What an A-ASSOCIATE-RQ says; titles and UIDs stripped."""

    version: int
    called_aet: str
    calling_aet: str
    application_context: str
    contexts: tuple[ProposedContext, ...]
    max_pdu: int  # longest P-DATA-TF that the peer takes, bytes; 0 is no limit
    implementation_class_uid: str
    implementation_version: str
    roles: tuple[Role, ...]
    asynchronous: bool  # whether an asynchronous operations window was proposed
    user_identity: UserIdentity | None


class AcceptedContext(NamedTuple):
    """One presentation context of an A-ASSOCIATE-AC; `result` 0 is acceptance (PS3.8 9.3.3.2)."""

    id: int
    result: int
    transfer_syntax: str


class AssociateAccept(NamedTuple):
    """What an A-ASSOCIATE-AC says."""

    called_aet: bytes  # 16 bytes, sent back as they came (PS3.8 table 9-17)
    calling_aet: bytes
    contexts: tuple[AcceptedContext, ...]
    max_pdu: int
    implementation_class_uid: str
    implementation_version: str
    roles: tuple[Role, ...]
    asynchronous: bool
    answers_identity: bool


def encode_reject(result: int, source: int, reason: int) -> bytes:
    """Return an A-ASSOCIATE-RJ (PS3.8 9.3.4)."""
    return HEADER.pack(PduType.ASSOCIATE_RJ, 4) + bytes((0, result, source, reason))


def encode_abort(source: int, reason: int) -> bytes:
    """Return an A-ABORT (PS3.8 9.3.8); source 0 is the service user, 2 the provider."""
    return HEADER.pack(PduType.ABORT, 4) + bytes((0, 0, source, reason))


RELEASE_RP = HEADER.pack(PduType.RELEASE_RP, 4) + bytes(4)


def decode_associate_request(body: bytes) -> AssociateRequest:
    """Read what follows the header of an A-ASSOCIATE-RQ (PS3.8 9.3.2, PS3.7 D.3.3).

    Raises
    ------
    ProtocolError
        If an item is longer than what holds it, missing, doubled or not readable.
    """
    if len(body) < _FIXED.size:
        raise ProtocolError("A-ASSOCIATE-RQ is shorter than its fixed part")
    version, _, called, calling = _FIXED.unpack_from(body)
    contexts: list[ProposedContext] = []
    single: dict[int, bytes] = {}
    for kind, value in _items(body, _FIXED.size):
        if kind == _PROPOSED:
            contexts.append(_proposed_context(value))
        elif kind in {_APPLICATION_CONTEXT, _USER}:
            if kind in single:
                raise ProtocolError("A-ASSOCIATE-RQ holds an item twice")
            single[kind] = value
    if len({context.id for context in contexts}) < len(contexts):
        raise ProtocolError("Two presentation contexts share an id")
    user = _user_information(single.get(_USER, b""))
    return AssociateRequest(
        version,
        _text(called),
        _text(calling),
        _text(single.get(_APPLICATION_CONTEXT, b"")),
        tuple(contexts),
        *user,
    )


def encode_associate_accept(accept: AssociateAccept) -> bytes:
    """Return an A-ASSOCIATE-AC (PS3.8 9.3.3)."""
    items = [_item(_APPLICATION_CONTEXT, APPLICATION_CONTEXT.encode())]
    for context in accept.contexts:
        syntax = _item(_TRANSFER, context.transfer_syntax.encode("ascii", "replace"))
        items.append(_item(_ANSWERED, bytes((context.id, 0, context.result, 0)) + syntax))
    user = [
        _item(_MAX_LENGTH, accept.max_pdu.to_bytes(4, "big")),
        _item(_CLASS_UID, accept.implementation_class_uid.encode()),
    ]
    if accept.asynchronous:
        user.append(_item(_ASYNCHRONOUS, b"\0\1\0\1"))  # one operation at a time, both ways
    user += [_item(_ROLE, _role(role)) for role in accept.roles]
    user.append(_item(_VERSION, accept.implementation_version.encode()))
    if accept.answers_identity:
        user.append(
            _item(_IDENTITY_ANSWER, b"\0\0")
        )  # heard; empty for a user name (PS3.7 D.3.3.7.2)
    items.append(_item(_USER, b"".join(user)))
    fixed = _FIXED.pack(1, 0, accept.called_aet, accept.calling_aet)
    body = fixed + b"".join(items)
    return HEADER.pack(PduType.ASSOCIATE_AC, len(body)) + body


def encode_command(context_id: int, command: bytes, max_pdu: int) -> bytes:
    """Return the P-DATA-TF PDUs of one command set, none longer than `max_pdu` (0: no limit)."""
    room = max(1, max_pdu - PDV_HEADER.size) if max_pdu else len(command)
    pdus = bytearray()
    for start in range(0, len(command), room):
        part = command[start : start + room]
        control = 3 if start + room >= len(command) else 1  # PS3.8 E.2: command, last fragment
        pdus += HEADER.pack(PduType.DATA, len(part) + PDV_HEADER.size)
        pdus += PDV_HEADER.pack(len(part) + 2, context_id, control) + part
    return bytes(pdus)


def encode_cut(context_id: int, command: bytes, left: int) -> bytes:
    """Return a command as one P-DATA-TF, and the header of another for what is left of its unit."""
    begun = encode_command(context_id, command, 0)
    return begun + HEADER.pack(PduType.DATA, left) if left else begun


def _items(body: bytes, position: int) -> Iterator[tuple[int, bytes]]:
    """Split into (type, value); every length is checked against what holds it."""
    while position < len(body):
        if position + _ITEM.size > len(body):
            raise ProtocolError("An item header is cut off")
        kind, length = _ITEM.unpack_from(body, position)
        position += _ITEM.size
        if position + length > len(body):
            raise ProtocolError("An item is longer than what holds it")
        yield kind, body[position : position + length]
        position += length


def _proposed_context(value: bytes) -> ProposedContext:
    if len(value) < _SHORTEST_CONTEXT or not value[0] & 1:
        raise ProtocolError("A presentation context id is missing or even")
    abstract: list[str] = []
    transfer: list[str] = []
    for kind, text in _items(value, _SHORTEST_CONTEXT):
        if kind == _ABSTRACT:
            abstract.append(_text(text))
        elif kind == _TRANSFER:
            transfer.append(_text(text))
    if len(abstract) != 1 or not abstract[0]:
        raise ProtocolError("A presentation context has not one abstract syntax")
    return ProposedContext(value[0], abstract[0], tuple(transfer))


def _user_information(
    body: bytes,
) -> tuple[int, str, str, tuple[Role, ...], bool, UserIdentity | None]:
    """Read the sub-items we know; of those that may stand once, the last one counts."""
    items = list(_items(body, 0))
    last = dict(items)
    return (
        _number(last[_MAX_LENGTH]) if _MAX_LENGTH in last else 0,
        _text(last.get(_CLASS_UID, b"")),
        _text(last.get(_VERSION, b"")),
        tuple(_proposed_role(value) for kind, value in items if kind == _ROLE),
        _ASYNCHRONOUS in last,
        _identity(last[_IDENTITY]) if _IDENTITY in last else None,
    )


def _number(value: bytes) -> int:
    if len(value) != _MAX_LENGTH_SIZE:
        raise ProtocolError("A maximum length is not four bytes")
    return int.from_bytes(value, "big")


def _proposed_role(value: bytes) -> Role:
    length = int.from_bytes(value[:2], "big")
    if len(value) != length + 4:
        raise ProtocolError("A role selection has the wrong length")
    return Role(_text(value[2:-2]), value[-2] == 1, value[-1] == 1)


def _identity(value: bytes) -> UserIdentity:
    if len(value) < _SHORTEST_IDENTITY or int.from_bytes(value[2:4], "big") + 6 > len(value):
        raise ProtocolError("A user identity is cut off")
    return UserIdentity(value[0], value[1] == 1)


def _role(role: Role) -> bytes:
    uid = role.sop_class_uid.encode("ascii", "replace")
    return len(uid).to_bytes(2, "big") + uid + bytes((role.scu, role.scp))


def _item(kind: int, value: bytes) -> bytes:
    return _ITEM.pack(kind, len(value)) + value


def _text(value: bytes) -> str:
    """Decode a title or UID; Latin-1 never fails, and a title in it is a title all the same."""
    return value.decode("latin-1").strip(" \0")
