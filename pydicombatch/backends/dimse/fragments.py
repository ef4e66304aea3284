"""DIMSE messages cut into P-DATA-TF PDUs and put together again (PS3.8 9.3.5, PS3.8 Annex E)."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

from pydicombatch.backends.dimse.command import Command, decode
from pydicombatch.backends.dimse.wire import ProtocolError, pdu
from pydicombatch.core.pdus import PduType

COMMAND, LAST = 1, 2  # message control header, PS3.8 E.2
OVERHEAD = 6  # bytes of PDV length, context id and control header
SMALLEST, LARGEST = 128, 1 << 17  # bytes of a PDU we send, whatever the peer says
LARGEST_MESSAGE = 16 << 20  # bytes; one match of a query, or the UIDs that failed


@dataclass(frozen=True, slots=True)
class Message:
    """One DIMSE message; `data_set` is None when the command announces none."""

    context: int
    command: Command
    data_set: bytes | None = None


def split(context: int, command: bytes, data_set: bytes | None, longest: int) -> bytes:
    """Encode a message as P-DATA-TF PDUs, one PDV each.

    Parameters
    ----------
    context
        Presentation context id.
    command, data_set
        Encoded; None for a message without a data set.
    longest
        The peer's maximum PDU length in bytes, 0 for no limit (PS3.8 D.1).
    """
    room = max(min(longest or LARGEST, LARGEST), SMALLEST) - OVERHEAD
    parts = [*_pieces(context, COMMAND, command, room)]
    if data_set is not None:
        parts += _pieces(context, 0, data_set, room)
    return b"".join(parts)


def _pieces(context: int, kind: int, data: bytes, room: int) -> Iterator[bytes]:
    for start in range(0, max(len(data), 1), room):
        chunk = data[start : start + room]
        control = kind | (LAST if start + room >= len(data) else 0)
        yield pdu(PduType.DATA, struct.pack(">LBB", len(chunk) + 2, context, control) + chunk)


@dataclass(slots=True)
class Assembler:
    """Collects the fragments of one message after the other."""

    context: int = 0
    command: Command | None = None
    _command: bytearray = field(default_factory=bytearray)
    _data_set: bytearray = field(default_factory=bytearray)

    def take(self, body: bytes) -> Iterator[Message]:
        """Add the body of a P-DATA-TF and yield the messages it completes.

        Raises
        ------
        ProtocolError
            If the fragments do not fit together or grow beyond all measure.
        """
        position, view = 0, memoryview(body)
        while position < len(body):
            if position + OVERHEAD > len(body):
                raise ProtocolError("it sent a fragment that is cut short")
            length, context, control = struct.unpack_from(">LBB", body, position)
            end = position + 4 + length
            if length < OVERHEAD - 4 or end > len(body):
                raise ProtocolError("it sent a fragment that is cut short")
            message = self._add(context, control, view[position + OVERHEAD : end])
            if message is not None:
                yield message
            position = end

    def _add(self, context: int, control: int, data: memoryview) -> Message | None:
        is_command = bool(control & COMMAND)
        into = self._command if is_command else self._data_set
        self._check(context, len(into) + len(data), is_command=is_command)
        into += data
        if not control & LAST:
            return None
        if is_command:
            self.command = decode(bytes(self._command))
        return self._complete(is_command=is_command)

    def _check(self, context: int, size: int, *, is_command: bool) -> None:
        if is_command != (self.command is None):
            raise ProtocolError("it sent fragments out of order")
        if self.context and self.context != context:
            raise ProtocolError("it sent a message over two presentation contexts")
        if size > LARGEST_MESSAGE:
            raise ProtocolError("it sent an answer larger than 16 MB")
        self.context = context

    def _complete(self, *, is_command: bool) -> Message | None:
        command = self.command
        if command is None or (is_command and command.has_data_set):
            return None
        message = Message(self.context, command, None if is_command else bytes(self._data_set))
        self.context, self.command = 0, None
        self._command, self._data_set = bytearray(), bytearray()
        return message
