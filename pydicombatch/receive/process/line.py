"""The line to the one whose association is served: both say little, and neither ever waits."""

import contextlib
import socket
from collections.abc import Callable
from typing import Protocol

from pydicombatch.core.adoption import Returned
from pydicombatch.receive.process import wire
from pydicombatch.receive.server.adopted import AdoptedConnection

_READ_SIZE = 65536


class House(Protocol):
    """The loop, as a line sees it."""

    def attach(
        self, sock: socket.socket, on_ready: Callable[[], None], *, write: bool = False
    ) -> None:
        """Call `on_ready` when this socket can be read, or written."""

    def detach(self, sock: socket.socket) -> None:
        """Look at this socket no more."""


class Line:
    """Our end of a socket pair; gives itself back once everything is said.

    Parameters
    ----------
    sock
        Our end.
    house
        The loop.
    """

    def __init__(self, sock: socket.socket, house: House) -> None:
        sock.settimeout(0)
        self._socket = sock
        self._house = house
        self._lines = wire.Lines()
        self._unsent = bytearray()
        self._connection: AdoptedConnection | None = None
        self._writes = False

    def open(self, connection: AdoptedConnection) -> None:
        """Tell the connection from now on what is wanted of it."""
        self._connection = connection
        self._house.attach(self._socket, self._on_ready)

    def alive(self) -> None:
        """Say that instances come, or are being kept."""
        if not self._unsent:
            self._tell({"alive": True})

    def give_back(self, returned: Returned) -> None:
        """Say that the association is served no more; the last that is said."""
        self._connection = None
        self._tell({"back": wire.pack_returned(returned)})

    def _tell(self, message: wire.Message) -> None:
        self._unsent += wire.encode(message)
        self._flush()

    def _on_ready(self) -> None:
        if self._writes:
            self._flush()
            return
        try:
            data = self._socket.recv(_READ_SIZE)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        self._hear(data)

    def _hear(self, data: bytes) -> None:
        """Do what is wanted; nothing: the association is wanted no more."""
        connection = self._connection
        for message in self._lines.take(data):
            if connection is not None:
                connection.send(wire.unpack_bytes(message["send"]))
        if not data:
            self._hang_up()
            if connection is not None:
                connection.close()

    def _flush(self) -> None:
        if self._socket.fileno() < 0:
            return
        try:
            while self._unsent:
                del self._unsent[: self._socket.send(self._unsent)]
        except BlockingIOError:
            self._watch(write=True)
            return
        except OSError:  # nobody listens any more
            self._unsent.clear()
        self._watch(write=False)
        if self._connection is None:
            self._hang_up()

    def _watch(self, *, write: bool) -> None:
        if write != self._writes:
            self._writes = write
            self._house.detach(self._socket)
            self._house.attach(self._socket, self._on_ready, write=write)

    def _hang_up(self) -> None:
        """Give the socket back."""
        self._connection = None
        if self._socket.fileno() >= 0:
            with contextlib.suppress(KeyError, ValueError):  # the loop may have ended
                self._house.detach(self._socket)
            self._socket.close()
