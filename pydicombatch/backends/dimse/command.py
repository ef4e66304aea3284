"""DIMSE command sets, to bytes and back: Implicit VR Little Endian, group 0000 (PS3.7 6.3.1)."""

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum

from pydicombatch.backends.dimse.wire import ProtocolError

NO_DATA_SET = 0x0101  # PS3.7 E.1, (0000,0800)
DATA_SET = 0x0001
MEDIUM = 0  # priority
WIDEST = 4  # bytes of an integer, VR UL


class Field(IntEnum):
    """Command Field (0000,0100), PS3.7 E.1; a response has bit 15 set."""

    STORE = 0x0001
    GET = 0x0010
    FIND = 0x0020
    MOVE = 0x0021
    ECHO = 0x0030
    CANCEL = 0x0FFF


class Tag(IntEnum):
    """Element numbers of group 0000 (PS3.7 E.1)."""

    GROUP_LENGTH = 0x0000
    SOP_CLASS = 0x0002
    FIELD = 0x0100
    MESSAGE_ID = 0x0110
    RESPONDED_TO = 0x0120
    DESTINATION = 0x0600
    PRIORITY = 0x0700
    DATA_SET_TYPE = 0x0800
    STATUS = 0x0900
    OFFENDING = 0x0901
    COMMENT = 0x0902
    SOP_INSTANCE = 0x1000
    REMAINING = 0x1020
    COMPLETED = 0x1021
    FAILED = 0x1022
    WARNING = 0x1023


@dataclass(frozen=True, slots=True)
class Command:
    """A command set as its raw values by element number."""

    values: Mapping[int, bytes]

    def number(self, tag: Tag) -> int | None:
        """Return an unsigned integer of whatever width it came in; None when it is not there."""
        value = self.values.get(tag, b"")
        return int.from_bytes(value, "little") if 0 < len(value) <= WIDEST else None

    def text(self, tag: Tag) -> str:
        """Return a UID or a title without its padding; "" when it is not there."""
        return self.values.get(tag, b"").decode("latin-1").strip(" \0")

    @property
    def has_data_set(self) -> bool:
        """Whether data set fragments follow (PS3.7 6.3.1)."""
        return self.number(Tag.DATA_SET_TYPE) not in {NO_DATA_SET, None}


def encode(fields: Mapping[Tag, int | str]) -> bytes:
    """Encode a command set; numbers are US, text is AE or UI, padded to an even length."""
    body = b"".join(_element(tag, _value(tag, fields[tag])) for tag in sorted(fields))
    return _element(Tag.GROUP_LENGTH, struct.pack("<L", len(body))) + body


def decode(data: bytes) -> Command:
    """Read a command set.

    Raises
    ------
    ProtocolError
        If it is cut short or has another group in it.
    """
    values = {}
    position = 0
    while position < len(data):
        if position + 8 > len(data):
            raise ProtocolError("it sent a command that is cut short")
        group, element, length = struct.unpack_from("<HHL", data, position)
        position += 8
        if group or length > len(data) - position:
            raise ProtocolError("it sent a command that is no command")
        values[element] = data[position : position + length]
        position += length
    return Command(values)


def _element(tag: int, value: bytes) -> bytes:
    return struct.pack("<HHL", 0, tag, len(value)) + value


def _value(tag: Tag, value: int | str) -> bytes:
    if isinstance(value, int):
        return struct.pack("<H", value)
    raw = value.encode("latin-1")
    pad = (
        b"\0" if tag in {Tag.SOP_CLASS, Tag.SOP_INSTANCE} else b" "
    )  # PS3.5 6.2: UI by NUL, AE by space
    return raw + pad * (len(raw) % 2)
