"""An archive that answers C-FIND as fast as Python can: what is slow beside it is ours.

Just enough of PS3.8 and PS3.7 for one peer that behaves; every query gets the same number of
matches, the requested keys themselves with new values. It runs in a process of its own:

    python -m benchmarks.archive [--matches 1]      prints its port on the first line
"""

import socket
import struct
import threading
from collections.abc import Iterator

import click

LOOPBACK = "127.0.0.1"
ASSOCIATE_RQ, ASSOCIATE_AC, DATA, RELEASE_RQ, RELEASE_RP = 1, 2, 4, 5, 6
CONTEXT_RQ, CONTEXT_AC, TRANSFER_SYNTAX, USER_INFORMATION = 0x20, 0x21, 0x40, 0x50
IMPLICIT = b"1.2.840.10008.1.2"
MAXIMUM = 131072
LAST = 0x02  # bit of a PDV's header: the last fragment (PS3.8 E.2)
COMMAND = 0x01  # bit of a PDV's header: a fragment of the command
NO_DATA_SET = 0x0101
GROUP_LENGTH, SOP_CLASS, FIELD, MESSAGE_ID, RESPONDED_TO = 0x0000, 0x0002, 0x0100, 0x0110, 0x0120
DATA_SET_TYPE, STATUS = 0x0800, 0x0900
LEVEL = (0x0008, 0x0052)
PENDING, SUCCESS = 0xFF00, 0x0000


def serve(connection: socket.socket, matches: int) -> None:
    """Serve one association to its end."""
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    query = Query(matches)
    with connection, connection.makefile("rb") as stream:
        while len(header := stream.read(6)) == 6:
            body = stream.read(int.from_bytes(header[2:], "big"))
            if header[0] == DATA:
                connection.sendall(query.take(body))
            elif header[0] == ASSOCIATE_RQ:
                connection.sendall(pdu(ASSOCIATE_AC, accepted(body)))
            else:
                connection.sendall(pdu(RELEASE_RP, bytes(4)) if header[0] == RELEASE_RQ else b"")


class Query:
    """Puts the fragments of one query after the other together, and answers them."""

    def __init__(self, matches: int) -> None:
        self._matches = matches
        self._command = self._data = b""

    def take(self, body: bytes) -> bytes:
        """Take a P-DATA-TF PDU in; return the answers if it ended a query."""
        sent = b""
        for context, bits, piece in fragments(body):
            if bits & COMMAND:
                self._command += piece
            else:
                self._data += piece
            if bits == LAST:
                sent += answers(context, self._command, self._data, self._matches)
                self._command = self._data = b""
        return sent


def pdu(kind: int, body: bytes) -> bytes:
    """Put the header in front (PS3.8 9.3.1)."""
    return struct.pack(">BxI", kind, len(body)) + body


def item(kind: int, body: bytes) -> bytes:
    """Make an item of an A-ASSOCIATE PDU (PS3.8 9.3.2)."""
    return struct.pack(">BxH", kind, len(body)) + body


def accepted(request: bytes) -> bytes:
    """Accept every presentation context in Implicit VR Little Endian."""
    fixed, items, at = request[:68], [], 68
    while at < len(request):
        kind, length = struct.unpack_from(">BxH", request, at)
        body = request[at + 4 : at + 4 + length]
        at += 4 + length
        if kind == CONTEXT_RQ:
            result = bytes((body[0], 0, 0, 0)) + item(TRANSFER_SYNTAX, IMPLICIT)
            items.append(item(CONTEXT_AC, result))
        elif kind != USER_INFORMATION:
            items.append(item(kind, body))
    length = item(0x51, struct.pack(">I", MAXIMUM))
    implementation = item(0x52, b"1.2.826.0.1.3680043.10.1338.9")
    return fixed + b"".join([*items, item(USER_INFORMATION, length + implementation)])


def fragments(body: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Take a P-DATA-TF PDU apart: context, control header, piece."""
    at = 0
    while at < len(body):
        length, context, bits = struct.unpack_from(">IBB", body, at)
        yield context, bits, body[at + 6 : at + 4 + length]
        at += 4 + length


def answers(context: int, command: bytes, data: bytes, matches: int) -> bytes:
    """Make the matches of a query and its final response."""
    asked = dict(elements(command))
    head = (
        (SOP_CLASS, asked[0, SOP_CLASS]),
        (FIELD, short(0x8020)),
        (RESPONDED_TO, asked[0, MESSAGE_ID]),
    )
    pending = encode((*head, (DATA_SET_TYPE, short(0)), (STATUS, short(PENDING))))
    final = encode((*head, (DATA_SET_TYPE, short(NO_DATA_SET)), (STATUS, short(SUCCESS))))
    sent = []
    for number in range(matches):
        sent.append(fragment(context, COMMAND | LAST, pending))
        sent.append(fragment(context, LAST, match(data, number)))
    return b"".join([*sent, fragment(context, COMMAND | LAST, final)])


def match(data: bytes, number: int) -> bytes:
    """Give the keys that are empty a value."""
    made = b""
    for tag, value in elements(data):
        text = value or (b"" if tag == LEVEL else f"{number:08}".encode())
        made += struct.pack("<HHI", *tag, len(text)) + text
    return made


def elements(data: bytes) -> Iterator[tuple[tuple[int, int], bytes]]:
    """Go through elements of defined length in Implicit VR Little Endian."""
    at = 0
    while at < len(data):
        group, element, length = struct.unpack_from("<HHI", data, at)
        yield (group, element), data[at + 8 : at + 8 + length]
        at += 8 + length


def encode(fields: tuple[tuple[int, bytes], ...]) -> bytes:
    """Make a command set (PS3.7 6.3.1)."""
    body = b"".join(struct.pack("<HHI", 0, tag, len(value)) + value for tag, value in fields)
    return struct.pack("<HHII", 0, GROUP_LENGTH, 4, len(body)) + body


def short(value: int) -> bytes:
    """Encode a US value."""
    return struct.pack("<H", value)


def fragment(context: int, bits: int, piece: bytes) -> bytes:
    """Make a P-DATA-TF PDU of one fragment."""
    return pdu(DATA, struct.pack(">IBB", len(piece) + 2, context, bits) + piece)


@click.command()
@click.option("--matches", type=click.IntRange(0), default=1, show_default=True)
def main(*, matches: int) -> None:
    """Listen on a free loopback port until the process is ended."""
    with socket.create_server((LOOPBACK, 0), backlog=64) as listener:
        click.echo(listener.getsockname()[1])
        while True:
            connection, _ = listener.accept()
            threading.Thread(target=serve, args=(connection, matches), daemon=True).start()


if __name__ == "__main__":
    main()
