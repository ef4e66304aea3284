"""Free loopback ports."""

import socket
import time

LOOPBACK = "127.0.0.1"


def free_port() -> int:
    """Return a port nobody listens on now; the kernel does not give it out again soon."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


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
