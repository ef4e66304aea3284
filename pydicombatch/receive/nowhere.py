"""A test by C-GET: what was asked for is taken and thrown away, by the thread that asked."""

import os
import socket
from collections import defaultdict
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

from pydicombatch.core.adoption import Adoption, Returned
from pydicombatch.receive.server.incoming import UNSOLICITED
from pydicombatch.receive.upperlayer import events
from pydicombatch.receive.upperlayer.command import SUCCESS
from pydicombatch.receive.upperlayer.machine import Association
from pydicombatch.receive.upperlayer.negotiation import Policy
from pydicombatch.receive.upperlayer.phase import Phase

READ = 1 << 17  # bytes
SENDING = 30.0  # seconds for an answer to leave


class Nowhere:
    """Port `Adopter` of a receiver that keeps nothing.

    Parameters
    ----------
    expected
        SOP Instance UIDs of the test.
    """

    def __init__(self, expected: Collection[str]) -> None:
        self._expected = expected
        self.asked_for = 0  # instances that have come

    def adopt(self, connection: int, adoption: Adoption) -> "Passing":
        """Serve a connection until something else comes than an instance."""
        return Passing(self, socket.socket(fileno=os.dup(connection)), adoption)

    def take(self, uid: str) -> bool:
        """Tell whether an instance was asked for."""
        asked = uid in self._expected
        self.asked_for += asked
        return asked


class Passing:
    """Port `Adopted`: an association whose instances pass.

    Parameters
    ----------
    nowhere
        Counts.
    connection
        A descriptor of its own.
    adoption
        What must be known of the association.
    """

    def __init__(self, nowhere: Nowhere, connection: socket.socket, adoption: Adoption) -> None:
        connection.settimeout(SENDING)
        self._nowhere = nowhere
        self._socket = connection
        self._association = Association(Policy("", max_pdu=adoption.longest), adoption)
        self._stored: defaultdict[str, list[str]] = defaultdict(list)
        self._refused = 0
        self._broken = ""
        self._ready = Path(os.devnull).open("rb")  # noqa: SIM115 - one can always read from it
        self._ended = self._take(adoption.received) if adoption.received else None

    def fileno(self) -> int:
        """Return a descriptor that can be read when there is something to hear."""
        return (self._socket if self._ended is None else self._ready).fileno()

    def hear(self) -> Returned | None:
        """Take what has come; None: more will."""
        if self._ended is not None:
            return self._ended
        try:
            data = self._socket.recv(READ)
        except OSError:
            return self._returned(None)
        return self._take(data) if data else self._returned(None)

    def _take(self, received: bytes) -> Returned | None:
        data = memoryview(received)
        try:
            while data and self._association.returned is None:
                happened, consumed = self._association.receive(data)
                data = data[consumed:]
                for event in happened:
                    self._act(event)
                if self._association.phase is not Phase.OPEN:
                    return self._returned(None)
                self._socket.sendall(self._association.take_output())
        except OSError:
            return self._returned(None)
        begun = self._association.returned
        return None if begun is None else self._returned(begun + data)

    def send(self, data: bytes) -> None:
        """Send bytes of the one who asked."""
        self._socket.sendall(data)

    def end(self) -> None:
        """End the connection."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Give the descriptors back."""
        self._socket.close()
        self._ready.close()

    def _act(self, event: events.Event) -> None:
        if isinstance(event, events.Aborted):
            self._broken = event.reason
        command = self._association.unanswered
        if not isinstance(event, events.StoreEnded) or command is None:
            return
        if self._nowhere.take(command.sop_instance_uid):
            self._stored[command.sop_class_uid].append(command.sop_instance_uid)
            self._association.answer(SUCCESS)
        else:
            self._refused += 1
            self._association.answer(UNSOLICITED.status, UNSOLICITED.comment)

    def _returned(self, rest: bytes | None) -> Returned:
        stored = {sop_class: tuple(uids) for sop_class, uids in self._stored.items()}
        return Returned(rest, b"", self._broken, stored, self._refused)
