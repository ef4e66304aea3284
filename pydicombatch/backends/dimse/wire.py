"""Whole PDUs in and out of one TCP connection (PS3.8 9.3), each within a deadline."""

import select
import socket
import ssl
import struct
import threading
import time
from contextlib import suppress

from pydicombatch.core.keepalive import end_when_dead
from pydicombatch.core.pdus import PduType
from pydicombatch.core.ports import Adopted

LARGEST_PDU = 1 << 20  # bytes; a P-DATA-TF of ours is 128 KiB, an A-ASSOCIATE-AC a few hundred
READ = 1 << 16  # bytes
KINDS = {int(kind): kind for kind in PduType}
HEADER = 6  # bytes: type, reserved, length
SENDING = 30.0  # seconds for a message to leave
FAREWELL = 0.5  # seconds an abort waits for a message that is being sent
QUICKACK: int | None = getattr(socket, "TCP_QUICKACK", None)  # Linux
DEAD = 120.0  # seconds until a connection whose other end has vanished is given up


class ProtocolError(Exception):
    """The peer sent what is no DICOM, or not what belongs here; the text holds no data of its."""


def pdu(kind: PduType, body: bytes = bytes(4)) -> bytes:
    """Put the header of PS3.8 9.3.1 before a body; the default is that of a release or abort."""
    return struct.pack(">BxL", kind, len(body)) + body


class Wire:
    """One socket. `send` and `abort` from any thread, all else from its owner."""

    def __init__(self, connection: socket.socket, dead: float = DEAD) -> None:
        self._socket = connection
        self._received = bytearray()
        self._using = threading.Lock()  # TLS bears one user at a time
        self._lent: Adopted | None = None  # to the receiver, who sends for us meanwhile
        self._later = b""  # what could not be sent meanwhile
        self.aborted = False  # by us
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        end_when_dead(connection, dead)

    def connect(self, address: tuple[str | int | bytes, ...], seconds: float) -> None:
        """Connect within `seconds`, or raise OSError (TimeoutError among them)."""
        self._socket.settimeout(seconds)
        self._socket.connect(address)

    def secure(self, context: ssl.SSLContext, hostname: str, seconds: float) -> None:
        """Speak TLS from now on, or raise OSError (ssl.SSLError among them)."""
        self._socket.settimeout(seconds)
        self._socket = context.wrap_socket(self._socket, server_hostname=hostname)

    def send(self, data: bytes) -> None:
        """Send everything, or raise OSError (TimeoutError when the peer does not take it)."""
        with self._using:
            if self._lent is None:
                self._send(data)
                return
            try:
                self._lent.send(data)
            except OSError:  # it is being given back: behind what was not sent, then
                self._later += data

    def receive(self, seconds: float) -> tuple[PduType, bytes]:
        """Wait for one PDU and return its type and its body.

        What came of an unfinished PDU is kept, so the call can be repeated after a TimeoutError.

        Raises
        ------
        TimeoutError
            If it is not complete after `seconds`.
        ConnectionError, OSError
            If the connection is closed or lost.
        ProtocolError
            If it cannot be a PDU, or is larger than any honest one.
        """
        deadline = time.monotonic() + seconds
        while (complete := self._take()) is None:
            self._fill(deadline - time.monotonic())
        return complete

    def speaks(self) -> bool:
        """Whether the peer has sent something or has closed; never waits."""
        if not self._received and (self.has_more() or self._is_readable(0)):
            try:
                self._read()
            except OSError:
                return True
        return bool(self._received)

    def push(self, data: bytes) -> None:
        """Send what the receiver wants sent on a connection that it serves."""
        try:
            with self._using:
                self._send(data)
        except TimeoutError as exc:  # nobody knows how much has left
            raise ConnectionResetError from exc

    @property
    def is_secure(self) -> bool:
        """Whether it speaks TLS."""
        return isinstance(self._socket, ssl.SSLSocket)

    def fileno(self) -> int:
        """Return the descriptor of the socket."""
        return self._socket.fileno()

    def lend(self, adopted: Adopted | None) -> None:
        """Let the receiver send from now on; None: it has gone."""
        with self._using:
            self._lent, self._later = adopted, b""

    def regain(self, unsent: bytes) -> None:
        """Send ourselves again, what the receiver had not sent before anything else."""
        with self._using:
            self._lent = None
            data, self._later = unsent + self._later, b""
            if data:
                self._send(data)

    def give(self, data: bytes) -> None:
        """Put what was read elsewhere before what is read here."""
        self._received[:0] = data

    def take(self) -> bytes:
        """Read what is there without waiting, and hand it over.

        Raises
        ------
        ConnectionError, OSError
            If the connection is closed or lost.
        """
        if not self._received:
            self._read()
        return self.take_rest()

    def take_rest(self) -> bytes:
        """Hand over what was read and not consumed."""
        data = bytes(self._received)
        self._received.clear()
        return data

    def abort(self) -> None:
        """Send an A-ABORT if that is possible at once, and end the connection; from any thread."""
        self.aborted = True
        lent = self._lent
        if lent is not None:
            lent.end()
        if self._using.acquire(timeout=FAREWELL):
            with suppress(OSError):
                self._socket.settimeout(FAREWELL)
                self._socket.sendall(pdu(PduType.ABORT))
            self._using.release()
        self._shutdown()

    def close(self) -> None:
        """End the connection and give the socket back; only by its owner."""
        self._shutdown()
        self._socket.close()

    def _send(self, data: bytes) -> None:
        self._socket.settimeout(SENDING)
        self._socket.sendall(data)

    def _shutdown(self) -> None:
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def _fill(self, seconds: float) -> None:
        if seconds <= 0 or not (self.has_more() or self._is_readable(seconds)):
            raise TimeoutError
        self._read()

    def has_more(self) -> bool:
        """Whether TLS holds decrypted bytes that the socket does not show."""
        return isinstance(self._socket, ssl.SSLSocket) and self._socket.pending() > 0

    def _is_readable(self, seconds: float) -> bool:
        poll = select.poll()
        try:
            poll.register(self._socket, select.POLLIN)
        except ValueError as exc:  # closed by another thread
            raise ConnectionResetError from exc
        return bool(poll.poll(seconds * 1000))

    def _read(self) -> None:
        """Take what is there; nothing, when it was only half of a TLS record."""
        with self._using:
            self._acknowledge_at_once()
            self._socket.settimeout(0)
            try:
                data = self._socket.recv(READ)
            except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
                return
        if not data:
            raise ConnectionResetError
        self._received += data

    def _acknowledge_at_once(self) -> None:
        """Save the peer's Nagle algorithm 40 ms of waiting; the kernel forgets it by itself."""
        if QUICKACK is not None:
            with suppress(OSError):
                self._socket.setsockopt(socket.IPPROTO_TCP, QUICKACK, 1)

    def _take(self) -> tuple[PduType, bytes] | None:
        if len(self._received) < HEADER:
            return None
        kind, length = struct.unpack_from(">BxL", self._received)
        if kind not in KINDS:
            raise ProtocolError("what it sent is no DICOM PDU")
        if length > LARGEST_PDU:
            raise ProtocolError("it sent a PDU larger than we offered to take")
        if len(self._received) < HEADER + length:
            return None
        with memoryview(self._received) as view:
            body = bytes(view[HEADER : HEADER + length])
        del self._received[: HEADER + length]
        return KINDS[kind], body
