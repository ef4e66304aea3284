"""From a host name to an open association, and a sentence for each way it can fail."""

import socket
from collections.abc import Callable, Sequence

from pydicombatch.backends.dimse import negotiation, tls
from pydicombatch.backends.dimse.association import Association
from pydicombatch.backends.dimse.contexts import Proposal
from pydicombatch.backends.dimse.peer import Peer
from pydicombatch.backends.dimse.wire import ProtocolError, Wire
from pydicombatch.core.errors import Unreachable
from pydicombatch.core.pdus import PduType

NETWORK = "Check that the archive runs and that the network and its firewalls let us through"


def open_association(
    peer: Peer,
    syntaxes: Sequence[str],
    announce: Callable[[Wire], None],
    storage: Sequence[Proposal] = (),
) -> Association:
    """Connect and negotiate one presentation context for each abstract syntax.

    `announce` is given every wire before it is used, so that another thread can abort it;
    `storage` are the contexts on which instances may come back.

    Raises
    ------
    Unreachable
        If the host does not resolve, nothing listens or answers there, or it is too busy.
    FatalError
        If the archive rejects us for good.
    ConfigError
        If an AE title cannot be sent.
    """
    request = negotiation.request(peer, syntaxes, storage)
    wire = dial(peer, announce)
    if peer.tls is not None:
        tls.secure(wire, peer, peer.tls)
    try:
        wire.send(request)
        kind, body = wire.receive(peer.timeouts.association)
        if kind is PduType.ASSOCIATE_AC:
            agreed = negotiation.agreement(body, syntaxes, storage)
            return Association(wire, peer, agreed)
    except TimeoutError as exc:
        wire.abort()
        wire.close()
        raise Unreachable(
            f"The listener at {peer} did not answer our association request"
            f" within {peer.timeouts.association:g} s",
            "Check that it is a DICOM listener and that the archive is not overloaded",
        ) from exc
    except OSError as exc:
        wire.close()
        raise Unreachable(
            f"The listener at {peer} closed the connection during the association request",
            "Check that it is a DICOM listener and that it accepts our host",
        ) from exc
    except ProtocolError as exc:
        wire.abort()
        wire.close()
        raise Unreachable(
            f"The listener at {peer} does not speak DICOM: {exc}",
            "Check that hostname and port are those of a DICOM listener of the archive",
        ) from exc
    wire.close()
    if kind is PduType.ASSOCIATE_RJ:
        raise negotiation.rejection(body, peer)
    raise Unreachable(
        f"The archive {peer.aet} aborted the association while it was being opened",
        "Ask its administrator whether our AE title and host are allowed to query it",
    )


def dial(peer: Peer, announce: Callable[[Wire], None]) -> Wire:
    """Connect to the first address of the host that answers.

    Raises
    ------
    Unreachable
        If none does.
    """
    try:
        found = socket.getaddrinfo(peer.hostname, peer.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as exc:  # UnicodeError: a label of more than 63 characters
        raise Unreachable(
            f"The host name {peer.hostname} does not resolve",
            "Check pacs.hostname and the name service of this machine",
        ) from exc
    failure: OSError = OSError()
    for family, kind, protocol, _, address in found:
        wire = None
        try:
            wire = Wire(socket.socket(family, kind, protocol), peer.timeouts.dead)
            announce(wire)
            wire.connect(address, peer.timeouts.connect)
        except OSError as exc:
            failure = exc
            if wire is not None:
                wire.close()
            if wire is not None and wire.aborted:
                break
        else:
            return wire
    raise _unreachable(peer, failure) from failure


def _unreachable(peer: Peer, failure: OSError) -> Unreachable:
    if isinstance(failure, ConnectionRefusedError):
        return Unreachable(
            f"No listener at {peer}", "Check pacs.port and that the archive is running"
        )
    if isinstance(failure, TimeoutError):
        return Unreachable(f"No answer from {peer} within {peer.timeouts.connect:g} s", NETWORK)
    return Unreachable(f"No route to {peer}", NETWORK)
