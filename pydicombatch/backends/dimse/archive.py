"""The port `Archive` over one DICOM association."""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import cycle

from pydicombatch.backends.dimse import identifier
from pydicombatch.backends.dimse.answer import answer, tally
from pydicombatch.backends.dimse.association import LATER, Association, LastArrival
from pydicombatch.backends.dimse.command import DATA_SET, MEDIUM, NO_DATA_SET, Field, Tag
from pydicombatch.backends.dimse.contexts import MOST, Proposal
from pydicombatch.backends.dimse.fragments import Message
from pydicombatch.backends.dimse.kept import Kept, SubOperations
from pydicombatch.backends.dimse.limit import EnoughError, Limit
from pydicombatch.backends.dimse.models import abstract_syntax, not_offered
from pydicombatch.backends.dimse.negotiation import Agreement, Context
from pydicombatch.backends.dimse.opening import open_association
from pydicombatch.backends.dimse.peer import Peer
from pydicombatch.backends.dimse.quiet import silence_libraries
from pydicombatch.backends.dimse.responses import (
    FIELDS,
    always,
    ignore,
    never,
    status_of,
    with_holes,
)
from pydicombatch.backends.dimse.retrieval import Retrieval
from pydicombatch.backends.dimse.wire import Wire
from pydicombatch.core.errors import TransientError
from pydicombatch.core.found import Found
from pydicombatch.core.model import (
    PENDING,
    Answer,
    Match,
    Origin,
    Request,
    RequestType,
    Tally,
    Verdict,
)
from pydicombatch.core.ports import Adopter

CANCELLED = Answer(0xFE00, Verdict.DONE)  # PS3.4 C.4.1.1.4, as we wished


