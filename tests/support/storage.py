"""A minimal storage SCP of pynetdicom that remembers what came; not the product's receiver."""

import threading
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from pynetdicom import AE, AllStoragePresentationContexts, evt
from pynetdicom.dimse_primitives import C_STORE

from tests.support.ports import LOOPBACK, free_port


@dataclass(frozen=True)
class Received:
    """One C-STORE."""

    sop_instance_uid: str
    originator_aet: str
    originator_message_id: int | None
    calling_aet: str


class StorageServer:
    """Accepts every known storage class, uncompressed; a context manager."""

    def __init__(self, aet: str = "SAMPLE_AE", port: int | None = None, status: int = 0) -> None:
        self.aet = aet
        self.port = port or free_port()
        self.received: list[Received] = []
        self._status = status
        self._lock = threading.Lock()
        self._ae = AE(aet)
        self._ae.supported_contexts = AllStoragePresentationContexts

    def __enter__(self) -> Self:
        self._ae.start_server(
            (LOOPBACK, self.port), block=False, evt_handlers=[(evt.EVT_C_STORE, self._store)]
        )
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self._ae.shutdown()

    def uids(self) -> list[str]:
        """Return the SOP Instance UIDs that came, in their order."""
        with self._lock:
            return [one.sop_instance_uid for one in self.received]

    def _store(self, event: evt.Event) -> int:
        request = event.request
        assert isinstance(request, C_STORE)
        one = Received(
            str(request.AffectedSOPInstanceUID),
            str(request.MoveOriginatorApplicationEntityTitle or "").strip(),
            request.MoveOriginatorMessageID,
            str(event.assoc.requestor.ae_title).strip(),
        )
        with self._lock:
            self.received.append(one)
        return self._status
