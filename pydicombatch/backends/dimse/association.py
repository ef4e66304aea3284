"""One association as requestor (PS3.8 9.2), without a thread of its own.

pynetdicom's requestor has a reactor thread that can take a response away from its caller, and a
second one that polls. Here the thread that asks is the thread that reads: there is no reactor
that would have to be kept parked, a response has one reader, and nothing is left running.
"""

import math
import time
from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from dataclasses import replace

from pydicombatch.backends.dimse.command import Tag, encode
from pydicombatch.backends.dimse.fragments import Assembler, Message, split
from pydicombatch.backends.dimse.loan import GoneError, Loan
from pydicombatch.backends.dimse.negotiation import Agreement, Context
from pydicombatch.backends.dimse.peer import Peer
from pydicombatch.backends.dimse.wire import ProtocolError, Wire, pdu
from pydicombatch.core.adoption import Adoption, Returned
from pydicombatch.core.errors import TransientError
from pydicombatch.core.pdus import PduType
from pydicombatch.core.ports import Adopter

LATER = "The request is tried again; if it goes on, look at the archive's log"
COURTESY = 0.2  # seconds to read what has already arrived
MANY, REST = 16, 0.02  # sub-operations that remain, and seconds
GOODBYE = 2.0  # seconds for the answer to a release

LastArrival = Callable[[], float]  # monotonic seconds


