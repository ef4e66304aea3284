"""An association that the engine has opened, served like those of our peers while a C-GET runs.

Nothing is read beyond the first message that is no instance: it and what has come behind it go back
to the one who asked, together with the connection.
"""

import socket
from collections import defaultdict
from collections.abc import Sequence
from typing import Protocol

from pydicombatch.core.adoption import Adoption, Returned
from pydicombatch.receive.server.connection import Connection
from pydicombatch.receive.server.delivery import Delivery
from pydicombatch.receive.server.host import Host
from pydicombatch.receive.server.incoming import TOO_LARGE
from pydicombatch.receive.server.intake import Intake
from pydicombatch.receive.server.outlet import Kept, Kind
from pydicombatch.receive.server.settings import Limits
from pydicombatch.receive.upperlayer.command import SUCCESS
from pydicombatch.receive.upperlayer.machine import Association
from pydicombatch.receive.upperlayer.negotiation import Policy
from pydicombatch.receive.upperlayer.phase import Phase

_HEARTBEAT = 1.0  # seconds between two signs of life


class Owner(Protocol):
    """The one whose association it is."""

    def open(self, connection: "AdoptedConnection") -> None:
        """Tell the connection from now on what is wanted of it."""

    def alive(self) -> None:
        """Say that instances come, or are being kept."""

    def give_back(self, returned: Returned) -> None:
        """Say that the association is served no more."""


class AdoptedConnection(Connection):
    """A connection that is given back in the end, whatever ends it; its owner sets the deadlines.

    Parameters
    ----------
    sock
        Connected, not blocking; another process has it, too.
    adoption
        What must be known of the association.
    limits
        What a peer may cost.
    intake
        Where data sets go.
    host
        The loop.
    owner
        Who is told.
    """

    def __init__(
        self,
        sock: socket.socket,
        adoption: Adoption,
        limits: Limits,
        intake: Intake,
        host: Host,
        owner: Owner,
    ) -> None:
        policy = Policy("", max_pdu=adoption.longest)
        address = adoption.origin.address
        super().__init__(sock, address, policy, limits, intake, host)
        self.association = Association(policy, adoption)
        self._delivery = Delivery(intake, address, adoption)
        self._asked = adoption.context, adoption.message_id
        self._knows_some = bool(adoption.known)
        self._owner = owner
        self._stored: defaultdict[str, list[str]] = defaultdict(list)
        self._refused = 0
        self._rest: bytes | None = None
        self._told = self._times.heard
        owner.open(self)

    @property
    def is_guest(self) -> bool:
        """Whether the peer has connected to us: it has not."""
        return False

    def begin(self, received: bytes) -> None:
        """Go on with what was read before."""
        if received:
            self._run(lambda: self._feed(memoryview(received)))

    def tick(self, now: float, *, held_back: bool) -> None:
        """Say now and then that the archive is not silent, or cannot be heard for our sake.

        Parameters
        ----------
        now
            In monotonic seconds.
        held_back
            Whether nobody is read for a while, as too much was.
        """
        owed = self.association.awaits_answer or self._host.is_keeping(self)
        ours_to_act = held_back or owed
        if now >= self._told + _HEARTBEAT and (ours_to_act or self._times.heard > self._told):
            self._told = now
            self._owner.alive()

    def send(self, data: bytes) -> None:
        """Send what the owner wants sent, behind what is being sent."""
        if not self._closed:
            self.association.send(data)
            self._guarded(self._flush)

    def abort(self) -> None:
        """Give the association back as one that is lost; what to say to the peer is not ours."""
        self.close()

    def close(self) -> None:
        """Give the connection back: as it is behind a message of ours, else as one that is lost."""
        if self._closed:
            return
        self._closed = True
        unsent = self._unsent + self.association.take_output() if self._rest is not None else b""
        self._drop()
        self._host.leave(self)
        self.socket.close()
        stored = {sop_class: tuple(uids) for sop_class, uids in self._stored.items()}
        broken = self._delivery.broken
        self._owner.give_back(Returned(self._rest, unsent, broken, stored, self._refused))

    def _after(self) -> None:
        if self.association.phase is not Phase.OPEN:
            self.close()
        super()._after()

    def _pauses(self, data: memoryview) -> bool:
        if self.association.returned is None:
            return super()._pauses(data)
        self._rest = self.association.returned + data
        self.close()
        return True

    def _too_large(self) -> None:
        self._delivery.refuse(TOO_LARGE)

    def _offer(self) -> None:
        if not self._knows_some:  # else each has to be looked at
            super()._offer()

    def _served(self, kind: Kind, kept: Sequence[Kept], unsent: bytes) -> None:
        stored = self._stored[kind.identifiers.sop_class_uid]
        stored.extend(uid for _, uid, _ in kept)
        super()._served(kind, kept, unsent)

    def _not_kept(self, kind: Kind, answer: bytes) -> None:
        self._refused += 1
        super()._not_kept(kind, answer)

    def _answer(self, status: int, comment: str) -> None:
        command = self.association.unanswered
        if command is not None and self.association.awaits_answer and not self._closed:
            if status == SUCCESS:
                self._stored[command.sop_class_uid].append(command.sop_instance_uid)
            else:
                self._refused += 1
        super()._answer(status, comment)
