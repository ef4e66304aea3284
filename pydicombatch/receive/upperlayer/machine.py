"""One association seen from its acceptor (PS3.8 9.2): bytes in, events and bytes out.

One of ours is adopted while the archive stores on it: it begins OPEN, and ends with the first thing
that is no instance, which is returned as it came.
"""

import struct
from collections.abc import Callable
from typing import Final

from pydicombatch.core.adoption import Adoption
from pydicombatch.core.pdus import PduType
from pydicombatch.receive.upperlayer import events, negotiation, pdu
from pydicombatch.receive.upperlayer.command import Command
from pydicombatch.receive.upperlayer.messages import Messages
from pydicombatch.receive.upperlayer.pdu import AbortReason, ProtocolError, check
from pydicombatch.receive.upperlayer.phase import Phase

_LONGEST_SHORT_PDU = 4  # A-RELEASE-RQ, A-RELEASE-RP, A-ABORT, A-ASSOCIATE-RJ
_START = struct.Struct(">BxIIBB")  # the header of a P-DATA-TF and of its first value
_DATA = int(PduType.DATA)
_PDV_HEADER_SIZE = pdu.PDV_HEADER.size
_SHORTEST_PDV = 2  # context id and message control header
_LENGTH_FIELD = 4  # bytes, of a presentation data value

_UNEXPECTED: Final = "The peer sent a protocol data unit out of order"
_Step = Callable[[memoryview, int, list[events.Event]], int]