class Association:
    """An open association; `send` from any thread, all else from its owner."""

    def __init__(self, wire: Wire, peer: Peer, agreed: Agreement) -> None:
        self._wire = wire
        self._peer = peer
        self._agreed = agreed
        self._assembler = Assembler()
        self._arrived: list[Message] = []

    @property
    def agreed(self) -> Agreement:
        """What was negotiated."""
        return self._agreed

    def context(self, abstract_syntax: str) -> Context | None:
        """Return the accepted context, or None when the archive refused it."""
        return self._agreed.contexts.get(abstract_syntax)

    def is_idle(self) -> bool:
        """Whether a request may be sent: the archive has neither left nor said anything unasked."""
        return not self._arrived and not self._wire.speaks()

    def send(self, context: Context, fields: Mapping[Tag, int | str], data: bytes | None) -> None:
        """Send one DIMSE message.

        Raises
        ------
        TransientError
            If the connection is gone.
        """
        message = split(context.number, encode(fields), data, self._agreed.maximum)
        try:
            self._wire.send(message)
        except OSError as exc:
            raise self._lost() from exc

    def receive(
        self,
        last_arrival: LastArrival,
        deadline: float = math.inf,
        longest: float = math.inf,
    ) -> Message:
        """Wait for the next message, as long as something comes: from the archive, or pushed.

        Parameters
        ----------
        last_arrival
            When an instance was pushed to us last, in monotonic seconds.
        deadline
            When the request must have ended whatever comes, in monotonic seconds.
        longest
            A silence that is tolerated at most, whatever the settings say, in seconds.

        Raises
        ------
        TransientError
            If the archive is silent for too long, leaves, or sends what it must not send.
        """
        self._wait(self._take_unit, lambda: bool(self._arrived), last_arrival, deadline, longest)
        return self._arrived.pop(0)

    def rest(self, remaining: int | None) -> None:
        """Let pending responses gather a moment while many sub-operations remain.

        An archive may send one for each instance, and every one of them would wake this thread.
        """
        if (remaining or 0) >= MANY and not self._arrived and not self._wire.speaks():
            time.sleep(REST)

    def lend(
        self, adopter: Adopter, adoption: Adoption, last_arrival: LastArrival, deadline: float
    ) -> Returned:
        """Have the receiver take instances until the archive sends something else.

        Parameters
        ----------
        adopter
            The receiver.
        adoption
            What it must know.
        last_arrival, deadline
            As `receive` has them.

        Raises
        ------
        TransientError
            If the archive is silent for too long, leaves, or sends what it must not send; or if
            the receiver ends.
        """
        if self._arrived:  # first what came with the last answer
            return Returned(b"")
        adoption = replace(adoption, received=self._wire.take_rest())
        found: list[Returned] = []

        def hear(seconds: float) -> None:
            returned = loan.hear(seconds)
            found.extend([] if returned is None else [returned])

        try:
            with closing(Loan(self._wire, adopter, adoption)) as loan:
                self._wait(hear, lambda: bool(found), last_arrival, deadline, math.inf)
        except GoneError as exc:
            raise self._orphaned() from exc
        if found[0].broken:
            raise _broken(found[0].broken)
        if found[0].rest is None:
            raise self._lost()
        return found[0]

    def release(self) -> None:
        """Say goodbye (PS3.8 7.2) and close; never raises, waits two seconds at most."""
        deadline = time.monotonic() + GOODBYE
        with suppress(OSError, ProtocolError):
            self._wire.send(pdu(PduType.RELEASE_RQ))
            while self._wire.receive(deadline - time.monotonic())[0] is PduType.DATA:
                pass  # what was under way may be ignored
        self._wire.close()

    def leave(self) -> None:
        """Give back an association that the archive has ended, politely if it asked politely."""
        with suppress(OSError, ProtocolError):
            if self._wire.receive(COURTESY)[0] is PduType.RELEASE_RQ:
                self._wire.send(pdu(PduType.RELEASE_RP))
                self._wire.close()
                return
        self.discard()

    def discard(self) -> None:
        """Abort and close; what was coming in is forgotten."""
        self._wire.abort()
        self._wire.close()

    def _wait(
        self,
        listen: Callable[[float], None],
        is_done: Callable[[], bool],
        last_arrival: LastArrival,
        deadline: float,
        longest: float,
    ) -> None:
        """Listen until it is done, as long as something comes."""
        longest = min(longest, self._peer.timeouts.response)
        spoke = time.monotonic()
        while not is_done():
            now = time.monotonic()
            if now >= deadline:
                raise TransientError(
                    f"The archive did not end the request within {self._peer.timeouts.total:g} s",
                    "Ask for less at once, or raise pacs.timeouts.total",
                )
            quiet = now - max(spoke, last_arrival())
            if self._listens(listen, min(longest - quiet, deadline - now)):
                spoke = time.monotonic()

    def _take_unit(self, seconds: float) -> None:
        """Take one PDU in."""
        kind, body = self._wire.receive(seconds)
        if kind is not PduType.DATA:
            raise self._left(kind)
        self._arrived += self._assembler.take(body)

    def _listens(self, listen: Callable[[float], None], seconds: float) -> bool:
        """Listen once; False when there was nothing in so many seconds."""
        try:
            listen(seconds)
        except TimeoutError as exc:
            if seconds > 0:
                return False  # look once more whether something was pushed meanwhile
            raise TransientError(
                f"The archive was silent for {self._peer.timeouts.response:g} s", LATER
            ) from exc
        except OSError as exc:
            raise self._lost() from exc
        except ProtocolError as exc:
            raise _broken(str(exc)) from exc
        return True

    def _orphaned(self) -> TransientError:
        if self._wire.aborted:
            return self._lost()
        return TransientError(
            "The receiver ended while instances came", "The request is tried again"
        )

    def _lost(self) -> TransientError:
        if self._wire.aborted:
            return TransientError("We aborted the association", "The request is tried again")
        return TransientError("The archive closed the connection", LATER)

    def _left(self, kind: PduType) -> TransientError:
        if kind is PduType.ABORT:
            return TransientError("The archive aborted the association", LATER)
        if kind is PduType.RELEASE_RQ:
            with suppress(OSError):
                self._wire.send(pdu(PduType.RELEASE_RP))
            return TransientError("The archive released the association too early", LATER)
        return _broken("a PDU nobody asked for")


def _broken(how: str) -> TransientError:
    return TransientError(f"The archive broke the protocol: {how[:1].lower()}{how[1:]}", LATER)
