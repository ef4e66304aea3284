"""Who comes in: connections are admitted by one process, and shared out among its siblings."""

import contextlib
import socket
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable
from functools import partial
from typing import Protocol

from pydicombatch.receive.server.admission import Admission, admission
from pydicombatch.receive.server.settings import Settings
from pydicombatch.receive.upperlayer.negotiation import LOCAL_LIMIT_EXCEEDED
from pydicombatch.receive.upperlayer.pdu import encode_reject

_MOST_LINGERING = 64
_LINGER = 1.0  # seconds until a peer that was sent away must have heard it
_LONGEST_ADDRESS = 256  # bytes; an IPv6 address with its interface


Welcome = Callable[[socket.socket, str], None]  # serves a connection of an address


class House(Protocol):
    """The loop, as an entrance sees it."""

    def attach(self, sock: socket.socket, on_ready: Callable[[], None]) -> None:
        """Call `on_ready` when this socket can be read."""

    def detach(self, sock: socket.socket) -> None:
        """Look at this socket no more."""


class Door(Protocol):
    """Where connections come from."""

    port: int  # 0: none of our own

    def open(self, house: House, welcome: Welcome) -> None:
        """Let connections in from now on; `left` is due once for each that is welcomed."""

    def left(self, address: str) -> None:
        """Note that a connection of this address has ended."""

    def shut(self) -> None:
        """Let nobody in any more."""

    def tick(self, now: float) -> None:
        """Do what time brings; `now` in monotonic seconds."""

    def close(self) -> None:
        """Give the sockets back."""


class _Sibling:
    """A process that serves what we let in."""

    def __init__(self, sock: socket.socket) -> None:
        sock.settimeout(0)
        self.socket = sock
        self.guests = 0

    def take(self, guest: socket.socket, address: str) -> bool:
        """Hand a connection over; False when that cannot be done now."""
        try:
            socket.send_fds(self.socket, [address.encode()], [guest.fileno()])
        except OSError:
            return False
        self.guests += 1
        return True


class Entrance:
    """The listener: admits, and hands a guest over to a sibling that has fewer.

    Parameters
    ----------
    listener
        Listening, not blocking.
    settings
        Limits and addresses.
    siblings
        Our ends of pairs of sequenced-packet sockets, the other ends with an `Inlet` each.
    """

    def __init__(
        self, listener: socket.socket, settings: Settings, siblings: Iterable[socket.socket] = ()
    ) -> None:
        self.port = int(listener.getsockname()[1])
        self._listener = listener
        self._limits = settings.limits
        self._addresses = settings.addresses
        self._plain = settings.tls is None
        self._siblings = [_Sibling(one) for one in siblings]
        self._guests = 0  # in this process
        self._per_address: Counter[str] = Counter()
        self._lingering: deque[tuple[float, socket.socket]] = deque()
        self._house: House | None = None
        self._welcome: Welcome | None = None
        self._is_shut = False

    def open(self, house: House, welcome: Welcome) -> None:
        """Let connections in from now on; `left` is due once for each that is welcomed."""
        self._house, self._welcome = house, welcome
        house.attach(self._listener, self._accept)
        for one in self._siblings:
            house.attach(one.socket, partial(self._hear, one))

    def left(self, address: str) -> None:
        """Note that a connection of this process has ended."""
        self._guests -= 1
        self._forget(address)

    def shut(self) -> None:
        """Let nobody in any more."""
        self._is_shut = True

    def tick(self, now: float) -> None:
        """Close what was sent away a moment ago."""
        while self._lingering and self._lingering[0][0] <= now:
            self._lingering.popleft()[1].close()

    def close(self) -> None:
        """Give the sockets back."""
        for _, sock in self._lingering:
            sock.close()
        for one in self._siblings:
            one.socket.close()
        self._listener.close()

    def _accept(self) -> None:
        for _ in range(self._limits.connections_per_turn):
            try:
                sock, peer = self._listener.accept()
            except OSError:  # nobody there, gone again, or out of descriptors: later
                return
            self._admit(sock, str(peer[0]).removeprefix("::ffff:"))  # IPv4 on a dual socket

    def _admit(self, sock: socket.socket, address: str) -> None:
        verdict = admission(address, self._per_address, self._limits, self._addresses)
        if self._welcome is None or self._is_shut or verdict is Admission.STRANGER:
            sock.close()
        elif verdict is Admission.FULL:
            self._send_away(sock)
        else:
            self._seat(self._welcome, sock, address)

    def _seat(self, welcome: Welcome, sock: socket.socket, address: str) -> None:
        """Have the least busy process serve a connection."""
        self._per_address[address] += 1
        least = min(self._siblings, key=lambda one: one.guests, default=None)
        if least is not None and least.guests < self._guests and least.take(sock, address):
            sock.close()
            return
        self._guests += 1
        welcome(sock, address)

    def _hear(self, sibling: _Sibling) -> None:
        """Take note of who has left a sibling."""
        with contextlib.suppress(BlockingIOError):
            while address := _received(sibling.socket):
                sibling.guests -= 1
                self._forget(address.decode())
            # it has ended; the engine starts all of us anew, unless it wants an end
            self._siblings.remove(sibling)
            if self._house is not None:
                self._house.detach(sibling.socket)
            sibling.socket.close()

    def _forget(self, address: str) -> None:
        self._per_address[address] -= 1
        if not self._per_address[address]:
            del self._per_address[address]

    def _send_away(self, sock: socket.socket) -> None:
        """Reject as transient without reading; closed a little later, so that it is heard."""
        sock.settimeout(0)
        if self._plain and len(self._lingering) < _MOST_LINGERING:
            with contextlib.suppress(OSError):
                sock.send(encode_reject(*LOCAL_LIMIT_EXCEEDED))
                sock.shutdown(socket.SHUT_WR)
            self._lingering.append((time.monotonic() + _LINGER, sock))
        else:
            sock.close()


