"""The C-STORE sub-operations of a C-GET: what the archive sends on our own association."""

from pydicombatch.backends.dimse.association import Association
from pydicombatch.backends.dimse.command import NO_DATA_SET, Command, Field, Tag
from pydicombatch.backends.dimse.fragments import Message
from pydicombatch.backends.dimse.negotiation import Context
from pydicombatch.backends.dimse.wire import ProtocolError
from pydicombatch.core.model import Origin
from pydicombatch.core.ports import Deposit, Sink

RESPONSE = 0x8000  # PS3.7 E.1: the bit of the Command Field that makes it a response
LONGEST_COMMENT = 64  # characters, VR LO


class Store:
    """Takes the instances of one C-GET.

    Parameters
    ----------
    association
        Where they come from.
    sink
        Where they go.
    origin
        What they are told apart by: the archive, and the C-GET they belong to.
    """

    def __init__(self, association: Association, sink: Sink, origin: Origin) -> None:
        self._association = association
        self._sink = sink
        self._origin = origin

    def divert(self, context: int, command: Command) -> Deposit | None:
        """Make place for the data set that follows a command, if it is a C-STORE.

        Raises
        ------
        ProtocolError
            If it comes on a context that is for something else.
        """
        if command.number(Tag.FIELD) != Field.STORE:
            return None
        if context not in self._association.agreed.storage:
            raise ProtocolError("it sent an instance on a context that was not agreed upon")
        _, syntax = self._association.agreed.storage[context]
        uids = command.text(Tag.SOP_CLASS), command.text(Tag.SOP_INSTANCE)
        return self._sink.begin(*uids, syntax, self._origin)

    def answer(self, message: Message) -> None:
        """Answer a C-STORE whose data set is complete (PS3.7 9.3.1.2).

        Raises
        ------
        TransientError
            If the connection is gone.
        """
        command, deposit = message.command, message.deposit
        if deposit is None:
            return
        status, comment = deposit.finish()
        fields: dict[Tag, int | str] = {
            Tag.SOP_CLASS: command.text(Tag.SOP_CLASS),
            Tag.FIELD: Field.STORE | RESPONSE,
            Tag.RESPONDED_TO: command.number(Tag.MESSAGE_ID) or 0,
            Tag.DATA_SET_TYPE: NO_DATA_SET,
            Tag.STATUS: status,
            Tag.SOP_INSTANCE: command.text(Tag.SOP_INSTANCE),
        }
        if comment:
            fields[Tag.COMMENT] = comment[:LONGEST_COMMENT]
        context = Context(message.context, "")
        self._association.send(context, fields, None)
