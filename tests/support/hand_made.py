"""A storage SCU made by hand: bytes as a DICOM library would never send them."""

import socket
import struct
from collections.abc import Sequence
from typing import Self

CT = "1.2.840.10008.5.1.4.1.1.2"
VERIFICATION = "1.2.840.10008.1.1"
EXPLICIT = "1.2.840.10008.1.2.1"
IMPLICIT = "1.2.840.10008.1.2"
DEFLATED = "1.2.840.10008.1.2.1.99"
UID = "1.2.826.0.1.3680043.10.1234.1"

Context = tuple[int, str, Sequence[str]]


def item(kind: int, value: bytes) -> bytes:
    return struct.pack(">BxH", kind, len(value)) + value


def pdu(kind: int, body: bytes) -> bytes:
    return struct.pack(">BxI", kind, len(body)) + body


def associate_rq(
    called: str = "OURS",
    calling: str = "ARCHIVE",
    contexts: Sequence[Context] = ((1, VERIFICATION, (IMPLICIT,)), (3, CT, (EXPLICIT,))),
    *,
    version: int = 1,
    application: str = "1.2.840.10008.3.1.1.1",
    max_pdu: int = 16384,
    user: bytes = b"",
) -> bytes:
    body = struct.pack(
        ">HH16s16s32x",
        version,
        0,
        called.ljust(16).encode("latin-1"),
        calling.ljust(16).encode("latin-1"),
    )
    body += item(0x10, application.encode())
    for number, abstract, transfer in contexts:
        subs = item(0x30, abstract.encode()) + b"".join(item(0x40, t.encode()) for t in transfer)
        body += item(0x20, bytes((number, 0, 0, 0)) + subs)
    information = item(0x51, struct.pack(">I", max_pdu)) + item(0x52, b"1.2.3") + user
    return pdu(1, body + item(0x50, information))


def pdv(context: int, control: int, data: bytes) -> bytes:
    return struct.pack(">IBB", len(data) + 2, context, control) + data


def p_data(*values: bytes) -> bytes:
    return pdu(4, b"".join(values))


RELEASE_RQ = pdu(5, bytes(4))
ABORT = pdu(7, bytes(4))


def _element(number: int, value: bytes) -> bytes:
    return struct.pack("<HHI", 0, number, len(value)) + value


def command(
    field: int,
    message_id: int = 7,
    *,
    data: bool = True,
    sop_class: str = CT,
    instance: str = UID,
    originator: tuple[str, int] | None = None,
) -> bytes:
    def uid(text: str) -> bytes:
        return text.encode() + b"\0" * (len(text) % 2)

    body = _element(2, uid(sop_class))
    body += _element(0x100, struct.pack("<H", field))
    body += _element(0x110, struct.pack("<H", message_id))
    body += _element(0x800, struct.pack("<H", 1 if data else 0x101))
    if field == 1:
        body += _element(0x1000, uid(instance))
    if originator:
        body += _element(0x1030, originator[0].ljust(16).encode())
        body += _element(0x1031, struct.pack("<H", originator[1]))
    return _element(0, struct.pack("<I", len(body))) + body


def echo_rq(message_id: int = 1) -> bytes:
    body = command(0x30, message_id, data=False, sop_class=VERIFICATION)
    return p_data(pdv(1, 3, body))


def explicit(tag: int, vr: str, value: bytes) -> bytes:
    value += (b"\0" if vr in {"UI", "OW"} else b" ") * (len(value) % 2)
    head = struct.pack("<HH2s", tag >> 16, tag & 0xFFFF, vr.encode())
    if vr in {"OB", "OW", "SQ", "UN", "UT"}:
        return head + b"\0\0" + struct.pack("<I", len(value)) + value
    return head + struct.pack("<H", len(value)) + value


def data_set(
    instance: str = UID,
    *,
    patient: str = "SYN001",
    sop_class: str = CT,
    pixels: int = 256,
    study: str = "1.2.3.4",
    accession: str = "A1",
) -> bytes:
    """Return a small CT slice, Explicit VR Little Endian."""
    return b"".join(
        (
            explicit(0x00080016, "UI", sop_class.encode()),
            explicit(0x00080018, "UI", instance.encode()),
            explicit(0x00080050, "SH", accession.encode()),
            explicit(0x00080060, "CS", b"CT"),
            explicit(0x00081110, "SQ", b""),
            explicit(0x00100020, "LO", patient.encode()),
            explicit(0x0020000D, "UI", study.encode()),
            explicit(0x0020000E, "UI", (study + ".5").encode()),
            explicit(0x7FE00010, "OW", bytes(pixels)),
        )
    )


def store(
    data: bytes,
    *,
    instance: str = UID,
    message_id: int = 7,
    size: int = 16000,
    originator: tuple[str, int] | None = None,
) -> bytes:
    """Return the PDUs of one C-STORE on context 3."""
    rq = [p_data(pdv(3, 3, command(1, message_id, instance=instance, originator=originator)))]
    pieces = [data[i : i + size] for i in range(0, len(data), size)] or [b""]
    for number, piece in enumerate(pieces, 1):
        rq.append(p_data(pdv(3, 2 if number == len(pieces) else 0, piece)))
    return b"".join(rq)


class Peer:
    """One TCP connection to a receiver; `source` is the address to come from."""

    def __init__(self, port: int, source: str = "127.0.0.1", timeout: float = 20.0) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout, (source, 0))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def exactly(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            more = self.socket.recv(size - len(data))
            if not more:
                break
            data += more
        return data

    def answer(self) -> tuple[int, bytes]:
        """Return type and body of the next PDU; (0, b"") when the receiver has hung up."""
        head = self.exactly(6)
        if len(head) < 6:
            return 0, b""
        kind, length = struct.unpack(">BxI", head)
        return kind, self.exactly(length)

    def associate(self, request: bytes | None = None) -> None:
        self.send(request or associate_rq())
        kind, _ = self.answer()
        assert kind == 2, kind

    def status(self) -> int:
        """Return the status of the next response."""
        kind, body = self.answer()
        assert kind == 4, kind
        return status_of(body)

    def echo(self) -> int:
        self.send(echo_rq())
        return self.status()

    def store(self, data: bytes, instance: str = UID, message_id: int = 7) -> int:
        self.send(store(data, instance=instance, message_id=message_id))
        return self.status()


def status_of(body: bytes) -> int:
    position = 6
    while position < len(body):
        _, number, length = struct.unpack_from("<HHI", body, position)
        if number == 0x900:
            return int(struct.unpack_from("<H", body, position + 8)[0])
        position += 8 + length
    raise AssertionError("no status")
