"""A relay that keeps what a sender says, and takes the data sets out of it by hand."""

import socket
import struct
import threading
from contextlib import suppress
from typing import Self

_P_DATA = 4  # PS3.8 9.3.5
_COMMAND, _LAST = 1, 2  # PS3.8 E.2, message control header


class Wiretap:
    """Relays connections on loopback to a port; a context manager.

    Parameters
    ----------
    target
        Port that the connections are for.
    """

    def __init__(self, target: int) -> None:
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port: int = self._listener.getsockname()[1]
        self._heard: list[bytearray] = []
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> Self:
        self._start(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(10)

    def data_sets(self) -> list[bytes]:
        """Return every data set that was sent, and forget it; ask when the sender has ended."""
        found = [one for stream in self._heard for one in data_sets(bytes(stream))]
        self._heard.clear()
        return found

    def commands(self) -> list[bytes]:
        """Return every command set that was sent so far."""
        return [one for stream in self._heard for one in messages(bytes(stream), is_command=True)]

    def _start(self, target: object, *arguments: object) -> None:
        thread = threading.Thread(target=target, args=arguments, daemon=True)  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with suppress(OSError):  # closed
            while True:
                sender, _ = self._listener.accept()
                receiver = socket.create_connection(("127.0.0.1", self._target), 60)
                self._heard.append(bytearray())
                self._start(_pump, sender, receiver, self._heard[-1])
                self._start(_pump, receiver, sender, bytearray())


def _pump(source: socket.socket, target: socket.socket, heard: bytearray) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            heard += data  # before it is passed on: who is answered finds it here
            target.sendall(data)
    for one in (source, target):
        with suppress(OSError):
            one.shutdown(socket.SHUT_RDWR)


def data_sets(stream: bytes) -> list[bytes]:
    """Put the data sets of an association together."""
    return messages(stream, is_command=False)


def messages(stream: bytes, *, is_command: bool) -> list[bytes]:
    """Put the command sets, or the data sets, of an association together (PS3.8 9.3.5)."""
    found, current, position = [], b"", 0
    while position < len(stream):
        kind, size = struct.unpack_from(">BxI", stream, position)
        position += 6
        unit = stream[position : position + size]
        position += size
        while kind == _P_DATA and unit:
            length, _, control = struct.unpack_from(">IBB", unit)
            if bool(control & _COMMAND) is is_command:
                current += unit[6 : 4 + length]
                if control & _LAST:
                    found.append(current)
                    current = b""
            unit = unit[4 + length :]
    return found
