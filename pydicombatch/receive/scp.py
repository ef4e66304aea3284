"""Our storage SCP on pynetdicom: durable in the spool first, announced, then answered."""

import threading
from collections.abc import Callable
from typing import Protocol, cast

from pynetdicom import events
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.events import Event

from pydicombatch.core.attribution import Expectation, attribute
from pydicombatch.core.element_walk import UnreadableError
from pydicombatch.core.file_meta import file_meta
from pydicombatch.core.header import Header, of_data_set
from pydicombatch.core.log import EventLog
from pydicombatch.core.model import Arrival, Identifiers, Origin
from pydicombatch.receive.listener import Listener, listen, named, set_option
from pydicombatch.receive.spool import Spool

SUCCESS = 0x0000
NOT_AUTHORISED = 0x0124  # PS3.7 C.5.21: nobody asked for it
OUT_OF_RESOURCES = 0xA700  # PS3.4 B.2.3: a good archive tries again
NOT_MATCHING = 0xA900  # command and data set name different instances
NOT_UNDERSTOOD = 0xC000
PATIENCE = 60.0  # seconds that `close` waits for instances that are being written
FAREWELL = 0.2  # seconds for the last responses to leave

log = EventLog(__name__)


class ByteRate(Protocol):
    """Slows the readers of all associations down to an agreed rate."""

    def take(self, count: int) -> object:
        """Block until so many bytes more may be read."""


