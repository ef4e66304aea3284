"""A process of the receiver: serves, and does what the engine says until the engine is gone."""

import contextlib
import gc
import logging
import os
import resource
import signal
import socket
import sys
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from pydicombatch.core.errors import ConfigError, as_fatal
from pydicombatch.core.model import Identifiers
from pydicombatch.receive.process import siblings, wire
from pydicombatch.receive.process.line import Line
from pydicombatch.receive.server.outlet import Kept, Kind
from pydicombatch.receive.server.service import Service
from pydicombatch.receive.server.settings import Settings

_HOLD_BACK = 0.04  # seconds that an announcement may wait for others
_HASTE = 0.05  # seconds in which none waits, when somebody waits for it
_MOST_TOGETHER = 64
_MOST_LINES = 20  # of the log, a second: a peer must not fill it
_SWITCH = 0.001  # seconds a thread may keep the interpreter from the loop
_COLLECT = (20000, 20, 20)  # few objects live long here, and fewer in cycles
_READ_SIZE = 65536
# descriptors: ours; the socket of a peer, its file, and a line to the engine if it was adopted
_SPARE, _PER_PEER, _PER_ADOPTION = 32, 2, 2


def main(*descriptors: int) -> None:
    """Run one process of the receiver for each of these: our end of a channel to the engine."""
    for one in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(one, signal.SIG_IGN)  # the engine decides when we end, or its death does
    sys.setswitchinterval(_SWITCH)
    gc.freeze()
    gc.set_threshold(*_COLLECT)
    channels = [socket.socket(fileno=one) for one in descriptors]
    lines = wire.Lines()
    messages: list[wire.Message] = []
    while not messages:
        data = channels[0].recv(_READ_SIZE)
        if not data:
            return
        messages = lines.take(data)
    channel = channels[0]
    try:
        settings = _affordable(Settings.from_json(messages[0]))
        place = siblings.multiply(channels)
        channel = place.channel
        service = Service(
            siblings.share_of(settings, place.number, len(channels)),
            siblings.door_of(place, settings),
        )
    except ConfigError as error:
        channel.sendall(wire.encode({"error": [error.problem, error.remedy]}))
        return
    except Exception as exc:  # noqa: BLE001 - no thread or no memory left: the engine tells it
        fatal = as_fatal(exc)
        channel.sendall(wire.encode({"fatal": [fatal.problem, fatal.remedy]}))
        os._exit(1)  # threads that did start would keep us
    engine = Engine(channel, lines if not place.number else wire.Lines(), service)
    logging.getLogger().addHandler(_Forward(engine.tell))
    logging.getLogger().setLevel(logging.INFO)
    engine.tell({"ready": [os.getpid(), service.port]})
    service.attach(channel, engine.on_ready)
    service.run(engine, engine.on_turn)
    engine.end()
    siblings.reap(place)


