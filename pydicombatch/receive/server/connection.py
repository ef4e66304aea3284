"""One peer: its socket, its association, and the data set it is sending."""

import socket
import ssl
import time
from collections.abc import Callable, Sequence

from pydicombatch.core.log import EventLog
from pydicombatch.receive.server.admission import Progress, deadline
from pydicombatch.receive.server.delivery import Delivery
from pydicombatch.receive.server.host import Host
from pydicombatch.receive.server.incoming import Incoming
from pydicombatch.receive.server.intake import Intake
from pydicombatch.receive.server.outlet import Kept, Kind
from pydicombatch.receive.server.rapid import Peer
from pydicombatch.receive.server.settings import Limits
from pydicombatch.receive.server.times import Times
from pydicombatch.receive.upperlayer.machine import Association
from pydicombatch.receive.upperlayer.negotiation import Policy
from pydicombatch.receive.upperlayer.phase import Phase

log = EventLog(__name__)

_QUICKACK = getattr(socket, "TCP_QUICKACK", None)  # Linux


class Connection:
    """Reads, hands to the association, acts on what it says, writes what it wants written.

    Parameters
    ----------
    sock
        Connected, not blocking; for TLS wrapped, not shaken hands.
    address
        The peer's.
    policy
        What we offer.
    limits
        What a peer may cost.
    intake
        Where data sets go.
    host
        The loop.
    """

    def __init__(
        self,
        sock: socket.socket,
        address: str,
        policy: Policy,
        limits: Limits,
        intake: Intake,
        host: Host,
    ) -> None:
        self.socket = sock
        self.address = address
        self.association = Association(policy)
        self.limits = limits
        self._intake = intake
        self._host = host
        self._delivery = Delivery(intake, address)
        self._feeding = False
        self._held = 0
        self._unsent = b""
        self._tail = b""  # what a peer sent that did not wait for our answer
        self._times = Times(len(host.buffer))
        self._closed = False
        # what it sent last, and on which context, until more of that kind is expected
        self._last: tuple[Incoming, int] | None = None
        self._asked = (-1, -1)  # no C-GET of ours
        self._quick = _QUICKACK is not None and sock.family != socket.AF_UNIX
        self._ready: Callable[[], None] = (
            self._shake if isinstance(sock, ssl.SSLSocket) else self._transfer
        )

    @property
    def is_guest(self) -> bool:
        """Whether the peer has connected to us."""
        return True

    @property
    def progress(self) -> Progress:
        """Where this connection is, for its deadline."""
        return self._times.progress(self.association)

    def on_ready(self) -> None:
        """Do what the socket is ready for; never raises for what a peer does."""
        self._run(self._ready)

    def _run(self, action: Callable[[], None]) -> None:
        try:
            action()
        except (ssl.SSLWantReadError, BlockingIOError, InterruptedError):
            return
        except ssl.SSLWantWriteError:
            self._host.watch(self, read=True, write=True)
        except (OSError, ValueError):  # ValueError: a TLS session that is over
            self.close()
        except Exception as exc:  # noqa: BLE001 - a mistake of ours must not cost the other peers
            log.error("connection.failed", error=type(exc).__name__)  # noqa: TRY400 - no text
            self.close()

    def abort(self) -> None:
        """End the association; the peer gets a moment to hear of it."""
        if self.association.phase in {Phase.CLOSING, Phase.CLOSED} or self._ready == self._shake:
            self.close()
            return
        self.association.abort()
        self._times.closing_since = time.monotonic()
        self._drop()
        self._guarded(self._flush)

    def close(self) -> None:
        """Hang up at once."""
        if self._closed:
            return
        self._closed = True
        self._drop()
        self._host.leave(self)
        self.socket.close()

    def _shake(self) -> None:
        if isinstance(self.socket, ssl.SSLSocket):
            self.socket.do_handshake()
        self._host.watch(self, read=True, write=False)
        self._ready = self._transfer
        self._transfer()

    def _transfer(self) -> None:
        if self._unsent:
            self._flush()
            if self._unsent or self._closed:
                return
        reads = taken = 0
        while not self._closed and not self._busy():
            size = self._read()
            if not size:
                self.close()
                return
            self._feed(self._host.buffer[:size])
            reads, taken = reads + 1, taken + size
            if taken >= len(self._host.buffer) or not self._goes_on(reads):
                return

    def _goes_on(self, reads: int) -> bool:
        """Whether to read again before the others have their turn."""
        # TLS may hold bytes that no selector sees
        if isinstance(self.socket, ssl.SSLSocket) and self.socket.pending():
            return True
        # What the sender's kernel held back until we acknowledged comes at once
        more = reads < self._host.reads and not self._times.reads_little
        return more and self.association.phase is Phase.OPEN and self._owes()

    def _busy(self) -> bool:
        """Whether we owe the peer something, and read nothing until it is done."""
        return self.association.awaits_answer or bool(self._unsent)

    def _read(self) -> int:
        size = self.socket.recv_into(self._host.buffer, self._times.read_size)
        self._host.count(size)
        return size

    def _served(self, kind: Kind, kept: Sequence[Kept], unsent: bytes) -> None:  # noqa: ARG002
        """Note that messages went the shortest way, and were answered."""
        self._times.note(self.association, 1, 1)
        if unsent:
            self._unsent, self._times.unsent_since = self._unsent + unsent, time.monotonic()
            self._run(self._flush)

    def _not_kept(self, kind: Kind, answer: bytes) -> None:
        """Answer for a message that went the shortest way, and could not be kept."""
        self._served(kind, (), answer)

    def _received(self, size: int) -> None:
        """Go on with what came and could not go the shortest way; it lies in the buffer."""
        if not size:
            self.close()
            return
        self._run(lambda: self._feed(self._host.buffer[:size]))

    def _offer(self) -> None:
        """Have messages like the last one go the shortest way, if there is one and it is done."""
        one, last = self.association, self._last
        if last and one.between_messages and not self._unsent and not self._closed:
            self._last = None
            about = one.respond, self._served, self._received, self._not_kept, self._asked
            self._intake.offer(last[0], Peer(self.socket.fileno(), last[1], *about))

    def _feed(self, data: memoryview) -> None:
        """Act on bytes of the peer; all of them, unless a data set waits for its answer."""
        self._feeding = True
        work, size = 0, len(data)
        while len(data) and not self._closed:
            happened, consumed = self.association.receive(data)
            work += len(happened)
            if self._delivery.take(happened) > self.limits.largest_object:
                self._too_large()
            if (complete := self._delivery.finished()) is not None:
                self._last = complete, self.association.context
                self._intake.finish(complete, self._answer)
            data = data[consumed:]
            if self._pauses(data):
                break
        self._feeding = False
        self._times.note(self.association, work, size)
        self._after()
        if self._quick and self._owes() and not self._closed:
            # Nagle's algorithm holds back the rest until we acknowledge; an answer does, too
            self.socket.setsockopt(socket.IPPROTO_TCP, _QUICKACK or 0, 1)
        self._offer()

    def tick(self, now: float, *, held_back: bool) -> None:  # noqa: ARG002 - for others
        """End the association when patience with it has ended; `now` in monotonic seconds."""
        if deadline(self.progress, self.limits) <= now and not self._host.is_keeping(self):
            log.warning("association.timeout", reason=self.association.phase.value)
            self.abort()

    def _too_large(self) -> None:
        """End an association that sends more than any instance has."""
        self.abort()

    def _pauses(self, data: memoryview) -> bool:
        """Keep what is not consumed until a data set has its answer; False: none waits for it."""
        if self.association.awaits_answer:
            self._tail = bytes(data)  # at most one buffer
            self._host.watch(self, read=False, write=False)
        return self.association.awaits_answer

    def _owes(self) -> bool:
        """Whether a part of a message, or of the request for an association, is still to come."""
        one = self.association
        return not (one.between_messages or one.awaits_answer)

    def _after(self) -> None:
        """Go on as the phase demands that the association is in now."""
        phase = self.association.phase
        self._note_held()
        too_much = self._held and self._host.held > self.limits.held_bytes
        if phase is Phase.CLOSED or too_much:
            self.close()
            return
        if phase is Phase.CLOSING:
            self._drop()
        if not self._closed:
            self._flush()

    def _note_held(self) -> None:
        held = len(self._tail)
        if self.association.phase is Phase.AWAITING:
            held += self.association.held
        if self._closed:
            held = 0
        self._host.held += held - self._held
        self._held = held

    def _flush(self) -> None:
        output = self._unsent + self.association.take_output()
        if not output:
            return
        try:
            sent = self.socket.send(output)
        except (BlockingIOError, ssl.SSLWantWriteError, ssl.SSLWantReadError):
            sent = 0
        was_waiting, self._unsent = bool(self._unsent), output[sent:]
        if self._unsent:
            if sent or not was_waiting:
                self._times.unsent_since = time.monotonic()
            self._host.watch(self, read=False, write=True)
        elif was_waiting:
            self._times.unsent_since = None
            self._host.watch(self, read=not self.association.awaits_answer, write=False)

    def _answer(self, status: int, comment: str) -> None:
        """Send the C-STORE response; the peer may have gone meanwhile."""
        if self._closed or not self.association.awaits_answer:
            return
        self.association.answer(status, comment)
        self._guarded(self._flush if self._feeding else self._go_on)

    def _go_on(self) -> None:
        self._flush()
        self._times.heard = time.monotonic()
        if not self._unsent:
            self._host.watch(self, read=True, write=False)
        if self._tail and not self._closed:
            tail, self._tail = self._tail, b""
            self._feed(memoryview(tail))
        self._offer()

    def _drop(self) -> None:
        self._delivery.drop()
        self._tail = b""
        self._note_held()

    def _guarded(self, action: Callable[[], None]) -> None:
        try:
            action()
        except (OSError, ValueError):
            self.close()
