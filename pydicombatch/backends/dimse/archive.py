"""The port `Archive` over one DICOM association."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import cycle

from pydicombatch.backends.dimse import identifier
from pydicombatch.backends.dimse.answer import answer, tally
from pydicombatch.backends.dimse.association import LATER, Association, LastArrival
from pydicombatch.backends.dimse.command import DATA_SET, MEDIUM, NO_DATA_SET, Field, Tag
from pydicombatch.backends.dimse.fragments import Message
from pydicombatch.backends.dimse.limit import EnoughError, Limit
from pydicombatch.backends.dimse.models import abstract_syntax, not_offered
from pydicombatch.backends.dimse.negotiation import Context
from pydicombatch.backends.dimse.opening import open_association
from pydicombatch.backends.dimse.peer import Peer
from pydicombatch.backends.dimse.quiet import silence_libraries
from pydicombatch.backends.dimse.wire import ProtocolError, Wire
from pydicombatch.core.errors import TransientError
from pydicombatch.core.found import Found
from pydicombatch.core.model import PENDING, Answer, Match, Request, RequestType, Tally, Verdict

FIELDS = {
    RequestType.ECHO: Field.ECHO,
    RequestType.FIND: Field.FIND,
    RequestType.MOVE: Field.MOVE,
}
IGNORES_KEYS = 0xFF01  # PS3.4 C.4.1.1.4: pending, but optional keys were not supported
CANCELLED = Answer(0xFE00, Verdict.DONE)  # PS3.4 C.4.1.1.4, as we wished
RESPONSE = 0x8000  # PS3.7 E.1: the bit of the Command Field that makes it a response


@dataclass(frozen=True, slots=True)
class _Running:
    association: Association
    context: Context
    message_id: int


def _never() -> float:
    return float("-inf")


def _always() -> float:
    return float("inf")


class DimseArchive:
    """One association, opened when needed and kept; used by one thread.

    `cancel` and `abort` may be called from any other. After anything odd the association is
    dropped and the next request opens a new one.

    Parameters
    ----------
    peer
        Whom to call.
    model
        Information model: patient, study or psonly.
    type_
        What will mostly be asked for; its context is negotiated from the start, that of any other
        verb when it is first used.
    last_arrival
        Monotonic seconds of the last instance that was pushed to us, if anybody knows: an archive
        that sends instances but no pending responses is not silent.
    """

    def __init__(
        self, peer: Peer, model: str, type_: RequestType, last_arrival: LastArrival = _never
    ) -> None:
        silence_libraries()
        self._peer = peer
        self._model = model
        self._type = type_
        self._last_arrival = last_arrival
        verbs = (type_, RequestType.ECHO)
        self._syntaxes = list(dict.fromkeys(abstract_syntax(model, verb) for verb in verbs))
        self._ids = cycle(range(1, 1 << 16))
        self._association: Association | None = None
        self._wire: Wire | None = None
        self._running: _Running | None = None

    def open(self) -> None:
        """Open the association unless it is open, and make sure it serves what will be asked."""
        self._ready(self._type)

    def echo(self) -> Answer:
        """Send a C-ECHO and return its final response."""
        message, context = self._ask(RequestType.ECHO, next(self._ids), {}, None, _ignore)
        return answer(RequestType.ECHO, message, context.transfer_syntax)

    def find(self, request: Request, on_match: Callable[[Match], None]) -> Answer:
        """Send a C-FIND, hand over every match, return the final response.

        A match that cannot be read does not hide the others: they are handed over, and the answer
        asks for another try and says how many were lost.
        """
        paths = [key.path for key in request.keys]

        def on_found(found: Found) -> None:
            on_match(identifier.match(found.dataset, paths, self._peer.charset))

        return self.query(request, on_found)

    def query(
        self, request: Request, on_found: Callable[[Found], None], most: int | None = None
    ) -> Answer:
        """Send a C-FIND as `find` does, but hand over all of each match, and at most so many.

        Behind the last one that is wanted a C-CANCEL is sent; the answer is a success then, with
        the status 0xFE00 even if the archive had to be left while it went on.
        """
        unreadable = 0
        limit = Limit(most, on_found, self.cancel)

        def pending(message: Message, context: Context) -> None:
            nonlocal unreadable
            try:
                found = identifier.decode(message.data_set, context.transfer_syntax)
            except ProtocolError:
                unreadable += 1
                return
            ignores = message.command.number(Tag.STATUS) == IGNORES_KEYS
            limit.take(Found(message.data_set or b"", context.transfer_syntax, found, ignores))

        def patience() -> float:
            return limit.patience

        try:
            message, context = self._ask(
                RequestType.FIND, next(self._ids), {}, request, pending, patience
            )
        except (EnoughError, TransientError):
            if not limit.is_reached:
                raise
            return CANCELLED
        final = answer(RequestType.FIND, message, context.transfer_syntax)
        if limit.is_reached and final.status == CANCELLED.status:
            return CANCELLED
        return final if not unreadable else _with_holes(final, unreadable)

    def move(
        self,
        request: Request,
        message_id: int,
        destination: str,
        on_progress: Callable[[Tally], None],
    ) -> Answer:
        """Send a C-MOVE to `destination`, hand over the counts of every pending response.

        Raises
        ------
        RequestError
            If the request would retrieve everything the archive holds.
        """
        identifier.refuse_everything(request)

        def pending(message: Message, _context: Context) -> None:
            on_progress(tally(message.command))

        message, context = self._ask(
            RequestType.MOVE, message_id, {Tag.DESTINATION: destination}, request, pending
        )
        return answer(RequestType.MOVE, message, context.transfer_syntax, destination)

    def cancel(self) -> None:
        """Send a C-CANCEL for the operation that runs, if one does; from any thread."""
        running = self._running
        if running is None:
            return
        fields = {
            Tag.FIELD: Field.CANCEL,
            Tag.RESPONDED_TO: running.message_id,
            Tag.DATA_SET_TYPE: NO_DATA_SET,
        }
        with suppress(TransientError):
            running.association.send(running.context, fields, None)

    def abort(self) -> None:
        """Drop the association at once; from any thread. The operation raises TransientError."""
        wire = self._wire
        if wire is not None:
            wire.abort()

    def close(self) -> None:
        """Release the association; never raises."""
        association, self._association, self._wire = self._association, None, None
        if association is not None:
            association.release()

    def _ask(
        self,
        operation: RequestType,
        message_id: int,
        extra: Mapping[Tag, int | str],
        request: Request | None,
        on_pending: Callable[[Message, Context], None],
        patience: Callable[[], float] = _always,
    ) -> tuple[Message, Context]:
        association, context = self._ready(operation)
        data = None
        fields: dict[Tag, int | str] = {
            Tag.SOP_CLASS: abstract_syntax(self._model, operation),
            Tag.FIELD: FIELDS[operation],
            Tag.MESSAGE_ID: message_id,
            Tag.DATA_SET_TYPE: NO_DATA_SET,
            **extra,
        }
        if request is not None:
            data = identifier.encode(request, self._peer.charset, context.transfer_syntax)
            fields |= {Tag.DATA_SET_TYPE: DATA_SET, Tag.PRIORITY: MEDIUM}
        self._running = _Running(association, context, message_id)
        try:
            association.send(context, fields, data)
            while True:
                message = association.receive(self._last_arrival, patience())
                if _status(message, operation, self._running) not in PENDING:
                    return message, context
                on_pending(message, context)
        except BaseException:  # also a caller's own: answers left unread would reach the next one
            self._association, self._wire = None, None
            association.discard()
            raise
        finally:
            self._running = None

    def _ready(self, operation: RequestType) -> tuple[Association, Context]:
        syntax = abstract_syntax(self._model, operation)
        if syntax not in self._syntaxes:
            self.close()
            self._syntaxes.append(syntax)
        association = self._association
        if association is not None and not association.is_idle():
            association.leave()  # the archive has dropped it in between: nothing is lost
            association = None
        if association is None:
            association = open_association(self._peer, self._syntaxes, self._announce)
        self._association = association
        context = association.context(syntax)
        if context is None:
            raise not_offered(self._model, operation, self._peer.aet)
        return association, context

    def _announce(self, wire: Wire) -> None:
        self._wire = wire


def _ignore(_message: Message, _context: Context) -> None:
    """Pass over a pending response that has no meaning."""


def _status(message: Message, operation: RequestType, running: _Running) -> int:
    """Return the status of a response, if it is one to our request.

    Raises
    ------
    TransientError
        If it is not.
    """
    command = message.command
    status = command.number(Tag.STATUS)
    ours = (
        command.number(Tag.FIELD) == FIELDS[operation] | RESPONSE
        and command.number(Tag.RESPONDED_TO) == running.message_id
        and message.context == running.context.number
    )
    if not ours or status is None:
        raise TransientError(
            "The archive sent something else than a response to our request", LATER
        )
    return status


def _with_holes(final: Answer, unreadable: int) -> Answer:
    verdict = Verdict.RETRY if final.verdict is Verdict.DONE else final.verdict
    reason = f"{unreadable} of the archive's matches could not be read"
    if final.reason:
        reason = f"{final.reason}; {reason}"
    remedy = "Ask for fewer elements, or look at the archive's log"
    return replace(final, verdict=verdict, reason=reason, remedy=remedy)
