"""One peer: its socket, its association, and the data set it is sending."""

import socket
import ssl
import time
from collections.abc import Callable

from pydicombatch.core.log import EventLog
from pydicombatch.core.model import Origin
from pydicombatch.receive.server.admission import Progress
from pydicombatch.receive.server.host import Host
from pydicombatch.receive.server.incoming import Incoming
from pydicombatch.receive.server.intake import Intake
from pydicombatch.receive.server.settings import Limits
from pydicombatch.receive.upperlayer import events
from pydicombatch.receive.upperlayer.command import Command
from pydicombatch.receive.upperlayer.machine import Association, Phase
from pydicombatch.receive.upperlayer.negotiation import Policy

log = EventLog(__name__)

_QUICKACK = getattr(socket, "TCP_QUICKACK", None)  # Linux
_FIRST_READ, _SMALL_READ = 8192, 1024  # bytes: at first, and when few bytes are much work:
_MUCH, _FEW = 16, 128  # more events in one read, and fewer bytes for each of them


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
        now = time.monotonic()
        self.socket = sock
        self.address = address
        self.association = Association(policy)
        self.limits = limits
        self._intake = intake
        self._host = host
        self._incoming: Incoming | None = None
        self._complete: Incoming | None = None
        self._feeding = False
        self._held = 0
        self._fragments: list[memoryview] = []
        self._calling_aet = ""
        self._last_origin: Origin | None = None
        self._unsent = b""
        self._tail = b""  # what a peer sent that did not wait for our answer
        self._read_size = _FIRST_READ
        self._opened = self._heard = self._closing_since = now
        self._unsent_since: float | None = None
        self._unit_since: float | None = None
        self._units = 0
        self._closed = False
        self._ready: Callable[[], None] = (
            self._shake if isinstance(sock, ssl.SSLSocket) else self._transfer
        )

    @property
    def progress(self) -> Progress:
        """Where this connection is, for its deadline."""
        one = self.association
        times = (self._opened, self._closing_since, self._unit_since, self._heard)
        owed = (not one.between_messages, one.awaits_answer)
        return Progress(one.phase, *times, *owed, self._unsent_since)

    def on_ready(self) -> None:
        """Do what the socket is ready for; never raises for what a peer does."""
        try:
            self._ready()
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
        self._closing_since = time.monotonic()
        self._drop()
        self._guarded(self._flush)

    def close(self) -> None:
        """Hang up at once."""
        if self._closed:
            return
        self._closed = True
        self._host.held -= self._held
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
        reads = 0
        while not self._closed and not self._busy():
            size = self._read()
            if not size:
                self.close()
                return
            self._feed(self._host.buffer[:size])
            reads += 1
            if not self._goes_on(reads):
                return

    def _goes_on(self, reads: int) -> bool:
        """Whether to read again before the others have their turn."""
        # TLS may hold bytes that no selector sees
        if isinstance(self.socket, ssl.SSLSocket) and self.socket.pending():
            return True
        # What the sender's kernel held back until we acknowledged comes at once
        more = reads < self._host.reads and self._read_size > _SMALL_READ
        return more and self.association.phase is Phase.OPEN and self._owes()

    def _busy(self) -> bool:
        """Whether we owe the peer something, and read nothing until it is done."""
        return self.association.awaits_answer or bool(self._unsent)

    def _read(self) -> int:
        size = self.socket.recv_into(self._host.buffer, self._read_size)
        self._host.count(size)
        return size

    def _feed(self, data: memoryview) -> None:
        """Act on bytes of the peer; all of them, unless a data set waits for its answer."""
        self._feeding = True
        work, size = 0, len(data)
        while len(data) and not self._closed:
            happened, consumed = self.association.receive(data)
            work += len(happened)
            for event in happened:
                if type(event) is events.Fragment:
                    self._fragments.append(event.data)
                else:
                    self._act(event)
            self._write()
            if self._complete is not None:
                self._finish(self._complete)
            data = data[consumed:]
            if self.association.awaits_answer:
                self._tail = bytes(data)  # at most one buffer
                self._host.watch(self, read=False, write=False)
                break
        self._feeding = False
        self._note_time(work, size)
        self._after()
        if _QUICKACK is not None and self._owes() and not self._closed:
            # Nagle's algorithm holds back the rest until we acknowledge; an answer does, too
            self.socket.setsockopt(socket.IPPROTO_TCP, _QUICKACK, 1)

    def _owes(self) -> bool:
        """Whether a part of a message, or of the request for an association, is still to come."""
        return not (self.association.between_messages or self.association.awaits_answer)

    def _after(self) -> None:
        """Go on as the phase demands that the association is in now."""
        phase = self.association.phase
        if self._held or phase is Phase.AWAITING:
            self._note_held()
        if phase is Phase.CLOSED or self._host.held > self.limits.held_bytes:
            self.close()
            return
        if phase is Phase.CLOSING:
            self._drop()
        if not self._closed:
            self._flush()

    def _note_held(self) -> None:
        awaiting = self.association.phase is Phase.AWAITING
        held = self.association.held if awaiting else 0
        self._host.held += held - self._held
        self._held = held

    def _note_time(self, work: int, size: int) -> None:
        now = self._heard = time.monotonic()
        association = self.association
        if work > _MUCH and work * _FEW > size:
            self._read_size = _SMALL_READ
        elif self._read_size < len(self._host.buffer):
            self._read_size = min(4 * self._read_size, len(self._host.buffer))
        if association.phase is Phase.OPEN:
            self._closing_since = now
            if not association.inside_pdu:
                self._unit_since = None
            elif self._unit_since is None or association.units != self._units:
                self._unit_since = now
        self._units = association.units

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
                self._unsent_since = time.monotonic()
            self._host.watch(self, read=False, write=True)
        elif was_waiting:
            self._unsent_since = None
            self._host.watch(self, read=True, write=False)

    # What the association tells

    def _act(self, event: events.Event) -> None:
        if isinstance(event, events.StoreEnded):
            self._complete = self._incoming
        elif isinstance(event, events.StoreBegun):
            self._incoming = self._intake.begin(event, self._origin(event.command))
        elif isinstance(event, events.Associated):
            self._calling_aet = event.calling_aet

    def _origin(self, one: Command) -> Origin:
        last, titles = self._last_origin, (one.originator_aet, one.originator_message_id)
        if last is None or (last.originator_aet, last.originator_message_id) != titles:
            last = self._last_origin = Origin(self._calling_aet, self.address, *titles)
        return last

    def _write(self) -> None:
        if not self._fragments:
            return
        if self._incoming is not None:
            self._incoming.write(self._fragments)
            if self._incoming.size > self.limits.largest_object:
                self.abort()
        self._fragments = []

    def _finish(self, incoming: Incoming) -> None:
        self._complete = self._incoming = None
        self._intake.finish(incoming, self._answer)

    def _answer(self, status: int, comment: str) -> None:
        """Send the C-STORE response; the peer may have gone meanwhile."""
        if self._closed or not self.association.awaits_answer:
            return
        self.association.answer(status, comment)
        self._guarded(self._flush if self._feeding else self._go_on)

    def _go_on(self) -> None:
        self._flush()
        self._heard = time.monotonic()
        if not self._unsent:
            self._host.watch(self, read=True, write=False)
        if self._tail and not self._closed:
            tail, self._tail = self._tail, b""
            self._feed(memoryview(tail))

    def _drop(self) -> None:
        if self._incoming is not None:
            self._intake.drop(self._incoming)
        self._incoming, self._fragments = None, []

    def _guarded(self, action: Callable[[], None]) -> None:
        try:
            action()
        except (OSError, ValueError):
            self.close()