class StorageScp:
    """Accepts every storage SOP class and transfer syntax, known or not, as they are sent.

    Parameters
    ----------
    aet
        Our AE title; an association that calls another one is rejected.
    port
        TCP port; 0 is any free one, see `port` after `start`.
    bind
        Address to listen on; "" is all interfaces.
    spool
        Where instances go; prepared.
    run
        Identity of this run, part of the names in the spool.
    retained
        Ledger ids of requests sent earlier that name this instance.
    originator
        The title under which our C-MOVE requests go out; `aet` if not given.
    accept_unsolicited
        Whether to keep what no request names.
    rate
        Takes every byte before more are read; None is no limit.
    maximum_associations
        How many peers may be connected at a time.
    """

    def __init__(
        self,
        aet: str,
        port: int,
        bind: str,
        spool: Spool,
        run: str,
        retained: Callable[[Identifiers], tuple[int, ...]],
        *,
        originator: str = "",
        accept_unsolicited: bool = False,
        rate: ByteRate | None = None,
        maximum_associations: int = 200,
    ) -> None:
        self.port = port
        self._aet = aet
        self._originator = originator or aet
        self._bind = bind
        self._spool = spool
        self._run = run
        self._retained = retained
        self._accept_unsolicited = accept_unsolicited
        self._rate = rate
        self._maximum = maximum_associations
        self._outstanding: tuple[Expectation, ...] = ()
        self._refused = 0
        self._in_flight = 0
        self._closing = False
        self._changed = threading.Condition()
        self._announce: Callable[[Arrival], None] = lambda _: None
        self._server: Listener | None = None
        self._serving: threading.Thread | None = None

    def start(self, announce: Callable[[Arrival], None]) -> None:
        """Listen; call `announce` for every instance that is durable in the spool.

        Raises
        ------
        ConfigError
            If the port cannot be bound.
        """
        self._announce = announce
        self._server = listen(
            self._aet,
            self.port,
            self._bind,
            self._maximum,
            [
                (events.EVT_C_ECHO, lambda _: SUCCESS),
                (events.EVT_C_STORE, self._on_store),
                (events.EVT_ASYNC_OPS, lambda _: (1, 1)),
                (events.EVT_DATA_RECV, self._on_bytes),
            ],
        )
        self.port = int(self._server.server_address[1])
        self._serving = threading.Thread(
            target=self._server.serve_forever, args=(0.1,), name="storage-scp", daemon=True
        )
        self._serving.start()

    def expect(self, expectation: Expectation) -> None:
        """Accept the instances of this request from now on; in force on return."""
        with self._changed:
            others = (one for one in self._outstanding if one.request != expectation.request)
            self._outstanding = (*others, expectation)

    def settle(self, request: int) -> None:
        """Forget the message id of this request; `retained` knows its instances from now on."""
        with self._changed:
            self._outstanding = tuple(one for one in self._outstanding if one.request != request)

    def refused(self) -> int:
        """Return how many instances nobody asked for were refused so far."""
        with self._changed:
            return self._refused

    def close(self) -> None:
        """Stop listening; instances acknowledged so far have been announced."""
        with self._changed:
            self._closing = True
        server, self._server = self._server, None
        if server is None:
            return
        server.shutdown()
        with self._changed:
            self._changed.wait_for(lambda: not self._in_flight, PATIENCE)
        threading.Event().wait(FAREWELL)
        for association in server.active_associations:
            association.abort()
        if self._serving is not None:
            self._serving.join(PATIENCE)

    def _on_bytes(self, event: Event) -> None:
        # pynetdicom calls this in the thread that reads: while it blocks, TCP holds the peer back
        if self._rate is not None and not self._closing:
            self._rate.take(len(event.data))
        # without it, a sender with Nagle's algorithm waits 40 ms for every delayed ACK of ours
        transport = event.assoc.dul.socket
        if transport is not None:
            set_option(transport.socket, "TCP_QUICKACK")

    def _on_store(self, event: Event) -> int:
        with self._changed:
            if self._closing:
                return OUT_OF_RESOURCES
            self._in_flight += 1
        try:
            return self._store(event)
        except Exception as exc:  # noqa: BLE001 - whatever failed here, the archive may try again
            log.warning("store.failed", error=type(exc).__name__)
            return OUT_OF_RESOURCES
        finally:
            with self._changed:
                self._in_flight -= 1
                self._changed.notify_all()

    def _store(self, event: Event) -> int:
        command = cast("C_STORE", event.request)
        if command.DataSet is None:
            return NOT_UNDERSTOOD
        data = command.DataSet.getbuffer()
        try:
            header = of_data_set(data, str(event.context.transfer_syntax))
        except UnreadableError as exc:
            log.warning("store.unreadable", reason=str(exc))
            return NOT_UNDERSTOOD
        found = header.identifiers
        named = (_clean(command.AffectedSOPClassUID), _clean(command.AffectedSOPInstanceUID))
        if named != (found.sop_class_uid, found.sop_instance_uid):
            log.warning("store.mismatch", reason="the command names another instance")
            return NOT_MATCHING
        requests = self._requests(found, _origin(event))
        if not requests and not self._accept_unsolicited:
            with self._changed:
                self._refused += 1
            return NOT_AUTHORISED
        return self._keep(header, data[header.start :], requests)

    def _requests(self, instance: Identifiers, origin: Origin) -> tuple[int, ...]:
        outstanding = self._outstanding  # a tuple that is replaced, never changed
        named = attribute(instance, origin, self._originator, outstanding)
        return named or self._retained(instance)

    def _keep(self, header: Header, data: memoryview, requests: tuple[int, ...]) -> int:
        found = header.identifiers
        syntax = header.transfer_syntax_uid
        meta = file_meta(found.sop_class_uid, found.sop_instance_uid, syntax)
        try:
            name = self._spool.write(self._run, requests, (meta, data))
        except OSError as exc:
            log.warning("store.unwritable", error=named(exc))
            return OUT_OF_RESOURCES
        try:
            self._announce(Arrival(name, found, syntax, len(meta) + len(data), requests))
        except BaseException:
            self._spool.discard(name)  # it is answered as not stored, so nobody may count it
            raise
        return SUCCESS


def _origin(event: Event) -> Origin:
    command = cast("C_STORE", event.request)
    peer = event.assoc.requestor
    title = _clean(command.MoveOriginatorApplicationEntityTitle)
    number = command.MoveOriginatorMessageID
    return Origin(_clean(peer.ae_title), str(peer.address), title, number)


def _clean(value: object) -> str:
    return "" if value is None else str(value).strip(" \0")
