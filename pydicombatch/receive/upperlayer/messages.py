"""DIMSE messages out of presentation data values, and the responses back (PS3.7 6.3, PS3.8 E)."""

from collections.abc import Mapping

from pydicombatch.core.adoption import Adoption
from pydicombatch.receive.upperlayer import command as dimse
from pydicombatch.receive.upperlayer import events, negotiation, pdu
from pydicombatch.receive.upperlayer.pdu import ProtocolError, check

COMMAND, LAST = 1, 2  # message control header, PS3.8 E.2


class Messages:
    """The messages of one association: commands are gathered, data sets handed through.

    Parameters
    ----------
    contexts
        Accepted presentation contexts: id to abstract and transfer syntax.
    peer_max_pdu
        Longest P-DATA-TF that the peer takes, bytes; 0 is no limit.
    longest_command
        Longest command set that is gathered, bytes.
    asked
        The C-GET that these messages are the answer to; None: the peer asks us.
    """

    def __init__(
        self,
        contexts: Mapping[int, tuple[str, str]],
        peer_max_pdu: int,
        longest_command: int,
        asked: Adoption | None = None,
    ) -> None:
        self.awaits_answer = False
        self.foreign: bytes | None = None  # a command that is for the one who asked
        self.output: list[bytes] = []
        self._contexts = contexts
        self._asked = asked
        self._used = frozenset(contexts) | (asked.others if asked else frozenset())
        self._peer_max_pdu = peer_max_pdu
        self._longest_command = longest_command
        self._command = bytearray()
        self._message: dimse.Command | None = None  # its data set is being received
        self._context = 0
        self._control = 0
        self._decode = dimse.Decoder().decode
        self._encode = Encoder(peer_max_pdu).encode

    @property
    def context(self) -> int:
        """The presentation context of the last message."""
        return self._context

    def respond(self, context: int, command: dimse.Command, status: int) -> bytes:
        """Return the response to a command that was read elsewhere."""
        return self._encode(context, command, status)

    @property
    def unanswered(self) -> dimse.Command | None:
        """The command whose data set is being received, or waits for its answer."""
        return self._message

    @property
    def held(self) -> int:
        """Bytes of a command that are kept in memory."""
        return len(self._command)

    @property
    def idle(self) -> bool:
        """Whether no message is half received."""
        return not self._command and self._message is None

    def begin(self, context: int, control: int) -> None:
        """Judge a presentation data value by its header.

        Raises
        ------
        ProtocolError
            If its context was not accepted, or it is not what must come next.
        """
        if context not in self._used:
            raise ProtocolError("A message uses a context that was not accepted")
        if control > COMMAND | LAST:
            raise ProtocolError("A message control header is unknown")
        if bool(control & COMMAND) != (self._message is None):
            raise ProtocolError("Command and data set are out of order")
        if context != self._context and not self.idle:
            raise ProtocolError("One message uses two contexts")
        self._context, self._control = context, control

    def whole(
        self, context: int, control: int, part: memoryview, happened: list[events.Event]
    ) -> None:
        """Take a presentation data value that is all there: `begin`, `take` and `end` in one.

        Raises
        ------
        ProtocolError
            As they do.
        """
        self.begin(context, control)
        message = self._message
        if control & COMMAND or message is None or message.field != dimse.C_STORE_RQ:
            self.take(part, happened)
            self.end(happened)
            return
        happened.append(events.Fragment(part))
        if control & LAST:
            self.awaits_answer = True
            happened.append(events.StoreEnded())

    def take(self, part: memoryview, happened: list[events.Event]) -> None:
        """Take a piece of the value that was begun."""
        if self._control & COMMAND:
            fits = len(self._command) + len(part) <= self._longest_command
            check(fits, "A command is longer than any can be")
            self._command += part
        elif self._message is not None and self._message.field == dimse.C_STORE_RQ:
            happened.append(events.Fragment(part))

    def end(self, happened: list[events.Event]) -> None:
        """Note that the value is complete; the message may be, too."""
        if not self._control & LAST:
            return
        if self._control & COMMAND:
            self._end_command(happened)
        elif self._message is not None and self._message.field == dimse.C_STORE_RQ:
            self.awaits_answer = True
            happened.append(events.StoreEnded())
        elif self._message is not None:
            self._respond(self._message, dimse.UNRECOGNIZED_OPERATION)
            self._message = None

    def answer(self, status: int, comment: str) -> None:
        """Answer the C-STORE whose data set has ended.

        Raises
        ------
        RuntimeError
            If none waits for an answer.
        """
        if not self.awaits_answer or self._message is None:
            raise RuntimeError("No C-STORE waits for an answer")
        self._respond(self._message, status, comment)
        self._message = None
        self.awaits_answer = False

    def _end_command(self, happened: list[events.Event]) -> None:
        body = bytes(self._command)
        self._command.clear()
        if self._asked is not None and self._is_foreign(body, self._asked):
            return
        command = self._decode(body)
        abstract, transfer = self._contexts[self._context]
        check(not command.field & dimse.RESPONSE, "A response came where nothing was asked")
        if command.has_data_set:
            storing = command.field == dimse.C_STORE_RQ
            fits = not storing or abstract != negotiation.VERIFICATION
            check(fits, "A C-STORE came on a verification context")
            self._message = command
            if storing:
                happened.append(events.StoreBegun(command, transfer))
        elif command.field == dimse.C_ECHO_RQ:
            self._respond(command, dimse.SUCCESS)
            happened.append(events.Echoed())
        elif command.field != dimse.C_CANCEL_RQ:  # PS3.7 9.3.2.3: a cancel has no response
            self._respond(command, dimse.UNRECOGNIZED_OPERATION)

    def _is_foreign(self, body: bytes, asked: Adoption) -> bool:
        """Tell instances from what is for the one who asked; the counts on the way tell nothing."""
        here = self._context == asked.context
        if here and dimse.is_pending(body, dimse.C_GET_RSP, asked.message_id):
            return True
        command = self._decode(body)
        if command.field == dimse.C_STORE_RQ:
            known = self._context in self._contexts
            check(known, "it sent an instance on a context that was not agreed upon")
            return False
        self.foreign = body
        return True

    def _respond(self, command: dimse.Command, status: int, comment: str = "") -> None:
        self.output.append(self._encode(self._context, command, status, comment))


