"""DIMSE command sets (PS3.7 6.3.1, annex E): Implicit VR Little Endian, bounded, no sequences."""

import struct
from collections.abc import Iterator
from typing import NamedTuple

from pydicombatch.receive.upperlayer.pdu import ProtocolError

_ELEMENT = struct.Struct("<HHI")
_US = struct.Struct("<H")

C_STORE_RQ = 0x0001
C_GET_RSP = 0x8010
C_ECHO_RQ = 0x0030
C_CANCEL_RQ = 0x0FFF
RESPONSE = 0x8000
NO_DATA_SET = 0x0101

_AFFECTED_SOP_CLASS = 0x0002
_REQUESTED_SOP_CLASS = 0x0003
_COMMAND_FIELD = 0x0100
_MESSAGE_ID = 0x0110
_RESPONDED_TO = 0x0120
_DATA_SET_TYPE = 0x0800
_STATUS = 0x0900
_ERROR_COMMENT = 0x0902
_AFFECTED_SOP_INSTANCE = 0x1000
_ORIGINATOR_AET = 0x1030
_ORIGINATOR_MESSAGE_ID = 0x1031

SUCCESS = 0x0000
PENDING = frozenset({0xFF00, 0xFF01})  # PS3.4 C.4.3.1.4
DUPLICATE_INVOCATION = 0x0210
UNRECOGNIZED_OPERATION = 0x0211


class Command(NamedTuple):
    """One request of the peer."""

    field: int  # Command Field (0000,0100)
    message_id: int
    has_data_set: bool
    sop_class_uid: str
    sop_instance_uid: str
    originator_aet: str | None
    originator_message_id: int | None


class Decoder:
    """Reads commands; one that differs from the one before in its ids alone is read at once."""

    def __init__(self) -> None:
        self._last: Command | None = None
        self._layout = struct.Struct("")
        self._fixed: tuple[bytes, ...] = ()

    def decode(self, body: bytes) -> Command:
        """Read a command set; as `decode` does, with its errors."""
        last = self._last
        if last is not None and len(body) == self._layout.size:
            before, message_id, between, uid, behind = self._layout.unpack(body)
            if (before, between, behind) == self._fixed:
                kind, _, has_data_set, sop_class, _, aet, number = last
                return Command(kind, message_id, has_data_set, sop_class, _text(uid), aet, number)
        command = decode(body)
        self._last = command if command.field == C_STORE_RQ and self._learn(body) else None
        return command

    def _learn(self, body: bytes) -> bool:
        """Remember all but Message ID and Affected SOP Instance UID, when those stand in order."""
        spans = {element: (begin, end) for element, begin, end in _spans(body)}
        if len(spans) != sum(1 for _ in _spans(body)):
            return False  # an element stands twice, and the last one counts
        begin, end = spans.get(_MESSAGE_ID, (0, 0))
        first, last = spans.get(_AFFECTED_SOP_INSTANCE, (0, 0))
        if end - begin != _US.size or first <= end:
            return False
        rest = len(body) - last
        self._layout = struct.Struct(f"<{begin}sH{first - end}s{last - first}s{rest}s")
        before, _, between, _, behind = self._layout.unpack(body)
        self._fixed = (before, between, behind)
        return True


def decode(body: bytes) -> Command:
    """Read a command set.

    Raises
    ------
    ProtocolError
        If an element is cut off, not of group 0000, or one that every request needs is missing.
    """
    elements = _elements(body)
    field = _number(elements, _COMMAND_FIELD)
    data_set_type = _number(elements, _DATA_SET_TYPE)
    message_id = _number(elements, _MESSAGE_ID if field != C_CANCEL_RQ else _RESPONDED_TO)
    if field is None or data_set_type is None or (message_id is None and not field & RESPONSE):
        raise ProtocolError("A command lacks its field, its message id or its data set type")
    return Command(
        field,
        message_id or 0,
        data_set_type != NO_DATA_SET,
        _text(elements.get(_AFFECTED_SOP_CLASS, b"")),
        _text(elements.get(_AFFECTED_SOP_INSTANCE, b"")),
        _text(elements[_ORIGINATOR_AET]) if _ORIGINATOR_AET in elements else None,
        _number(elements, _ORIGINATOR_MESSAGE_ID),
    )


def is_pending(body: bytes, field: int, message_id: int) -> bool:
    """Tell whether a command set is a response to a message, and not its last one.

    Raises
    ------
    ProtocolError
        As `decode` does.
    """
    elements = _elements(body)
    return (
        _number(elements, _COMMAND_FIELD) == field
        and _number(elements, _RESPONDED_TO) == message_id
        and _number(elements, _DATA_SET_TYPE) == NO_DATA_SET
        and _number(elements, _STATUS) in PENDING
    )


def encode_response(command: Command, status: int, comment: str = "") -> bytes:
    """Return the command set that answers `command` (PS3.7 9.3.1.2, 9.3.5.2, E.1).

    Parameters
    ----------
    command
        The request.
    status
        DIMSE status, 0x0000 to 0xFFFF.
    comment
        Error Comment (0000,0902), ASCII, cut at 64 characters; one of our own sentences.
    """
    elements = []
    if command.sop_class_uid:
        elements.append(_uid(_AFFECTED_SOP_CLASS, command.sop_class_uid))
    elements += [
        _short(_COMMAND_FIELD, command.field | RESPONSE),
        _short(_RESPONDED_TO, command.message_id),
        _short(_DATA_SET_TYPE, NO_DATA_SET),
        _short(_STATUS, status),
    ]
    if comment:
        elements.append(_value(_ERROR_COMMENT, comment[:64].encode("ascii", "replace"), b" "))
    if command.sop_instance_uid:
        elements.append(_uid(_AFFECTED_SOP_INSTANCE, command.sop_instance_uid))
    body = b"".join(elements)
    return _ELEMENT.pack(0, 0, 4) + len(body).to_bytes(4, "little") + body


def message_id_offset(command: Command) -> int:
    """Return where Message ID Being Responded To stands in the response to a command, bytes."""
    uid = len(command.sop_class_uid)
    sop_class = _ELEMENT.size + uid + (uid & 1) if uid else 0
    length, field = _ELEMENT.size + 4, _ELEMENT.size + _US.size
    return length + sop_class + field + _ELEMENT.size


def _elements(body: bytes) -> dict[int, bytes]:
    return {element: body[begin:end] for element, begin, end in _spans(body)}


def _spans(body: bytes) -> Iterator[tuple[int, int, int]]:
    """Yield number, first byte and end of every element."""
    position = 0
    while position < len(body):
        if position + _ELEMENT.size > len(body):
            raise ProtocolError("A command element is cut off")
        group, element, length = _ELEMENT.unpack_from(body, position)
        position += _ELEMENT.size
        if group or position + length > len(body):
            raise ProtocolError("A command element is not of group 0000 or longer than its set")
        yield element, position, position + length
        position += length


def _number(elements: dict[int, bytes], element: int) -> int | None:
    value = elements.get(element)
    return _US.unpack(value)[0] if value is not None and len(value) == _US.size else None


def _text(value: bytes) -> str:
    return value.decode("latin-1").strip(" \0")


def _short(element: int, number: int) -> bytes:
    return _ELEMENT.pack(0, element, 2) + _US.pack(number)


def _uid(element: int, uid: str) -> bytes:
    return _value(element, uid.encode("latin-1"), b"\0")


def _value(element: int, value: bytes, padding: bytes) -> bytes:
    value += padding * (len(value) & 1)
    return _ELEMENT.pack(0, element, len(value)) + value
