"""The listening socket of the storage SCP, and pynetdicom's switches."""

import errno
import socket
from collections.abc import Callable
from socketserver import TCPServer
from typing import Any

from pydicom.uid import UID
from pynetdicom import _config
from pynetdicom.ae import ApplicationEntity
from pynetdicom.events import Event, InterventionEvent, NotificationEvent
from pynetdicom.transport import ThreadedAssociationServer

from pydicombatch.core.errors import ConfigError
from pydicombatch.core.file_meta import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME

VERIFICATION = "1.2.840.10008.1.1"
NETWORK_TIMEOUT = 600.0  # seconds; archives that read from tape pause for long
ACSE_TIMEOUT = 300.0  # seconds
MAXIMUM_PDU = 131072  # bytes; larger ones are not faster
BACKLOG = 256

Handlers = list[
    tuple[NotificationEvent | InterventionEvent, Callable[[Event], Any]]
    | tuple[NotificationEvent | InterventionEvent, Callable[[Event], Any], list[Any]]
]


class Listener(ThreadedAssociationServer):
    """A long queue of peers, no Nagle, and an end without side effects."""

    request_queue_size = BACKLOG

    def get_request(self) -> tuple[socket.socket, Any]:
        """Accept a connection whose small responses leave at once."""
        client, address = super().get_request()
        client.settimeout(NETWORK_TIMEOUT)
        set_option(client, "TCP_NODELAY")
        set_option(client, "TCP_QUICKACK")
        return client, address

    def shutdown(self) -> None:
        """End the accept loop and close the socket; associations run on."""
        # the parent's own wants to be in a list of servers that only `start_server` fills
        TCPServer.shutdown(self)
        self.server_close()


def listen(aet: str, port: int, bind: str, maximum: int, handlers: Handlers) -> Listener:
    """Open the port; peers wait until `serve_forever` runs.

    Raises
    ------
    ConfigError
        If the port cannot be bound.
    """
    _configure()
    entity = ApplicationEntity(ae_title=aet)
    entity.implementation_class_uid = UID(IMPLEMENTATION_CLASS_UID)
    entity.implementation_version_name = IMPLEMENTATION_VERSION_NAME
    entity.require_called_aet = True
    entity.maximum_associations = maximum
    entity.maximum_pdu_size = MAXIMUM_PDU
    entity.network_timeout = NETWORK_TIMEOUT
    entity.acse_timeout = ACSE_TIMEOUT
    entity.dimse_timeout = NETWORK_TIMEOUT
    entity.add_supported_context(VERIFICATION)
    contexts = entity.supported_contexts
    try:
        return Listener(entity, (bind, port), aet, contexts, evt_handlers=handlers)
    except OSError as exc:
        raise _unbound(exc, port, bind) from exc


def set_option(connection: socket.socket | None, name: str) -> None:
    """Set a TCP option where the platform has it and the peer is still there."""
    option = getattr(socket, name, None)  # TCP_QUICKACK is Linux's
    if connection is None or option is None:
        return
    try:
        connection.setsockopt(socket.IPPROTO_TCP, option, 1)
    except OSError:
        return  # the peer has gone; the next read says so


def named(exc: OSError) -> str:
    """Return the symbol of an error of the operating system, without its text."""
    return errno.errorcode.get(exc.errno or 0, type(exc).__name__)


def _configure() -> None:
    """Set pynetdicom's module-wide switches; the same for every association of ours."""
    _config.UNRESTRICTED_STORAGE_SERVICE = True
    _config.LOG_HANDLER_LEVEL = "none"  # they log identifiers, and cost a third of the speed
    _config.LOG_REQUEST_IDENTIFIERS = False
    _config.LOG_RESPONSE_IDENTIFIERS = False
    _config.CODECS = ("ascii", "utf-8", "latin-1")  # titles of archives are not always ASCII


def _unbound(exc: OSError, port: int, bind: str) -> ConfigError:
    if exc.errno == errno.EADDRINUSE:
        return ConfigError.of(
            f"Port {port} is in use by another program",
            "End that program, or choose another local.port and tell the archive's administrator",
        )
    if exc.errno == errno.EACCES:
        return ConfigError.of(
            f"Port {port} may not be opened by this user",
            "Choose a local.port above 1023 and tell the archive's administrator",
        )
    return ConfigError.of(
        f"Port {port} cannot be opened on local.bind '{bind}' ({named(exc)})",
        "Set local.bind to an address of this machine, or leave it out",
    )
