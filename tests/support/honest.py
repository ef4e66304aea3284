"""An honest peer in a process of its own: one C-ECHO after another, and the longest wait."""

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

from tests.support import hand_made as raw


def echo(port: int) -> float:
    """Return how many seconds a C-ECHO took, connecting and all."""
    begun = time.monotonic()
    with raw.Peer(port) as peer:
        peer.associate()
        assert peer.echo() == 0
        peer.send(raw.RELEASE_RQ)
        assert peer.answer()[0] == 6
    return time.monotonic() - begun


class HonestPeer:
    """Echoes until `waits` is called."""

    def __init__(self, port: int) -> None:
        code = f"from tests.support import honest; honest.main({port})"
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
        self._process = subprocess.Popen(
            [sys.executable, "-c", code],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == b"begun\n"

    def waits(self) -> list[float]:
        """Return the seconds that every C-ECHO took."""
        out, _ = self._process.communicate(b"end\n", timeout=60)
        found: list[float] = json.loads(out)
        return found


def main(port: int) -> None:
    """Echo until standard input has something to say."""
    over = threading.Event()

    def listen() -> None:
        sys.stdin.readline()
        over.set()

    threading.Thread(target=listen, daemon=True).start()
    waits = [echo(port)]
    print("begun", flush=True)
    while not over.is_set():
        waits.append(echo(port))
        over.wait(0.05)
    print(json.dumps(waits), flush=True)