class Encoder:
    """Makes responses; two that differ in their ids alone share their other bytes.

    Parameters
    ----------
    max_pdu
        Longest P-DATA-TF that the peer takes, bytes; 0 is no limit.
    """

    def __init__(self, max_pdu: int) -> None:
        self._max_pdu = max_pdu
        self._last: tuple[object, ...] = ()
        self._pieces = (b"", b"")

    def encode(self, context: int, command: dimse.Command, status: int, comment: str = "") -> bytes:
        """Return the PDUs of the response to a command."""
        field, _, _, sop_class, instance, _, _ = command
        shape = (context, field, sop_class, len(instance), status, comment)
        if shape != self._last:
            response = dimse.encode_response(command, status, comment)
            pdus = pdu.encode_command(context, response, self._max_pdu)
            at = dimse.message_id_offset(command) + pdu.HEADER.size + pdu.PDV_HEADER.size
            end = len(pdus) - len(instance) - (len(instance) & 1)
            if len(pdus) == len(response) + at - dimse.message_id_offset(command):  # one PDU
                self._last = shape
                self._pieces = (pdus[:at], pdus[at + 2 : end])
            return pdus
        before, behind = self._pieces
        padding = b"\0" if len(instance) & 1 else b""
        message_id = command.message_id.to_bytes(2, "little")
        return b"".join((before, message_id, behind, instance.encode("latin-1"), padding))
