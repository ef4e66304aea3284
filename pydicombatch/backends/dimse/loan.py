"""A connection of ours while the receiver serves it: the bytes of a C-GET go past this process.

With TLS the session stays here; then its bytes are carried to and from a socket pair, whose other
end the receiver serves.
"""

import select
import socket
from contextlib import suppress

from pydicombatch.backends.dimse.wire import READ, Wire
from pydicombatch.core.adoption import Adoption, Returned
from pydicombatch.core.ports import Adopter


class GoneError(Exception):
    """The receiver serves our association no more, and has not given it back."""


class Loan:
    """Lends a connection; used by one thread.

    Parameters
    ----------
    wire
        The connection; what was read of it and not consumed is in the adoption.
    adopter
        The receiver.
    adoption
        What it must know.

    Raises
    ------
    GoneError
        If the receiver is gone.
    """

    def __init__(self, wire: Wire, adopter: Adopter, adoption: Adoption) -> None:
        self._wire = wire
        self._pump: Pump | None = None
        try:
            self._pump = Pump(wire) if wire.is_secure else None
            number = wire.fileno() if self._pump is None else self._pump.theirs.fileno()
            self._adopted = adopter.adopt(number, adoption)
        except OSError as exc:
            self._end_pump()
            raise GoneError from exc
        wire.lend(self._adopted)

    def hear(self, seconds: float) -> Returned | None:
        """Wait for a sign of life, or for the end.

        Raises
        ------
        TimeoutError
            If there is none in so many seconds.
        GoneError
            If the receiver is gone, or we have aborted the association.
        OSError
            If the connection is lost.
        """
        number = self._adopted.fileno()
        if self._pump is not None:
            self._pump.turn(number, seconds)
        elif not _is_readable(number, seconds):
            raise TimeoutError
        if not _is_readable(number, 0):
            return None
        try:
            returned = self._adopted.hear()
        except OSError as exc:
            raise GoneError from exc
        if returned is not None and returned.rest is not None:
            self._take_back(returned.rest, returned.unsent)
        return returned

    def close(self) -> None:
        """Give everything back; an association that is still served is dropped."""
        self._wire.lend(None)
        self._adopted.close()
        self._end_pump()

    def _take_back(self, rest: bytes, unsent: bytes) -> None:
        self._wire.give(rest + (self._pump.stop() if self._pump is not None else b""))
        self._wire.regain(unsent)

    def _end_pump(self) -> None:
        if self._pump is not None:
            self._pump.close()


class Pump:
    """Carries bytes between a TLS session and a socket pair.

    Parameters
    ----------
    wire
        The session.
    """

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._ours, self.theirs = socket.socketpair()
        for one in (self._ours, self.theirs):
            one.settimeout(0)
        self._waiting = b""  # read and not carried on yet
        self._is_over = False  # the archive says nothing more

    def turn(self, other: int, seconds: float) -> None:
        """Wait until there is something to carry, or another descriptor can be read; carry it.

        Raises
        ------
        TimeoutError
            If nothing happens in so many seconds.
        OSError
            If the connection is lost.
        """
        reads = not self._waiting and not self._is_over
        poll = select.poll()
        poll.register(other, select.POLLIN)
        poll.register(self._ours, select.POLLIN | (select.POLLOUT if self._waiting else 0))
        if reads:
            poll.register(self._wire, select.POLLIN)
        has_more = reads and self._wire.has_more()
        if not poll.poll(0 if has_more else max(0, seconds * 1000)) and not has_more:
            raise TimeoutError
        self._carry_out()
        if reads:
            self._read()
        with suppress(BlockingIOError):
            self._waiting = self._waiting[self._ours.send(self._waiting) :]

    def stop(self) -> bytes:
        """Carry on what the receiver has sent, and return what it has not read."""
        self._carry_out()
        rest = bytearray()
        with suppress(BlockingIOError):
            while data := self.theirs.recv(READ):
                rest += data
        return bytes(rest) + self._waiting

    def close(self) -> None:
        """Give the sockets back."""
        self._ours.close()
        self.theirs.close()

    def _read(self) -> None:
        try:
            self._waiting = self._wire.take()
        except OSError:  # what came before goes first
            self._is_over = True
            self._ours.shutdown(socket.SHUT_WR)

    def _carry_out(self) -> None:
        with suppress(BlockingIOError):
            while data := self._ours.recv(READ):
                self._wire.push(data)


def _is_readable(descriptor: int, seconds: float) -> bool:
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(max(0, seconds * 1000)))
