"""A query/retrieve archive on a free port of this machine: C-ECHO, C-FIND, C-MOVE, C-GET."""

from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Any, Self

from pydicom import Dataset
from pydicom.uid import UID, CTImageStorage, ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom import AE, build_context, evt
from pynetdicom.events import EventHandlerType
from pynetdicom.presentation import PresentationContext
from pynetdicom.transport import ThreadedAssociationServer

from pydicombatch.core.errors import FatalError
from pydicombatch.demo.association import name_originator, park_reactor, send_at_once
from pydicombatch.demo.catalogue import Catalogue, UnanswerableError, answer

LOOPBACK = "127.0.0.1"
_SYNTAXES: list[str | UID] = [ExplicitVRLittleEndian, ImplicitVRLittleEndian]
_VERIFICATION = "1.2.840.10008.1.1"
_PATIENT_ROOT = tuple(f"1.2.840.10008.5.1.4.1.2.1.{service}" for service in (1, 2, 3))
_STUDY_ROOT = tuple(f"1.2.840.10008.5.1.4.1.2.2.{service}" for service in (1, 2, 3))
_PENDING, _PENDING_KEYS_UNSUPPORTED = 0xFF00, 0xFF01  # PS3.4 C.4.1.1.4
_CANCELLED = 0xFE00
_IDENTIFIER_DOES_NOT_MATCH = 0xA900

Reply = tuple[int, Dataset | None]


class DemoArchive:
    """An archive that holds the given instances for as long as it runs.

    Parameters
    ----------
    instances
        Data sets with File Meta Information; every one needs PatientID and the three UIDs.
    aet
        Its AE title; it answers under any.
    port
        TCP port on the loopback interface; 0 takes a free one.
    """

    def __init__(self, instances: Iterable[Dataset], aet: str = "DEMO_PACS", port: int = 0) -> None:
        self.aet = aet
        held = tuple(instances)
        self._catalogue = Catalogue(held)
        self._destinations: dict[str, tuple[str, int]] = {}
        self._address = (LOOPBACK, port)
        self._ae = _application_entity(aet, {str(ds.SOPClassUID) for ds in held})
        self._server: ThreadedAssociationServer | None = None

    @property
    def port(self) -> int:
        """The TCP port it listens on; 0 before `start` unless one was asked for."""
        return self._address[1]

    def register(self, aet: str, host: str, port: int) -> None:
        """Make an application entity known as a destination of C-MOVE; at any time.

        One that does not listen is answered like an unknown one, 0xA801: pynetdicom decides it.
        """
        self._destinations[aet.strip()] = (host, port)

    def start(self) -> None:
        """Listen; returns at once.

        Raises
        ------
        FatalError
            If the port cannot be bound.
        """
        handlers: list[EventHandlerType] = [
            (evt.EVT_CONN_OPEN, send_at_once),
            (evt.EVT_C_FIND, self._find),
            (evt.EVT_C_MOVE, self._move),
            (evt.EVT_C_GET, self._get),
        ]
        try:
            self._server = self._ae.start_server(self._address, block=False, evt_handlers=handlers)
        except OSError as exc:
            raise FatalError(
                f"The demo archive cannot listen on port {self.port} of this machine",
                "Choose another port, or let it take a free one",
            ) from exc
        if self._server is not None:
            self._address = (LOOPBACK, self._server.server_address[1])

    def stop(self) -> None:
        """Drop the open associations and stop listening; may be called twice."""
        self._ae.shutdown()
        self._server = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def _find(self, event: evt.Event) -> Iterator[Reply]:
        keys = event.identifier
        try:
            found = self._catalogue.find(_model(event), keys)
        except UnanswerableError:
            yield _IDENTIFIER_DOES_NOT_MATCH, None
            return
        for entity in found:
            if event.is_cancelled:
                yield _CANCELLED, None
                return
            response, complete = answer(keys, entity, self.aet)
            yield _PENDING if complete else _PENDING_KEYS_UNSUPPORTED, response

    def _move(self, event: evt.Event) -> Iterator[Any]:
        """Follow pynetdicom's protocol: destination, number of instances, then each of them."""
        destination = self._destinations.get(str(event.move_destination).strip())
        if destination is None:
            yield None, None  # answered with 0xA801
            return
        selected = self._selected(event)
        yield *destination, _store_association(selected or (), event.assoc.requestor.ae_title)
        yield from _sub_operations(event, selected)

    def _get(self, event: evt.Event) -> Iterator[Any]:
        yield from _sub_operations(event, self._selected(event))

    def _selected(self, event: evt.Event) -> tuple[Dataset, ...] | None:
        try:
            return self._catalogue.select(_model(event), event.identifier)
        except UnanswerableError:
            return None


def _application_entity(aet: str, sop_classes: set[str]) -> AE:
    ae = AE(ae_title=aet)
    ae.maximum_associations = 100
    ae.add_supported_context(_VERIFICATION)
    for model in _PATIENT_ROOT + _STUDY_ROOT:
        ae.add_supported_context(model, _SYNTAXES)
    for sop_class in sorted(sop_classes):  # for C-GET: we are the SCU of the C-STORE
        ae.add_supported_context(sop_class, _SYNTAXES, scu_role=True, scp_role=True)
    return ae


def _model(event: evt.Event) -> str:
    return "patient" if event.context.abstract_syntax in _PATIENT_ROOT else "study"


def _store_association(instances: Iterable[Dataset], originator: str) -> dict[str, Any]:
    return {
        "contexts": _contexts(instances),
        "evt_handlers": [
            (evt.EVT_CONN_OPEN, send_at_once),
            (evt.EVT_ESTABLISHED, park_reactor),
            (evt.EVT_DIMSE_SENT, name_originator, [originator.strip()]),
        ],
    }


def _contexts(instances: Iterable[Dataset]) -> list[PresentationContext]:
    """Offer what will be sent; with nothing to send still something, to reach the final status."""
    classes = {str(ds.SOPClassUID) for ds in instances} or {str(CTImageStorage)}
    return [build_context(sop_class, _SYNTAXES) for sop_class in sorted(classes)]


def _sub_operations(event: evt.Event, selected: tuple[Dataset, ...] | None) -> Iterator[Any]:
    if selected is None:
        yield 1  # none is sent, but pynetdicom takes a status only where there is one to send
        yield _IDENTIFIER_DOES_NOT_MATCH, None
        return
    yield len(selected)
    for instance in selected:
        if event.is_cancelled:
            yield _CANCELLED, None
            return
        yield _PENDING, instance