def _affordable(settings: Settings) -> Settings:
    """Take as many descriptors as we may have, and no more peers than they are enough for."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    each = _PER_PEER + (not settings.listens)
    wanted = _SPARE + each * settings.limits.connections
    soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    most = max(1, min(settings.limits.connections, (soft - _SPARE) // each))
    return replace(settings, limits=replace(settings.limits, connections=most))


class Engine:
    """The engine, as the receiver's process sees it: port `Outlet` and control messages.

    Parameters
    ----------
    channel
        Our end of the socket pair.
    lines
        What was read of it so far.
    service
        The receiver.
    """

    def __init__(self, channel: socket.socket, lines: wire.Lines, service: Service) -> None:
        channel.settimeout(0)
        self._channel = channel
        self._lines = lines
        self._service = service
        self._unsent = bytearray()
        self._arrivals: list[list[Any]] = []  # packed: what instances are, and which
        self._untold = 0  # instances of them
        self._since = 0.0
        self._hastens_until = 0.0
        self._untaken = 0
        self._asked: dict[int, Callable[[tuple[int, ...]], None]] = {}
        self._questions = 0
        self._refused = 0
        self._descriptors: deque[list[int]] = deque()  # that came with messages
        self._act: dict[str, Callable[[wire.Message], None]] = {
            "expect": lambda m: service.expect(wire.unpack_expectation(m["expect"])),
            "settle": lambda m: service.settle(m["settle"]),
            "hasten": lambda _: self._hasten(),
            "sync": lambda m: self.tell({"sync": m["sync"]}),
            "taken": self._on_taken,
            "answer": self._on_answer,
            "adopt": lambda m: self._adopt(m["adopt"]),
            "close": lambda _: service.stop(),
        }

    def announce(self, kind: Kind, kept: Sequence[Kept]) -> None:
        """Tell of instances that are durable in the spool; never blocks."""
        self._untaken += len(kept)
        if not self._arrivals:
            self._since = time.monotonic()
        self._arrivals.append([wire.pack_kind(kind), kept])
        self._untold += len(kept)
        if self._untold >= _MOST_TOGETHER:
            self._tell_arrivals()

    def backlog(self) -> int:
        """Return how many announcements were not taken yet."""
        return self._untaken

    def ask(self, instance: Identifiers, decide: Callable[[tuple[int, ...]], None]) -> None:
        """Find requests sent earlier that name this instance; `decide` runs in the loop."""
        self._questions += 1
        self._asked[self._questions] = decide
        self.tell({"ask": [self._questions, wire.pack_identifiers(instance)]})

    def room(self, *, enough: bool) -> None:
        """Tell that the spool's file system has fallen below its floor, or has room again."""
        self.tell({"room": enough})

    def tell(self, message: wire.Message) -> None:
        """Send a message, after what was announced before."""
        self._tell_arrivals()
        self._unsent += wire.encode(message)
        self._flush()

    def on_ready(self) -> None:
        """Do what the engine says; when it is gone, so are we."""
        try:
            data, came, flags, _ = socket.recv_fds(self._channel, _READ_SIZE, _PER_ADOPTION)
            if came or flags & socket.MSG_CTRUNC:  # of one message, as many as there is room for
                self._descriptors.append(came)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            os._exit(1)  # what is acknowledged is durable, the rest was never acknowledged
        for message in self._lines.take(data):
            for name in message:
                self._act[name](message)

    def on_turn(self) -> float:
        """Tell what was held back; return for how many seconds the loop may sleep."""
        if self._service.refused() != self._refused:
            self._refused = self._service.refused()
            self.tell({"refused": self._refused})
        if self._unsent:
            self._flush()
        if not self._arrivals:
            return _HOLD_BACK if self._unsent else 1.0
        now = time.monotonic()
        left = self._since + _HOLD_BACK - now
        if left <= 0 or now < self._hastens_until:
            self._tell_arrivals()
            self._flush()
        return max(0.001, left)

    def end(self) -> None:
        """Say that this was all."""
        self.tell({"refused": self._service.refused()})
        self.tell({"closed": True})
        self._channel.settimeout(10.0)
        with contextlib.suppress(OSError):  # the engine has gone
            if self._unsent:
                self._channel.sendall(bytes(self._unsent))

    def _hasten(self) -> None:
        """Hold nothing back; what was answered just now is told by the loop in a moment."""
        self._hastens_until = time.monotonic() + _HASTE

    def _tell_arrivals(self) -> None:
        if self._arrivals:
            self._unsent += wire.encode({"arrivals": self._arrivals})
            self._arrivals.clear()
            self._untold = 0

    def _flush(self) -> None:
        try:
            sent = self._channel.send(self._unsent) if self._unsent else 0
        except BlockingIOError:
            return
        except OSError:
            os._exit(1)
        del self._unsent[:sent]

    def _adopt(self, about: list[Any]) -> None:
        """Serve an association; the two descriptors that belong to it came with the message."""
        sockets = [socket.socket(fileno=one) for one in self._descriptors.popleft()]
        if len(sockets) < _PER_ADOPTION:  # no room for them: the engine sees that they are gone
            for one in sockets:
                one.close()
            return
        connection, line = sockets
        self._service.adopt(connection, wire.unpack_adoption(about), Line(line, self._service))

    def _on_taken(self, message: wire.Message) -> None:
        self._untaken -= message["taken"]

    def _on_answer(self, message: wire.Message) -> None:
        question, requests = message["answer"]
        decide = self._asked.pop(question, None)
        if decide is not None:
            decide(tuple(requests))


class _Forward(logging.Handler):
    """Hands log lines to the engine; they carry no value of a data set (`core.log`)."""

    def __init__(self, tell: Callable[[wire.Message], None]) -> None:
        super().__init__()
        self._tell = tell
        self._second = 0
        self._lines = 0

    def emit(self, record: logging.LogRecord) -> None:
        """Forward a line, unless there were too many in this second."""
        second = int(record.created)
        if second != self._second:
            self._second, self._lines = second, 0
        self._lines += 1
        if self._lines <= _MOST_LINES:
            self._tell({"log": [record.name, record.levelno, record.getMessage()]})
