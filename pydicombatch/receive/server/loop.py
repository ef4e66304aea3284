"""One thread, all peers: the selector around connections. It decides nothing."""

import contextlib
import selectors
import socket
import ssl
import time
from collections import deque
from collections.abc import Callable
from functools import partial

from pydicombatch.core.adoption import Adoption
from pydicombatch.core.keepalive import end_when_dead
from pydicombatch.core.log import EventLog
from pydicombatch.receive.server.admission import Meter
from pydicombatch.receive.server.adopted import AdoptedConnection, Owner
from pydicombatch.receive.server.connection import Connection
from pydicombatch.receive.server.entrance import Door
from pydicombatch.receive.server.intake import Intake
from pydicombatch.receive.server.rapid import Rapid
from pydicombatch.receive.server.settings import Settings
from pydicombatch.receive.upperlayer.negotiation import Policy

BUFFER = 1 << 20  # bytes; CPU for each of them, measured: a quarter less than with 256 KiB
_LIMITED_BUFFER = 1 << 18  # when there is a byte rate: nobody is read while what came is paid off
_READS = 4  # of one connection in one turn
_TICK = 0.25  # seconds between two looks at deadlines
_LONGEST_NAP = 0.05  # seconds, when the byte rate is used up
_LONGEST_FAREWELL = 60.0  # seconds for what is complete to be acknowledged
_READ, _WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE

log = EventLog(__name__)