class Inlet:
    """The door of a sibling: what another process has admitted.

    Parameters
    ----------
    hub
        The other end of what the `Entrance` was given.
    """

    port = 0

    def __init__(self, hub: socket.socket) -> None:
        hub.settimeout(0)
        self._hub = hub
        self._house: House | None = None
        self._welcome: Welcome | None = None
        self._is_shut = False
        self._untold: deque[str] = deque()

    def open(self, house: House, welcome: Welcome) -> None:
        """Let connections in from now on; `left` is due once for each that is welcomed."""
        self._house, self._welcome = house, welcome
        house.attach(self._hub, self._receive)

    def left(self, address: str) -> None:
        """Tell that a connection has ended."""
        self._untold.append(address)
        self._tell()

    def shut(self) -> None:
        """Let nobody in any more."""
        self._is_shut = True

    def tick(self, now: float) -> None:  # noqa: ARG002 - a door's
        """Tell what could not be told before."""
        self._tell()

    def close(self) -> None:
        """Give the socket back."""
        self._hub.close()

    def _tell(self) -> None:
        with contextlib.suppress(OSError):  # it is busy, or gone and we soon will be, too
            while self._untold:
                self._hub.send(self._untold[0].encode())
                self._untold.popleft()

    def _receive(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while True:
                try:
                    data, descriptors, _, _ = socket.recv_fds(self._hub, _LONGEST_ADDRESS, 1)
                except ConnectionResetError:  # it has not read all that we told it
                    break
                if not data:
                    break
                self._seat([socket.socket(fileno=one) for one in descriptors], data.decode())
            if self._house is not None:  # the one that listens has ended
                self._house.detach(self._hub)

    def _seat(self, guests: list[socket.socket], address: str) -> None:
        """Serve who comes; nobody does when there was no descriptor left for them."""
        if guests and self._welcome is not None and not self._is_shut:
            self._welcome(guests[0], address)
            return
        for one in guests:
            one.close()
        self.left(address)


def _received(sock: socket.socket) -> bytes:
    """Return a message; nothing when the other end is gone."""
    try:
        return sock.recv(_LONGEST_ADDRESS)
    except ConnectionResetError:
        return b""
