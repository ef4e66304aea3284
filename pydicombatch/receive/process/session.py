"""An association of ours while a process of the receiver serves it: port `Adopted`."""

import socket
import threading
from collections.abc import Callable
from contextlib import suppress

from pydicombatch.core.adoption import Returned
from pydicombatch.receive.process import wire

_READ_SIZE = 1 << 18
_SENDING = 5.0  # seconds; what is sent is small, and the process never waits


class Session:
    """Our end of the line to the process.

    Parameters
    ----------
    sock
        One end of a socket pair.
    left
        Called when the process serves it no more.
    """

    def __init__(self, sock: socket.socket, left: Callable[[], None]) -> None:
        sock.settimeout(_SENDING)
        self._socket = sock
        self._left = left
        self._lines = wire.Lines()
        self._sending = threading.Lock()

    def fileno(self) -> int:
        """Return a descriptor that can be read when there is something to hear."""
        return self._socket.fileno()

    def hear(self) -> Returned | None:
        """Hear what there is, without waiting; None: instances come, or are being kept.

        Raises
        ------
        ConnectionError
            If the process is gone.
        """
        data = self._socket.recv(_READ_SIZE)
        if not data:
            raise ConnectionResetError
        try:
            messages = self._lines.take(data)
        except ValueError as exc:
            raise ConnectionResetError from exc
        for message in messages:
            if "back" in message:
                return wire.unpack_returned(message["back"])
        return None

    def send(self, data: bytes) -> None:
        """Have bytes sent behind what is being sent; from any thread."""
        with self._sending:
            self._socket.sendall(wire.encode({"send": wire.pack_bytes(data)}))

    def end(self) -> None:
        """Have it dropped, whatever it does; from any thread."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Give the descriptor back; only by its owner."""
        self._socket.close()
        self._left()