class Loop:
    """Serves until `stop` is called and what was received is acknowledged.

    Parameters
    ----------
    door
        Where connections come from.
    settings
        Limits, rate and policy.
    tls
        Wraps every connection; None: plain.
    """

    def __init__(self, door: Door, settings: Settings, tls: ssl.SSLContext | None) -> None:
        limited = bool(settings.megabytes_per_second)
        self.buffer = memoryview(bytearray(_LIMITED_BUFFER if limited else BUFFER))
        self.held = 0
        self.reads = 1 if limited else _READS  # the rate is kept by turns
        self._door = door
        self._settings = settings
        self._limits = settings.limits
        self._tls = tls
        self._policy = Policy(
            settings.aet, frozenset(settings.calling_aets), max_pdu=settings.max_pdu
        )
        self._selector = selectors.EpollSelector()
        self._watched: dict[Connection, int] = {}
        self._meter = Meter(settings.megabytes_per_second * 1e6)
        self._posted: deque[Callable[[], None]] = deque()
        self._waker, self._wake = socket.socketpair()
        self._waker.settimeout(0)
        self._wake.settimeout(0)
        self._intake: Intake | None = None
        self._rapid: Rapid | None = None
        self._stopping = False
        self._next_tick = self._patience = 0.0

    def post(self, action: Callable[[], None]) -> None:
        """Run something in the loop's thread, soon; from any thread."""
        self._posted.append(action)
        with contextlib.suppress(BlockingIOError, OSError):  # full: it wakes up anyhow
            self._wake.send(b"\0")

    def stop(self) -> None:
        """Accept nobody any more, acknowledge what is complete, then end; from any thread."""

        def begin() -> None:
            self._stopping = True
            self._door.shut()
            self._patience = time.monotonic() + _LONGEST_FAREWELL
            if self._intake is not None:
                self._intake.refuse_new()

        self.post(begin)

    def watch(self, connection: Connection, *, read: bool, write: bool) -> None:
        """Call `on_ready` when the socket can be read or written."""
        wanted = (_READ if read else 0) | (_WRITE if write else 0)
        watched = self._watched.get(connection)
        if watched is None or watched == wanted:
            return
        if write and self._rapid is not None:
            self._rapid.withdraw(connection.socket.fileno())
        if not wanted:
            self._selector.unregister(connection.socket)
        elif not watched:
            self._selector.register(connection.socket, wanted, connection.on_ready)
        else:
            self._selector.modify(connection.socket, wanted, connection.on_ready)
        self._watched[connection] = wanted

    def count(self, size: int) -> None:
        """Note that bytes were read."""
        if self._settings.megabytes_per_second:
            self._meter.count(size, time.monotonic())

    def leave(self, connection: Connection) -> None:
        """Forget a connection that closes its socket."""
        if self._rapid is not None:
            self._rapid.leave(connection.socket.fileno())
        if self._watched.pop(connection, 0):
            self._selector.unregister(connection.socket)
        if connection.is_guest:
            self._door.left(connection.address)

    def attach(
        self, sock: socket.socket, on_ready: Callable[[], None], *, write: bool = False
    ) -> None:
        """Call `on_ready` when this socket, too, can be read, or written."""
        self._selector.register(sock, _WRITE if write else _READ, on_ready)

    def detach(self, sock: socket.socket) -> None:
        """Look at this socket no more."""
        self._selector.unregister(sock)

    def run(self, intake: Intake, on_turn: Callable[[], float]) -> None:
        """Serve; return once stopped.

        Parameters
        ----------
        intake
            Where data sets go.
        on_turn
            Called between turns; returns for how many seconds the loop may sleep at most.
        """
        self._intake = intake
        self._rapid = intake.open(self._selector.fileno(), self.buffer)
        self._door.open(self, partial(self._welcome, intake))
        self._selector.register(self._waker, _READ, self._woken)
        try:
            while not self._stopping or (not intake.idle() and time.monotonic() < self._patience):
                self._turn(intake, min(on_turn(), _LONGEST_NAP))
        finally:
            self._end(intake)

    def _turn(self, intake: Intake, timeout: float) -> None:
        nap = self._meter.wait(time.monotonic()) if self._settings.megabytes_per_second else 0.0
        if nap:
            time.sleep(min(nap, _LONGEST_NAP))
        if not nap or self._stopping:
            for action in self._ready(intake, timeout):
                action()
        while self._posted:
            self._posted.popleft()()
        if (now := time.monotonic()) >= self._next_tick:
            self._next_tick = now + _TICK
            self._look_at_deadlines(now)
        intake.tick()

    def _ready(self, intake: Intake, timeout: float) -> list[Callable[[], None]]:
        """Wait, and return what must be done."""
        if self._rapid is None:
            return [key.data for key, _ in self._selector.select(timeout)]
        ready = self._rapid.wait(timeout, intake.allowance(), intake.decisions())
        keys = self._selector.get_map()
        # what the first of them did may have closed the others
        return [keys[one].data for one in ready if one in keys]

    def _woken(self) -> None:
        with contextlib.suppress(BlockingIOError):
            self._waker.recv(4096)

    def _welcome(self, intake: Intake, sock: socket.socket, address: str) -> None:
        """Serve a connection that was admitted."""
        sock.settimeout(0)
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            end_when_dead(sock, self._limits.dead_seconds)
            if self._tls is not None:
                sock = self._tls.wrap_socket(sock, server_side=True, do_handshake_on_connect=False)
        except OSError:
            sock.close()
            self._door.left(address)
            return
        connection = Connection(sock, address, self._policy, self._limits, intake, self)
        self._selector.register(sock, _READ, connection.on_ready)
        self._watched[connection] = _READ

    def adopt(self, sock: socket.socket, adoption: Adoption, owner: Owner) -> None:
        """Serve an association of ours until something else comes than instances.

        Parameters
        ----------
        sock
            The connection.
        adoption
            What must be known of it.
        owner
            The one who asked.
        """
        if self._intake is None:
            raise RuntimeError("only while it runs")
        sock.settimeout(0)
        about = sock, adoption, self._limits
        connection = AdoptedConnection(*about, self._intake, self, owner)
        self._selector.register(sock, _READ, connection.on_ready)
        self._watched[connection] = _READ
        connection.begin(adoption.received)

    def _look_at_deadlines(self, now: float) -> None:
        self._door.tick(now)
        held_back = bool(self._meter.wait(now))
        for connection in list(self._watched):
            connection.tick(now, held_back=held_back)

    def is_keeping(self, connection: Connection) -> bool:
        """Whether what it sent last is being made durable, by others than itself."""
        return self._rapid is not None and self._rapid.keeps(connection.socket.fileno())

    def _abort_all(self) -> None:
        for connection in list(self._watched):
            if not self.is_keeping(connection):
                connection.abort()

    def _end(self, intake: Intake) -> None:
        self._abort_all()
        if self._rapid is not None:
            self._rapid.close()
            self._rapid = None
            self._abort_all()
        intake.close()
        while self._posted:
            self._posted.popleft()()
        for connection in list(self._watched):
            connection.close()
        self._door.close()
        self._selector.close()
        for sock in (self._waker, self._wake):
            sock.close()
