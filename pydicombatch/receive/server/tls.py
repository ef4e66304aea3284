"""TLS contexts by the BCP 195 profile (PS3.15 B.9, RFC 9325): 1.2 with ECDHE and AEAD, and 1.3."""

import ssl

from pydicombatch.core.errors import ConfigError
from pydicombatch.core.tls import restrict
from pydicombatch.receive.server.settings import TlsFiles


def server_context(files: TlsFiles) -> ssl.SSLContext:
    """Return the listener's context; with `ca` every peer must show a certificate of it.

    Raises
    ------
    ConfigError
        If a file cannot be read, or key and certificate do not belong together.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    restrict(context)
    try:
        context.load_cert_chain(files.cert, files.key, password=_no_password)
        if files.ca:
            context.load_verify_locations(files.ca)
            context.verify_mode = ssl.CERT_REQUIRED
    except (OSError, ValueError) as exc:  # ssl.SSLError is an OSError
        raise ConfigError.of(
            f"The certificates of local.tls cannot be used ({type(exc).__name__})",
            "Name readable PEM files: cert with its chain, its key without a pass phrase, and ca",
        ) from exc
    return context


def _no_password() -> str:
    """Refuse keys with a pass phrase: nobody is there to type it."""
    raise ValueError
