"""Half-open connections end: the kernel asks a silent peer whether it is still there."""

import socket
from contextlib import suppress

PROBES = 6  # unanswered ones in a row; the interval follows from them
LEAST = 1  # second; the kernel counts whole ones


def end_when_dead(connection: socket.socket, seconds: float) -> None:
    """Have the kernel end a TCP connection whose other end has vanished.

    A peer that is there but silent may stay so for as long as it likes: it acknowledges.

    Parameters
    ----------
    connection
        A TCP socket, connected or not.
    seconds
        From the last sign of life to the end: half of them idle, half of them probing; and from
        the first unacknowledged byte of ours (RFC 5482), where the system can do that.
    """
    interval = max(LEAST, round(seconds / 2 / PROBES))
    options = {
        "TCP_KEEPIDLE": max(LEAST, round(seconds / 2)),
        "TCP_KEEPINTVL": interval,
        "TCP_KEEPCNT": PROBES,
        "TCP_USER_TIMEOUT": max(LEAST, round(seconds)) * 1000,
    }
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in options.items():
        if hasattr(socket, name):  # not on every system
            with suppress(OSError):  # out of the system's range: its own value stays
                connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
