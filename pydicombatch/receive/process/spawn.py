"""Starts the receiver's processes: a fresh interpreter that inherits its sockets and nothing else.

It multiplies by itself, so that the processes share what they have in common.
"""

import contextlib
import json
import socket
import subprocess
import sys
from dataclasses import dataclass

from pydicombatch.core.errors import ConfigError, FatalError
from pydicombatch.receive.process import wire
from pydicombatch.receive.process.channel import Channel
from pydicombatch.receive.process.siblings import how_many, most
from pydicombatch.receive.server.settings import Settings

_LONGEST_START = 60.0  # seconds until a fresh interpreter listens
_LONGEST_END = 5.0  # seconds until a process whose channel is closed has ended

# `multiprocessing` would import the caller's main module, and with it all that the engine needs.
_CODE = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from pydicombatch.receive.process.child import main; main(*map(int, sys.argv[2:]))"
)


@dataclass(slots=True)
class Spawned:
    """Processes that serve one port, and a channel to each; they end when the channels do."""

    process: "subprocess.Popen[bytes]"  # the one that listens; the others are its children
    channels: list[Channel]
    said: list[tuple[Channel, wire.Message]]  # already, since they are ready

    @property
    def port(self) -> int:
        """Where they listen."""
        return self.channels[0].port

    def end(self) -> None:
        """Hang up, and wait until they are gone."""
        for channel in self.channels:
            channel.hang_up()
        try:
            self.process.wait(_LONGEST_END)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        for channel in self.channels[1:]:
            channel.outlive(_LONGEST_END)

    def close(self) -> None:
        """Give the sockets back."""
        for channel in self.channels:
            channel.socket.close()


@dataclass(frozen=True, slots=True)
class _Begun:
    """A fresh interpreter that waits for its settings."""

    process: "subprocess.Popen[bytes]"
    sockets: list[socket.socket]  # our ends

    def give_up(self) -> None:
        """End it: it has nothing yet."""
        for one in self.sockets:
            one.close()
        self.process.kill()
        self.process.wait()


_prepared: list[_Begun] = []


def prepare() -> None:
    """Start what the next `spawn` will most likely need, so that it comes up meanwhile.

    Without that, it ends with `dismiss` or with this process.
    """
    with contextlib.suppress(OSError):  # `spawn` meets it again and says what it is
        _prepared.append(_begin(most()))


def dismiss() -> None:
    """End what was prepared: nothing will be received."""
    while _prepared:
        _prepared.pop().give_up()


def spawn(settings: Settings) -> Spawned:
    """Start the processes and wait until they listen.

    Raises
    ------
    ConfigError
        If they cannot open the port or use the certificates.
    FatalError
        If they do not start.
    """
    begun = _take(how_many(settings))
    spawned = Spawned(begun.process, [Channel(one) for one in begun.sockets], [])
    try:
        spawned.channels[0].send(settings.to_json())
        for channel in spawned.channels:
            _wait(spawned, channel)
    except BaseException:
        spawned.end()
        spawned.close()
        raise
    return spawned


def _take(count: int) -> _Begun:
    """Return a prepared interpreter if there is one of that kind, else a new one."""
    while _prepared:
        begun = _prepared.pop()
        if len(begun.sockets) == count and begun.process.poll() is None:
            return begun
        begun.give_up()
    return _begin(count)


def _begin(count: int) -> _Begun:
    pairs = [socket.socketpair() for _ in range(count)]
    theirs = [str(one.fileno()) for _, one in pairs]
    try:
        process = subprocess.Popen(  # noqa: S603 - our own interpreter, our own code
            [sys.executable, "-c", _CODE, json.dumps(sys.path), *theirs],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,  # a traceback may hold values; it has the log for words
            pass_fds=[one.fileno() for _, one in pairs],
        )
    finally:
        for _, one in pairs:
            one.close()
    return _Begun(process, [one for one, _ in pairs])


def _wait(spawned: Spawned, channel: Channel) -> None:
    channel.socket.settimeout(_LONGEST_START)
    messages: list[wire.Message] = []
    try:
        while not messages:
            messages = channel.read()
    except EOFError as exc:
        raise unable("ends at its start") from exc
    except OSError as exc:
        raise unable(f"does not start ({type(exc).__name__})") from exc
    channel.socket.settimeout(None)
    if "error" in messages[0]:
        raise ConfigError.of(*messages[0]["error"])
    if "fatal" in messages[0]:
        raise FatalError(*messages[0]["fatal"])
    channel.pid, channel.port = messages[0]["ready"]
    spawned.said += [(channel, one) for one in messages[1:]]


def unable(what: str) -> FatalError:
    """Return the error for a receiver that cannot go on."""
    return FatalError(f"The receiver {what}", "Look at the log of the run, and start it again")
