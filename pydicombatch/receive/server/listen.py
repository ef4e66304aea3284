"""The listening socket of the storage SCP."""

import errno
import socket

from pydicombatch.core.errors import ConfigError

# A SYN that finds no place is sent again a second later; Linux allows 4096 (net.core.somaxconn)
BACKLOG = 4096


def listen(port: int, bind: str) -> socket.socket:
    """Open the port; IPv6 and IPv4 when `bind` is empty and the machine has both.

    Raises
    ------
    ConfigError
        If the port cannot be bound.
    """
    try:
        return _listen(port, bind)
    except OSError as exc:
        raise _unbound(exc, port, bind) from exc


def _listen(port: int, bind: str) -> socket.socket:
    if bind:
        found = socket.getaddrinfo(bind, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, _, _, _, address = found[0]
        listener = socket.create_server(address[:2], family=family, backlog=BACKLOG)
    elif socket.has_dualstack_ipv6():
        listener = socket.create_server(
            ("", port), family=socket.AF_INET6, backlog=BACKLOG, dualstack_ipv6=True
        )
    else:
        listener = socket.create_server(("", port), backlog=BACKLOG)
    listener.settimeout(0)
    return listener


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
    name = errno.errorcode.get(exc.errno or 0, type(exc).__name__)
    return ConfigError.of(
        f"Port {port} cannot be opened on local.bind '{bind}' ({name})",
        "Set local.bind to an address of this machine, or leave it out",
    )
