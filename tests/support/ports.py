"""Free loopback ports."""

import random
import socket
import time

LOOPBACK = "127.0.0.1"
QUIET = range(20000, 32000)  # below what Linux gives to outgoing connections


def free_port() -> int:
    """Return a port nobody listens on now, and that the kernel gives to no outgoing connection."""
    numbers = random.SystemRandom()
    while True:
        number = numbers.choice(QUIET)
        with socket.socket() as probe:
            try:
                probe.bind(("", number))
            except OSError:
                continue
        return number


def wait_for_port(port: int, seconds: float = 30) -> bool:
    """Wait until somebody accepts connections there; False when nobody does in time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            socket.create_connection((LOOPBACK, port), timeout=1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return True
    return False
