"""One peer: its socket, its association, and the data set it is sending."""

import socket
import ssl
import time
from collections.abc import Callable

from pydicombatch.core.log import EventLog
from pydicombatch.receive.server.admission import Progress
from pydicombatch.receive.server.delivery import Delivery
from pydicombatch.receive.server.express import Express, Peer, Taken
from pydicombatch.receive.server.host import Host
from pydicombatch.receive.server.intake import Intake
from pydicombatch.receive.server.settings import Limits
from pydicombatch.receive.server.times import Times
from pydicombatch.receive.upperlayer.machine import Association, Phase
from pydicombatch.receive.upperlayer.negotiation import Policy

log = EventLog(__name__)

_QUICKACK = getattr(socket, "TCP_QUICKACK", None)  # Linux
_LONGEST_KEPT = 0.2  # seconds


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
        self._express: Express | None = None
        self._kept, self._kept_since = b"", 0.0  # what may become a message for it
        self._tail = b""  # what a peer sent that did not wait for our answer
        self._times = Times(len(host.buffer))
        self._closed = False
        self._ready: Callable[[], None] = (
            self._shake if isinstance(sock, ssl.SSLSocket) else self._transfer
        )

    @property
    def progress(self) -> Progress:
        """Where this connection is, for its deadline."""
        return self._times.progress(self.association)

    def on_ready(self) -> None:
        """Do what the socket is ready for; never raises for what a peer does."""
        self._run(self._ready)

    def hurry(self, now: float) -> None:
        """Wait no longer for the rest of a message that is kept; the deadlines look at it then."""
        if self._kept and now - self._kept_since > _LONGEST_KEPT:
            kept, self._kept_since = self._kept, 0.0
            self._hold(b"")
            self._run(lambda: self._feed(memoryview(kept)))

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
            self._sort(self._host.buffer[:size])
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
        buffer, kept = self._host.buffer, len(self._kept)
        if not kept:
            size = self.socket.recv_into(buffer, self._times.read_size)
        else:
            buffer[:kept] = self._kept
            room = buffer[kept : kept + self._times.read_size]
            size = self.socket.recv_into(room)
            self._hold(b"")
        self._host.count(size)
        return size + kept if size else 0

    def _sort(self, data: memoryview) -> None:
        """Let whole messages go the short way, and all others through the state machine."""
        if not self.association.between_messages:
            self._feed(data)
            return
        if self._express is None:
            origin, descriptor = self._delivery.origin, self.socket.fileno()
            self._express = self._intake.express(
                Peer(descriptor, self.association, origin, self._served, self._received)
            )
        if self._express is None:
            self._feed(data)
        else:
            self._act(self._express.take(data), len(data))

    def _act(self, taken: Taken, size: int) -> None:
        """Go on with what was not taken."""
        rest, unsent, waits = taken
        if waits and self._host.held + len(rest) <= self.limits.held_bytes // 4:
            self._times.note(self.association, 1, size)
            self._kept_since = self._kept_since or self._times.heard
            self._hold(bytes(rest))
            self._acknowledge()
            return
        self._kept_since = 0.0
        if unsent is None:
            self.close()
        elif rest or unsent:
            self._unsent, self._times.unsent_since = unsent, time.monotonic() if unsent else None
            self._feed(rest)
        else:
            self._times.note(self.association, 1, size)

    def _served(self, unsent: bytes) -> None:
        """Note that a message went the shortest way, and was answered."""
        self._times.note(self.association, 1, 1)
        if unsent:
            self._unsent, self._times.unsent_since = unsent, time.monotonic()
            self._run(self._flush)

    def _received(self, size: int) -> None:
        """Go on with what came and could not go the shortest way; it lies in the buffer."""
        if not size:
            self.close()
            return
        self._host.count(size)
        self._run(lambda: self._sort(self._host.buffer[:size]))

    def _hold(self, kept: bytes) -> None:
        self._kept = kept
        self._note_held()

    def _feed(self, data: memoryview) -> None:
        """Act on bytes of the peer; all of them, unless a data set waits for its answer."""
        self._feeding = True
        work, size = 0, len(data)
        while len(data) and not self._closed:
            happened, consumed = self.association.receive(data)
            work += len(happened)
            if self._delivery.take(happened) > self.limits.largest_object:
                self.abort()
            if (complete := self._delivery.finished()) is not None:
                self._intake.finish(complete, self._answer)
            data = data[consumed:]
            if self.association.awaits_answer:
                self._tail = bytes(data)  # at most one buffer
                self._host.watch(self, read=False, write=False)
                break
        self._feeding = False
        self._times.note(self.association, work, size)
        self._after()
        if self._owes() and not self._closed:
            self._acknowledge()

    def _acknowledge(self) -> None:
        if _QUICKACK is not None:
            # Nagle's algorithm holds back the rest until we acknowledge; an answer does, too
            self.socket.setsockopt(socket.IPPROTO_TCP, _QUICKACK, 1)

    def _owes(self) -> bool:
        """Whether a part of a message, or of the request for an association, is still to come."""
        one = self.association
        return bool(self._kept) or not (one.between_messages or one.awaits_answer)

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
        held = len(self._kept) + len(self._tail)
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
            self._host.watch(self, read=True, write=False)

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

    def _drop(self) -> None:
        self._delivery.drop()
        self._tail = b""
        self._hold(b"")

    def _guarded(self, action: Callable[[], None]) -> None:
        try:
            action()
        except (OSError, ValueError):
            self.close()
