"""An archive that misbehaves on order: a pynetdicom Q/R SCP playing a script of plain values.

For what a DICOM library refuses to send there is `raw_peer.RawPeer`, which plays bytes.
"""

import socket
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from io import BytesIO
from typing import Self

from pydicom.dataset import Dataset
from pynetdicom import AE, build_context, evt
from pynetdicom.association import Association
from pynetdicom.dimse_primitives import C_FIND, C_MOVE, DimseServiceType
from pynetdicom.dsutils import decode, encode
from pynetdicom.sop_class import (  # type: ignore[attr-defined]
    PatientRootQueryRetrieveInformationModelFind,
    PatientRootQueryRetrieveInformationModelMove,
    StudyRootQueryRetrieveInformationModelFind,
    StudyRootQueryRetrieveInformationModelMove,
    Verification,
)

from tests.support.ports import LOOPBACK, free_port

CONTEXTS = (
    Verification,
    PatientRootQueryRetrieveInformationModelFind,
    PatientRootQueryRetrieveInformationModelMove,
    StudyRootQueryRetrieveInformationModelFind,
    StudyRootQueryRetrieveInformationModelMove,
)


@dataclass(frozen=True)
class Pending:
    """A pending response: a match, or the counts of a move; absent counts are not sent."""

    status: int = 0xFF00
    match: Dataset | bytes | None = None  # bytes are sent as they are
    remaining: int | None = None
    completed: int | None = None
    failed: int | None = None
    warning: int | None = None


@dataclass(frozen=True)
class Final:
    """The last response."""

    status: int = 0x0000
    completed: int | None = None
    failed: int | None = None
    warning: int | None = None
    comment: str | None = None
    offending: Sequence[int] = ()
    failed_uids: Sequence[str] = ()


@dataclass(frozen=True)
class Store:
    """A C-STORE to the move destination, with what it says of its origin."""

    instance: Dataset
    originator_aet: str | None = None
    originator_message_id: int | None = None  # None: of the move; 0: leave the fields out
    calling_aet: str = "FAKE"


@dataclass(frozen=True)
class Sleep:
    """Nothing, for some seconds."""

    seconds: float


@dataclass(frozen=True)
class Abort:
    """An A-ABORT."""


@dataclass(frozen=True)
class Drop:
    """The connection closed without a word."""


@dataclass(frozen=True)
class Release:
    """An A-RELEASE-RQ in the middle of an operation."""


Step = Pending | Final | Store | Sleep | Abort | Drop | Release


@dataclass(frozen=True)
class Asked:
    """A request as it came."""

    operation: str  # FIND or MOVE
    message_id: int
    identifier: Dataset
    destination: str = ""


@dataclass
class Script:
    """What is played: one list of steps a request, the last list again and again, or as asked."""

    answers: "Sequence[Sequence[Step]] | Callable[[Asked], Sequence[Step]]" = ((Final(),),)
    reject: Sequence[tuple[int, int, int]] = ()  # (result, source, reason) for the first ones
    contexts: Sequence[str] = CONTEXTS
    destinations: dict[str, int] = field(default_factory=dict)  # AE title -> port on loopback
    # What a C-FIND is answered with in place of `answers`; None: after a C-MOVE it is refused.
    queries: "Callable[[Asked], Sequence[Step]] | None" = None
    idle_abort: bool = False  # abort after each operation's final response
    idle_release: bool = False  # release after each operation's final response


