"""A storage SCP that keeps nothing: it sees who comes, and takes only what was asked for a test."""

import socket
import ssl
import threading
import time
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass, replace

from pydicombatch.core.threads import begin
from pydicombatch.receive.server.incoming import UNSOLICITED
from pydicombatch.receive.server.listen import listen
from pydicombatch.receive.server.settings import Settings
from pydicombatch.receive.server.tls import server_context
from pydicombatch.receive.upperlayer import events
from pydicombatch.receive.upperlayer.machine import Association
from pydicombatch.receive.upperlayer.negotiation import Policy
from pydicombatch.receive.upperlayer.phase import Phase

READ = 1 << 17  # bytes
SILENCE = 30.0  # seconds
MOST = 32  # connections at a time
GLANCE = 0.2  # seconds between two looks whether to end
CALLED, CALLING = slice(10, 26), slice(26, 42)  # of an A-ASSOCIATE-RQ, PS3.8 9.3.2


@dataclass(frozen=True, slots=True)
class Caller:
    """Somebody who connected to us."""

    address: str
    called_aet: str = ""  # how it called us; "" if it spoke no DICOM
    calling_aet: str = ""
    accepted: bool = False
    asked_for: int = 0  # instances that the test had asked for
    others: int = 0  # instances that it had not, and that were refused


class Probe:
    """Listens until `close`; instances of the test are taken and thrown away, others refused.

    Parameters
    ----------
    settings
        Port, title and TLS of our storage SCP; whoever comes is looked at.
    expected
        SOP Instance UIDs of the test.

    Raises
    ------
    ConfigError
        If the port cannot be bound.
    """

    def __init__(self, settings: Settings, expected: Collection[str]) -> None:
        self._settings = settings
        self._expected = expected
        self._tls = server_context(settings.tls) if settings.tls else None
        self._callers: dict[int, Caller] = {}
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._last = float("-inf")
        self._listener = listen(settings.port, settings.bind)
        self._listener.settimeout(GLANCE)
        self._thread = threading.Thread(target=self._listen, name="probe", daemon=True)
        begin(self._thread)

    def callers(self) -> tuple[Caller, ...]:
        """Return who came so far, in order."""
        with self._lock:
            return tuple(self._callers.values())

    def last_arrival(self) -> float:
        """Return when something came last, in monotonic seconds."""
        return self._last

    def close(self) -> None:
        """Stop listening."""
        self._closing.set()
        self._thread.join()
        self._listener.close()

    def _listen(self) -> None:
        number = 0
        threads: list[threading.Thread] = []
        while not self._closing.is_set():
            threads = [one for one in threads if one.is_alive()]
            try:
                sock, address = self._listener.accept()
            except OSError:  # a time-out among them
                continue
            if len(threads) >= MOST:
                sock.close()
                continue
            number += 1
            with self._lock:
                self._callers[number] = Caller(str(address[0]).removeprefix("::ffff:"))
            serve = threading.Thread(target=self._serve, args=(number, sock), daemon=True)
            begin(serve)
            threads.append(serve)
        for one in threads:
            one.join(2 * GLANCE)

    def _serve(self, number: int, sock: socket.socket) -> None:
        sock.settimeout(SILENCE)
        with suppress(OSError, ValueError):
            if self._tls is not None:
                sock = self._tls.wrap_socket(sock, server_side=True)
            self._converse(number, sock)
        with suppress(OSError):
            sock.close()

    def _converse(self, number: int, sock: socket.socket | ssl.SSLSocket) -> None:
        association = Association(Policy(self._settings.aet, max_pdu=self._settings.max_pdu))
        asked = False
        while not self._closing.is_set() and association.phase is not Phase.CLOSED:
            data = memoryview(sock.recv(READ))
            if not data:
                return
            self._last = time.monotonic()
            self._note_titles(number, data)
            while data:
                happened, consumed = association.receive(data)
                data = data[consumed:]
                for event in happened:
                    asked = self._act(number, event, association, asked=asked)
                sock.sendall(association.take_output())

    def _note_titles(self, number: int, data: memoryview) -> None:
        with self._lock:
            caller = self._callers[number]
            if not caller.called_aet and len(data) >= CALLING.stop and data[0] == 1:
                called, calling = (bytes(data[one]).decode("ascii", "replace").strip(" \0")
                                   for one in (CALLED, CALLING))  # fmt: skip
                self._callers[number] = replace(caller, called_aet=called, calling_aet=calling)

    def _act(
        self, number: int, event: events.Event, association: Association, *, asked: bool
    ) -> bool:
        """Follow what happens; return whether the instance under way was asked for."""
        if isinstance(event, events.StoreBegun):
            return event.command.sop_instance_uid in self._expected
        if isinstance(event, events.StoreEnded):
            if asked:
                association.answer(0x0000)
            else:
                association.answer(UNSOLICITED.status, UNSOLICITED.comment)
        with self._lock:
            caller = self._callers[number]
            if isinstance(event, events.Associated):
                self._callers[number] = replace(caller, accepted=True)
            elif isinstance(event, events.StoreEnded) and asked:
                self._callers[number] = replace(caller, asked_for=caller.asked_for + 1)
            elif isinstance(event, events.StoreEnded):
                self._callers[number] = replace(caller, others=caller.others + 1)
        return asked
