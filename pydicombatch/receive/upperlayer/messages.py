"""DIMSE messages out of presentation data values, and the responses back (PS3.7 6.3, PS3.8 E)."""

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
    """

    def __init__(
        self, contexts: dict[int, tuple[str, str]], peer_max_pdu: int, longest_command: int
    ) -> None:
        self.awaits_answer = False
        self.output: list[bytes] = []
        self._contexts = contexts
        self._peer_max_pdu = peer_max_pdu
        self._longest_command = longest_command
        self._command = bytearray()
        self._message: dimse.Command | None = None  # its data set is being received
        self._context = 0
        self._control = 0

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
        if context not in self._contexts:
            raise ProtocolError("A message uses a context that was not accepted")
        if control > COMMAND | LAST:
            raise ProtocolError("A message control header is unknown")
        if bool(control & COMMAND) != (self._message is None):
            raise ProtocolError("Command and data set are out of order")
        if context != self._context and not self.idle:
            raise ProtocolError("One message uses two contexts")
        self._context, self._control = context, control

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
        command = dimse.decode(bytes(self._command))
        self._command.clear()
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

    def _respond(self, command: dimse.Command, status: int, comment: str = "") -> None:
        response = dimse.encode_response(command, status, comment)
        self.output.append(pdu.encode_command(self._context, response, self._peer_max_pdu))