class FakeArchive:
    """Listens on a free loopback port; a context manager."""

    def __init__(self, script: Script, aet: str = "FAKE") -> None:
        self.aet = aet
        self.port = free_port()
        self.asked: list[Asked] = []
        self.queried: list[Asked] = []  # those that are answered from `queries`
        self.echoes = 0
        self.cancelled: list[int] = []
        self.associations = 0
        self._script = script
        self._lock = threading.Lock()
        self._ae = AE(aet)
        self._ae.maximum_associations = 100
        for syntax in script.contexts:
            self._ae.add_supported_context(syntax)

    def __enter__(self) -> Self:
        self._ae.start_server(
            (LOOPBACK, self.port),
            block=False,
            evt_handlers=[
                (evt.EVT_REQUESTED, self._requested),
                (evt.EVT_C_ECHO, self._echo),
                (evt.EVT_DIMSE_RECV, self._received),
            ],
        )
        return self

    def __exit__(self, *_: object) -> None:
        self._ae.shutdown()

    def _requested(self, event: evt.Event) -> None:
        with self._lock:
            number = self.associations
            self.associations += 1
        if number < len(self._script.reject):
            event.assoc.acse.send_reject(*self._script.reject[number])
            event.assoc.is_rejected = True
            time.sleep(0.05)  # let it out before the reactor ends
            event.assoc.dul.kill_dul()

    def _echo(self, _event: evt.Event) -> int:
        with self._lock:
            self.echoes += 1
        return 0x0000

    def _received(self, event: evt.Event) -> None:
        """Take requests before pynetdicom's own service classes see them."""
        name = type(event.message).__name__
        if name == "C_CANCEL_RQ":
            with self._lock:
                self.cancelled.append(event.message.command_set.MessageIDBeingRespondedTo)
        if name in {"C_FIND_RQ", "C_MOVE_RQ"}:
            setattr(event.assoc, "_serve_request", self._server_of(event.assoc))  # noqa: B010

    def _server_of(self, assoc: Association) -> Callable[[DimseServiceType, int], None]:
        original = type(assoc)._serve_request

        def serve(request: DimseServiceType, context: int) -> None:
            if isinstance(request, C_FIND | C_MOVE):
                self._play(assoc, request, context)
            else:
                original(assoc, request, context)

        return serve

    def _play(self, assoc: Association, request: C_FIND | C_MOVE, context: int) -> None:
        syntax = assoc._accepted_cx[context].transfer_syntax[0]
        assert request.Identifier is not None
        identifier = decode(request.Identifier, syntax.is_implicit_VR, True)
        asked = Asked(
            "FIND" if isinstance(request, C_FIND) else "MOVE",
            request.MessageID or 0,
            identifier,
            str(getattr(request, "MoveDestination", "") or ""),
        )
        for step in self._steps(asked):
            self._perform(step, assoc, request, context, asked)
        if self._script.idle_abort:
            assoc.abort(block=False)
        if self._script.idle_release:
            assoc.acse.send_release()

    def _steps(self, asked: Asked) -> Sequence[Step]:
        queries = self._script.queries
        with self._lock:
            moved = any(one.operation == "MOVE" for one in self.asked)
            if asked.operation == "FIND" and (moved or queries is not None):
                self.queried.append(asked)
                return queries(asked) if queries is not None else [Final(0xA900)]
            answers = self._script.answers
            self.asked.append(asked)
            if callable(answers):
                return answers(asked)
            return answers[min(len(self.asked), len(answers)) - 1]

    def _perform(
        self, step: Step, assoc: Association, request: C_FIND | C_MOVE, context: int, asked: Asked
    ) -> None:
        if isinstance(step, Sleep):
            time.sleep(step.seconds)
        elif isinstance(step, Abort):
            assoc.abort(block=False)
        elif isinstance(step, Release):
            assoc.acse.send_release()
        elif isinstance(step, Drop):
            assert assoc.dul.socket is not None
            assert assoc.dul.socket.socket is not None
            time.sleep(0.2)  # what was sent before goes out first
            with suppress(OSError):
                assoc.dul.socket.socket.shutdown(socket.SHUT_RDWR)
        elif isinstance(step, Store):
            self._store(step, asked)
        else:
            syntax = assoc._accepted_cx[context].transfer_syntax[0]
            assoc.dimse.send_msg(_response(step, request, syntax.is_implicit_VR), context)

    def _store(self, step: Store, asked: Asked) -> None:
        ae = AE(step.calling_aet)
        meta = step.instance.file_meta
        ae.requested_contexts = [build_context(step.instance.SOPClassUID, meta.TransferSyntaxUID)]
        port = self._script.destinations[asked.destination]
        sender = ae.associate(LOOPBACK, port, ae_title=asked.destination)
        if not sender.is_established:
            return
        number = step.originator_message_id
        with suppress(RuntimeError, ValueError):  # the receiver may refuse or leave
            sender.send_c_store(
                step.instance,
                originator_aet=step.originator_aet,
                originator_id=asked.message_id if number is None else number or None,
            )
        sender.release()


def _response(step: Pending | Final, request: C_FIND | C_MOVE, implicit: bool) -> C_FIND | C_MOVE:
    response = type(request)()
    response.MessageIDBeingRespondedTo = request.MessageID
    response.AffectedSOPClassUID = request.AffectedSOPClassUID
    response.Status = step.status
    data = step.match if isinstance(step, Pending) else _failed(step)
    if data is not None:
        response.Identifier = BytesIO(data if isinstance(data, bytes) else _encode(data, implicit))
    if isinstance(step, Final) and step.comment is not None:
        response.ErrorComment = step.comment  # type: ignore[assignment]
    if isinstance(step, Final) and step.offending:
        response.OffendingElement = list(step.offending)  # type: ignore[assignment]
    if isinstance(response, C_MOVE):
        if isinstance(step, Pending):
            response.NumberOfRemainingSuboperations = step.remaining
        response.NumberOfCompletedSuboperations = step.completed
        response.NumberOfFailedSuboperations = step.failed
        response.NumberOfWarningSuboperations = step.warning
    return response


def _failed(step: Final) -> Dataset | None:
    if not step.failed_uids:
        return None
    found = Dataset()
    found.FailedSOPInstanceUIDList = list(step.failed_uids)
    return found


def _encode(found: Dataset, implicit: bool) -> bytes:
    encoded = encode(found, implicit, True)
    assert encoded is not None
    return encoded