class Association:
    """The acceptor's side of one association.

    `receive` never raises, whatever the bytes; a breach of the protocol becomes an A-ABORT in the
    output and an `Aborted` event. Memory is bounded by the limits of the policy.

    Parameters
    ----------
    policy
        What is offered.
    adopted
        What was negotiated when we asked for the association; None: a peer asks for it.
    """

    def __init__(self, policy: negotiation.Policy, adopted: Adoption | None = None) -> None:
        self.phase = Phase.AWAITING if adopted is None else Phase.OPEN
        self.returned: bytes | None = None  # of an adopted one: where something else began
        self._adopted = adopted is not None
        self._policy = policy
        about = ({}, 0) if adopted is None else (adopted.storage, adopted.maximum)
        self._messages = Messages(*about, policy.longest_command, adopted)
        self._next: _Step = self._header
        self._held = bytearray()  # the start of a header, or of a unit that carries no data
        self._kind = self._body_length = 0
        self._pdu_left = self._pdv_left = 0
        self._over = False  # whatever still comes is thrown away
        self.units = 0  # protocol data units begun
        self._output: list[bytes] = self._messages.output

    @property
    def awaits_answer(self) -> bool:
        """Whether a C-STORE is complete and nothing is read until `answer`."""
        return self._messages.awaits_answer

    @property
    def context(self) -> int:
        """The presentation context of the last message."""
        return self._messages.context

    @property
    def unanswered(self) -> Command | None:
        """The command whose data set comes, or waits for its answer."""
        return self._messages.unanswered

    def respond(self, context: int, command: Command, status: int) -> bytes:
        """Return the response to a command of a message that was not given to `receive`."""
        return self._messages.respond(context, command, status)

    @property
    def held(self) -> int:
        """Bytes of the peer's that are kept in memory."""
        return len(self._held) + self._messages.held

    @property
    def inside_pdu(self) -> bool:
        """Whether a protocol data unit has begun and is not complete."""
        return bool(self._held or self._pdu_left or self._pdv_left or self._body_length)

    @property
    def between_messages(self) -> bool:
        """Whether the peer owes us nothing: no unit, no message is half received."""
        return self.phase is Phase.OPEN and self._messages.idle and not self.inside_pdu

    def take_output(self) -> bytes:
        """Return what must be sent to the peer, and forget it."""
        if not self._output:
            return b""
        output = b"".join(self._output)
        self._output.clear()
        return output

    def receive(self, data: memoryview) -> tuple[list[events.Event], int]:
        """Take bytes of the peer.

        Parameters
        ----------
        data
            What the peer sent, in any cut. `Fragment` events are views into it.

        Returns
        -------
        The events, and how many bytes were consumed: all, unless a C-STORE waits for `answer`, or
        something is `returned`.
        """
        happened: list[events.Event] = []
        position = 0
        size = len(data)
        try:
            while position < size and not self._messages.awaits_answer:
                if self._over:
                    return happened, size
                position = self._next(data, position, happened)
                if self._messages.foreign is not None:
                    about = self._messages.context, self._messages.foreign
                    self.returned = pdu.encode_cut(*about, self._pdu_left)
                if self.returned is not None:
                    break
        except ProtocolError as error:
            self._output.append(pdu.encode_abort(2, error.reason))
            self._close(Phase.CLOSING)
            happened.append(events.Aborted(by_peer=False, reason=str(error)))
            return happened, len(data)
        return happened, position

    def send(self, data: bytes) -> None:
        """Put whole units of somebody else's into the output."""
        self._output.append(data)

    def answer(self, status: int, comment: str = "") -> None:
        """Answer the C-STORE whose data set has ended.

        Raises
        ------
        RuntimeError
            If none waits for an answer.
        """
        self._messages.answer(status, comment)

    def abort(self) -> None:
        """End the association from our side (A-ABORT by the service user, or A-ASSOCIATE-RJ)."""
        if self.phase is Phase.OPEN:
            self._output.append(pdu.encode_abort(0, 0))
        elif self.phase is Phase.AWAITING:
            self._output.append(pdu.encode_reject(*negotiation.LOCAL_LIMIT_EXCEEDED))
        self._close(Phase.CLOSING)

    # Reading: each step takes (data, position), consumes something, names the next step.

    def _header(self, data: memoryview, position: int, happened: list[events.Event]) -> int:
        if not self._held and data[position] == _DATA and len(data) - position >= _START.size:
            return self._data(data, position, happened)
        if not self._held and len(data) - position >= pdu.HEADER.size:
            self._begin_pdu(*pdu.HEADER.unpack_from(data, position))
            return position + pdu.HEADER.size
        position = self._hold(data, position, pdu.HEADER.size)
        if len(self._held) == pdu.HEADER.size:
            kind, length = pdu.HEADER.unpack(self._held)
            self._held.clear()
            self._begin_pdu(kind, length)
        return position

    def _data(self, data: memoryview, position: int, happened: list[events.Event]) -> int:
        """Take what nearly all units are: a P-DATA-TF, the header of its first value with it."""
        _, length, value_length, context, control = _START.unpack_from(data, position)
        self._begin_pdu(_DATA, length)
        start = position + _START.size
        end = position + pdu.HEADER.size + int(length)
        if value_length + _LENGTH_FIELD != length or end > len(data):
            self._begin_pdv(value_length, context, control)
            if not self._pdv_left:
                self._end_pdv(happened)
            return start
        self._pdu_left = 0
        self._next = self._header
        self._messages.whole(context, control, data[start:end], happened)
        return end

    def _begin_pdu(self, kind: int, length: int) -> None:
        """Judge a unit by its header alone, before memory is spent on it."""
        self.units += 1
        if kind == _DATA:
            if self.phase is not Phase.OPEN:
                raise ProtocolError(_UNEXPECTED, AbortReason.UNEXPECTED_PDU)
            if not _PDV_HEADER_SIZE <= length <= self._policy.max_pdu:
                raise ProtocolError("A P-DATA-TF is empty or longer than we said we take")
            self._pdu_left = length
            self._next = self._pdv_header
            return
        if self._adopted:
            self.returned = pdu.HEADER.pack(kind, length)
            return
        known = PduType.ASSOCIATE_RQ <= kind <= PduType.ABORT
        check(known, "A protocol data unit has no known type", AbortReason.UNRECOGNIZED_PDU)
        allowed = PduType.ASSOCIATE_RQ if self.phase is Phase.AWAITING else PduType.RELEASE_RQ
        check(kind in {allowed, PduType.ABORT}, _UNEXPECTED, AbortReason.UNEXPECTED_PDU)
        is_request = kind == PduType.ASSOCIATE_RQ
        longest = self._policy.longest_request if is_request else _LONGEST_SHORT_PDU
        fits = _LONGEST_SHORT_PDU <= length <= longest
        check(fits, "A protocol data unit is longer or shorter than it may be")
        self._kind, self._body_length = kind, length
        self._next = self._body

    def _body(self, data: memoryview, position: int, happened: list[events.Event]) -> int:
        position = self._hold(data, position, self._body_length)
        if len(self._held) == self._body_length:
            body = bytes(self._held)
            self._held.clear()
            self._body_length = 0
            self._next = self._header
            self._end_body(body, happened)
        return position

    def _end_body(self, body: bytes, happened: list[events.Event]) -> None:
        if self._kind == PduType.ASSOCIATE_RQ:
            self._negotiate(body, happened)
        elif self._kind == PduType.RELEASE_RQ:
            self._output.append(pdu.RELEASE_RP)
            self._close(Phase.CLOSING)
            happened.append(events.Released())
        else:
            self._close(Phase.CLOSED)
            happened.append(events.Aborted(by_peer=True, reason="The peer aborted"))

    def _pdv_header(self, data: memoryview, position: int, happened: list[events.Event]) -> int:
        size = pdu.PDV_HEADER.size
        if not self._held and len(data) - position >= size:
            self._begin_pdv(*pdu.PDV_HEADER.unpack_from(data, position))
            position += size
        else:
            position = self._hold(data, position, size)
            if len(self._held) < size:
                return position
            length, context, control = pdu.PDV_HEADER.unpack(self._held)
            self._held.clear()
            self._begin_pdv(length, context, control)
        if not self._pdv_left:
            self._end_pdv(happened)
        return position

    def _begin_pdv(self, length: int, context: int, control: int) -> None:
        left = self._pdu_left - _PDV_HEADER_SIZE + _SHORTEST_PDV
        if not _SHORTEST_PDV <= length <= left:
            raise ProtocolError("A presentation data value is longer than its unit")
        self._messages.begin(context, control)
        self._pdv_left = length - _SHORTEST_PDV
        self._pdu_left = left - length
        if 0 < self._pdu_left < _PDV_HEADER_SIZE:
            raise ProtocolError("A P-DATA-TF ends with a piece of a header")
        self._next = self._pdv

    def _pdv(self, data: memoryview, position: int, happened: list[events.Event]) -> int:
        end = min(len(data), position + self._pdv_left)
        self._messages.take(data[position:end], happened)
        self._pdv_left -= end - position
        if not self._pdv_left:
            self._end_pdv(happened)
        return end

    def _end_pdv(self, happened: list[events.Event]) -> None:
        self._next = self._pdv_header if self._pdu_left else self._header
        self._messages.end(happened)

    # Deciding

    def _negotiate(self, body: bytes, happened: list[events.Event]) -> None:
        request = pdu.decode_associate_request(body)
        refused = negotiation.rejection(request, self._policy)
        if refused is not None:
            self._output.append(pdu.encode_reject(*refused))
            self._close(Phase.CLOSING)
            happened.append(events.Rejected(*refused))
            return
        accept, contexts = negotiation.acceptance(request, body[4:20], body[20:36], self._policy)
        self._output.append(pdu.encode_associate_accept(accept))
        self._messages = Messages(contexts, request.max_pdu, self._policy.longest_command)
        self._messages.output = self._output
        self.phase = Phase.OPEN
        happened.append(events.Associated(request.calling_aet, len(contexts)))

    def _close(self, phase: Phase) -> None:
        self.phase = phase
        self._over = True
        self._messages = Messages({}, 0, 0)
        self._held.clear()
        self._pdu_left = self._pdv_left = self._body_length = 0

    def _hold(self, data: memoryview, position: int, size: int) -> int:
        """Copy what is needed to complete `size` bytes; return the new position."""
        end = min(len(data), position + size - len(self._held))
        self._held += data[position:end]
        return end
