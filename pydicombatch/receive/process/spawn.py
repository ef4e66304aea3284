"""Starts the receiver's process: a fresh interpreter that inherits one socket and nothing else."""

import contextlib
import json
import socket
import subprocess
import sys
from dataclasses import dataclass

from pydicombatch.core.errors import ConfigError, FatalError
from pydicombatch.receive.process import wire
from pydicombatch.receive.server.settings import Settings

_LONGEST_START = 60.0  # seconds until a fresh interpreter listens
_LONGEST_END = 5.0  # seconds until a process whose channel is closed has ended
_READ_SIZE = 1 << 18

# `multiprocessing` would import the caller's main module, and with it all that the engine needs.
_CODE = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from pydicombatch.receive.process.child import main; main(int(sys.argv[2]))"
)


@dataclass(slots=True)
class Spawned:
    """A process that listens, and our end of the channel to it; it ends when the channel does."""

    process: "subprocess.Popen[bytes]"
    channel: socket.socket
    lines: wire.Lines
    messages: list[wire.Message]  # what it has said already

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self.messages[0]["ready"])

    def end(self) -> None:
        """Hang up, and wait until it is gone."""
        with contextlib.suppress(OSError):
            self.channel.shutdown(socket.SHUT_RDWR)
        try:
            self.process.wait(_LONGEST_END)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def spawn(settings: Settings) -> Spawned:
    """Start a process and wait until it listens.

    Raises
    ------
    ConfigError
        If it cannot open the port or use the certificates.
    FatalError
        If it does not start.
    """
    ours, theirs = socket.socketpair()
    with theirs:
        process = subprocess.Popen(  # noqa: S603 - our own interpreter, our own code
            [sys.executable, "-c", _CODE, json.dumps(sys.path), str(theirs.fileno())],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,  # a traceback may hold values; it has the log for words
            pass_fds=(theirs.fileno(),),
        )
    spawned = Spawned(process, ours, wire.Lines(), [])
    try:
        _wait(spawned, settings)
    except BaseException:
        spawned.end()
        ours.close()
        raise
    return spawned


def _wait(spawned: Spawned, settings: Settings) -> None:
    channel = spawned.channel
    channel.settimeout(_LONGEST_START)
    try:
        channel.sendall(wire.encode(settings.to_json()))
        while not spawned.messages:
            data = channel.recv(_READ_SIZE)
            if not data:
                raise unable("ends at its start")
            spawned.messages += spawned.lines.take(data)
    except OSError as exc:
        raise unable(f"does not start ({type(exc).__name__})") from exc
    channel.settimeout(None)
    if "error" in spawned.messages[0]:
        raise ConfigError.of(*spawned.messages[0]["error"])
    if "fatal" in spawned.messages[0]:
        raise FatalError(*spawned.messages[0]["fatal"])


def unable(what: str) -> FatalError:
    """Return the error for a receiver that cannot go on."""
    return FatalError(f"The receiver {what}", "Look at the log of the run, and start it again")
