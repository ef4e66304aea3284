"""Our side of a TLS connection to the archive."""

import ssl

from pydicombatch.backends.dimse.peer import Peer, Tls
from pydicombatch.backends.dimse.wire import Wire
from pydicombatch.core.errors import ConfigError, FatalError, PydicombatchError, Unreachable
from pydicombatch.core.tls import restrict


def context(tls: Tls) -> ssl.SSLContext:
    """Make the context of `pacs.tls`.

    Raises
    ------
    ConfigError
        If a file cannot be read, or key and certificate do not belong together.
    """
    made = ssl.create_default_context(ssl.Purpose.SERVER_AUTH)
    restrict(made)
    if not tls.verify:
        made.check_hostname = False
        made.verify_mode = ssl.CERT_NONE
    try:
        if tls.ca:
            made.load_verify_locations(tls.ca)
        if tls.cert:
            made.load_cert_chain(tls.cert, tls.key or None, password=_no_password)
    except (OSError, ValueError) as exc:  # ssl.SSLError is an OSError
        raise ConfigError.of(
            f"The certificates of pacs.tls cannot be used ({type(exc).__name__})",
            "Name readable PEM files: ca, and cert with its key without a pass phrase",
        ) from exc
    return made


def secure(wire: Wire, peer: Peer, tls: Tls) -> None:
    """Turn a connection into a TLS one, or close it: there is no way back to a plain one.

    Raises
    ------
    ConfigError
        If our files cannot be used.
    FatalError
        If the archive does not prove who it is, or speaks no TLS that is good enough.
    Unreachable
        If it is silent or leaves.
    """
    try:
        wire.secure(context(tls), peer.hostname, peer.timeouts.association)
    except ssl.SSLError as exc:
        wire.close()
        raise _failure(exc, peer) from exc
    except OSError as exc:
        wire.close()
        raise _left(peer) from exc
    except ConfigError:
        wire.close()
        raise


def _left(peer: Peer) -> Unreachable:
    return Unreachable(
        f"{peer} closed the connection, or was silent, during the TLS handshake",
        "Check that it is a TLS listener and that it accepts our certificate, pacs.tls.cert",
    )


def _failure(exc: ssl.SSLError, peer: Peer) -> PydicombatchError:
    """Say why a handshake failed."""
    if isinstance(exc, ssl.SSLCertVerificationError):
        return FatalError(
            f"The certificate of {peer} is not accepted: {exc.verify_message}",
            "Set pacs.tls.ca to the authority that issued it, and pacs.hostname to the name in it",
        )
    if isinstance(exc, ssl.SSLEOFError | ssl.SSLZeroReturnError):
        return _left(peer)
    return FatalError(
        f"{peer} does not speak TLS as DICOM requires it ({exc.reason or type(exc).__name__})",
        "Check that pacs.port is the archive's TLS port, and that it offers TLS 1.2 or 1.3",
    )


def _no_password() -> str:
    """Refuse keys with a pass phrase: nobody is there to type it."""
    raise ValueError