@dataclass(frozen=True, slots=True)
class _Running:
    association: Association
    context: Context
    message_id: int


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
    also
        What will be asked for now and then: negotiated together with `type_`, but not missed.
    """

    def __init__(
        self,
        peer: Peer,
        model: str,
        type_: RequestType,
        last_arrival: LastArrival = never,
        also: Sequence[RequestType] = (),
    ) -> None:
        silence_libraries()
        self._peer = peer
        self._model = model
        self._type = type_
        self._last_arrival = last_arrival
        verbs = (type_, RequestType.ECHO, *also)
        self._syntaxes = list(dict.fromkeys(abstract_syntax(model, verb) for verb in verbs))
        self._ids = cycle(range(1, 1 << 16))
        self._association: Association | None = None
        self._wire: Wire | None = None
        self._running: _Running | None = None
        self._relational = False
        self._storage: tuple[Proposal, ...] = ()
        self._taking: SubOperations | None = None  # the instances of a C-GET
        self._retrieval = Retrieval(self)
        self._is_cut = False  # cancelled or aborted by another thread

    def open(self) -> None:
        """Open the association unless it is open, and make sure it serves what will be asked."""
        self._ready(self._type, self._model)

    def echo(self) -> Answer:
        """Send a C-ECHO and return its final response."""
        message, context = self._ask(RequestType.ECHO, next(self._ids), {}, None, ignore)
        return answer(RequestType.ECHO, message, context.transfer_syntax)

    def find(self, request: Request, on_match: Callable[[Match], None]) -> Answer:
        """Send a C-FIND, hand over every match, return the final response.

        A match that cannot be read does not hide the others: they are handed over, and the answer
        asks for another try and says how many were lost.
        """
        keys, charset = request.keys, self._peer.charset
        return self.query(
            request, lambda found: on_match(identifier.match(found.dataset, keys, charset))
        )

    def query(
        self, request: Request, on_found: Callable[[Found], None], most: int | None = None
    ) -> Answer:
        """Send a C-FIND as `find` does, but hand over all of each match, and at most so many.

        Behind the last one that is wanted a C-CANCEL is sent; the answer is a success then, with
        the status 0xFE00 even if the archive had to be left while it went on.
        """
        limit = Limit(most, on_found, self.cancel)
        try:
            message, context = self._ask(
                RequestType.FIND, next(self._ids), {}, request, limit.take, limit.patience
            )
        except (EnoughError, TransientError):
            if not limit.is_reached:
                raise
            return CANCELLED
        self._relational = context.relational
        final = answer(RequestType.FIND, message, context.transfer_syntax)
        if limit.is_reached and final.status == CANCELLED.status:
            return CANCELLED
        return with_holes(final, limit.unreadable) if limit.unreadable else final

    def is_relational(self) -> bool:
        """Whether relational queries were granted for the last C-FIND (PS3.4 C.5.2.1)."""
        return self._relational

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
            on_progress(counts := tally(message.command))
            if self._running is not None:
                self._running.association.rest(counts.remaining)

        message, context = self._ask(
            RequestType.MOVE, message_id, {Tag.DESTINATION: destination}, request, pending
        )
        return answer(RequestType.MOVE, message, context.transfer_syntax, destination)

    def get(
        self, request: Request, message_id: int, adopter: Adopter, turn: Callable[[], None]
    ) -> Answer:
        """Send a C-GET; `adopter` takes the instances that come back on the same association.

        It is sent again, for the classes and transfer syntaxes that are left, when instances
        could not be sent for want of a presentation context.

        Raises
        ------
        RequestError
            If the request would retrieve everything the archive holds.
        FatalError
            If the archive does not send instances over our association.
        """
        identifier.refuse_everything(request)
        self._is_cut = False
        return self._retrieval.carry_out(request, message_id, adopter, turn)

    def get_once(
        self, request: Request, message_id: int, storage: tuple[Proposal, ...], kept: Kept
    ) -> tuple[Answer, Agreement]:
        """Send a C-GET once, with these contexts for what comes back."""
        if self._is_cut:
            raise TransientError("We aborted the association", LATER)
        if set(storage) != set(self._storage):
            self.close()
            self._storage = storage
        association, _ = self._ready(RequestType.GET, request.model)
        origin = Origin(self._peer.aet, self._peer.hostname, self._peer.calling_aet, message_id)
        self._taking = SubOperations(kept, origin)
        try:
            message, context = self._ask(RequestType.GET, message_id, {}, request, ignore)
        finally:
            self._taking = None
        return answer(RequestType.GET, message, context.transfer_syntax), association.agreed

    def cancel(self) -> None:
        """Send a C-CANCEL for the operation that runs, if one does; from any thread."""
        self._is_cut = True
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
        self._is_cut = True
        if (wire := self._wire) is not None:
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
        patience: Callable[[], float] = always,
    ) -> tuple[Message, Context]:
        model = self._model if request is None else request.model
        association, context = self._ready(operation, model)
        data = None
        fields: dict[Tag, int | str] = {
            Tag.SOP_CLASS: abstract_syntax(model, operation),
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
            deadline = time.monotonic() + self._peer.timeouts.total
            while True:
                if self._taking is not None:
                    about = context.number, message_id, self._last_arrival, deadline
                    self._taking.carry_out(association, *about)
                message = association.receive(self._last_arrival, deadline, patience())
                if status_of(message, operation, message_id, context) not in PENDING:
                    return message, context
                on_pending(message, context)
        except BaseException:  # also a caller's own: answers left unread would reach the next one
            self._association, self._wire = None, None
            association.discard()
            raise
        finally:
            self._running = None

    def _ready(self, operation: RequestType, model: str) -> tuple[Association, Context]:
        syntax = abstract_syntax(model, operation)
        if syntax not in self._syntaxes:
            self.close()
            self._syntaxes.append(syntax)
        association = self._association
        if association is not None and not association.is_idle():
            association.leave()  # the archive has dropped it in between: nothing is lost
            association = None
        if association is None:
            room = MOST - len(self._syntaxes)  # of contexts; the last ones matter least
            offer = self._syntaxes, self._announce, self._storage[:room]
            association = open_association(self._peer, *offer)
        self._association = association
        context = association.context(syntax)
        if context is None:
            raise not_offered(model, operation, self._peer.aet)
        return association, context

    def _announce(self, wire: Wire) -> None:
        self._wire = wire
