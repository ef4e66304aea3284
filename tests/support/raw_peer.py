"""A listener that plays bytes: what no DICOM library would send."""

import socket
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from typing import Self

from tests.support.ports import LOOPBACK


class RawPeer:
    """Accepts connections and plays bytes: after each PDU it reads, the next piece is sent.

    `None` closes the connection, a number waits so many seconds; when the script of a connection
    is over it stays open and silent. The last script is for all further connections.
    """

    def __init__(self, *scripts: Sequence[bytes | float | None]) -> None:
        self._scripts = scripts
        self.received: list[bytes] = []
        self._open: list[socket.socket] = []
        self._listener = socket.create_server((LOOPBACK, 0))
        self.port = int(self._listener.getsockname()[1])
        self._thread = threading.Thread(target=self._accept, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()
        for one in self._open:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def push(self, piece: bytes) -> None:
        """Send bytes on the newest connection, unasked."""
        with suppress(OSError):
            self._open[-1].sendall(piece)

    def _accept(self) -> None:
        for script in self._endless():
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self._open.append(connection)
            threading.Thread(target=self._serve, args=(connection, script), daemon=True).start()

    def _endless(self) -> Iterator[Sequence[bytes | float | None]]:
        yield from self._scripts
        while True:
            yield self._scripts[-1]

    def _serve(self, connection: socket.socket, script: Iterable[bytes | float | None]) -> None:
        with suppress(OSError):
            for piece in script:
                if isinstance(piece, bytes):
                    self.received.append(_read_pdu(connection))
                    connection.sendall(piece)
                elif piece is None:
                    connection.shutdown(socket.SHUT_RDWR)
                else:
                    time.sleep(piece)


def _read_pdu(connection: socket.socket) -> bytes:
    header = _exactly(connection, 6)
    return header + _exactly(connection, int.from_bytes(header[2:], "big"))


def _exactly(connection: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        piece = connection.recv(count - len(data))
        if not piece:
            raise ConnectionResetError
        data += piece
    return data
