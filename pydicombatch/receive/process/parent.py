"""The receiver in a process of its own, as the engine sees it: port `Receiver`."""

import contextlib
import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from pydicombatch.core.attribution import Expectation
from pydicombatch.core.errors import ConfigError, FatalError
from pydicombatch.core.log import EventLog
from pydicombatch.core.model import Arrival, Identifiers
from pydicombatch.core.threads import begin
from pydicombatch.receive.process import wire
from pydicombatch.receive.process.custody import Custody
from pydicombatch.receive.process.spawn import Spawned, spawn, unable
from pydicombatch.receive.server.settings import Settings

Retained = Callable[[Identifiers], tuple[int, ...]]

_MOST_CRASHES, _CRASH_WINDOW = 5, 60.0  # more of them in so many seconds, and we give up
_PORT_TRIES, _PORT_WAIT = 20, 0.25  # seconds between two tries to open the port again
_LONGEST_SYNC = 60.0  # seconds until a message is in force, on a machine that is busy
_LONGEST_CLOSE = 120.0  # seconds until what is complete is acknowledged
_TAKEN_TOGETHER = 32  # announcements confirmed by one message
_READ_SIZE = 1 << 18

log = EventLog(__name__)


class ProcessReceiver:
    """Starts the receiver's process, steers it, restarts it when it has crashed.

    Parameters
    ----------
    settings
        All the receiver needs to know.
    retained
        Ledger ids of requests sent earlier that name an instance; called in a thread.
    """

    def __init__(self, settings: Settings, retained: Retained) -> None:
        self.port = settings.port
        self.restarts = 0
        self.full = False  # nothing is taken: the spool's file system is below its floor
        self._settings = settings
        self._retained = retained
        self._custody = Custody(Path(settings.spool), settings.run)
        self._expectations: dict[int, Expectation] = {}
        self._refused = self._refused_before = 0
        self._changed = threading.Condition()
        self._sending = threading.Lock()
        self._sync = self._synced = 0
        self._closing = self._closed = False
        self._broken: FatalError | None = None
        self._crashes: deque[float] = deque(maxlen=_MOST_CRASHES)
        self._spawned: Spawned | None = None
        self._arrivals: SimpleQueue[list[Arrival] | None] = SimpleQueue()
        self._questions: SimpleQueue[list[Any] | None] = SimpleQueue()
        self._threads: list[threading.Thread] = []

    @property
    def pid(self) -> int:
        """The receiver's process; 0 before `start`."""
        return self._spawned.process.pid if self._spawned else 0

    def start(self, announce: Callable[[Arrival], None]) -> None:
        """Listen; call `announce` for every instance that is durable in the spool.

        Raises
        ------
        ConfigError
            If the port cannot be bound.
        """
        self._custody.begin()
        lines = self._open()
        self._threads = [
            threading.Thread(target=target, args=args, name=name, daemon=True)
            for target, args, name in (
                (self._listen, (lines,), "receiver-channel"),
                (self._announcing, (announce,), "receiver-arrivals"),
                (self._answering, (), "receiver-questions"),
            )
        ]
        for thread in self._threads:
            begin(thread)

    def expect(self, expectation: Expectation) -> None:
        """Accept the instances of this request from now on; returns once that is in force.

        Raises
        ------
        FatalError
            If the receiver has crashed again and again, or hangs.
        """
        with self._changed:
            self._expectations[expectation.request] = expectation
            self._sync += 1
            number = self._sync
        self._send({"expect": wire.pack_expectation(expectation), "sync": number})
        with self._changed:
            self._changed.wait_for(lambda: self._synced >= number or self._broken, _LONGEST_SYNC)
            if self._broken is not None:
                raise self._broken
            if self._synced < number:
                raise FatalError(
                    "The receiver does not answer", "Look at the disk of the state directory"
                )

    def settle(self, request: int) -> None:
        """Forget this request; its late instances are welcome as long as the ledger says so."""
        with self._changed:
            self._expectations.pop(request, None)
        self._send({"settle": request})

    def is_full(self) -> bool:
        """Tell whether instances are refused because the disk of the spool is too full."""
        return self.full

    def refused(self) -> int:
        """Return how many instances nobody asked for were refused so far."""
        return self._refused_before + self._refused

    def close(self) -> None:
        """Stop listening; instances acknowledged so far have been announced."""
        spawned = self._spawned
        if spawned is None:
            return
        with self._changed:
            self._closing = True
        self._send({"close": True})
        with self._changed:
            self._changed.wait_for(lambda: self._closed, _LONGEST_CLOSE)
        (self._spawned or spawned).end()
        self._threads[0].join()
        self._questions.put(None)
        self._arrivals.put(None)
        for thread in self._threads[1:]:
            thread.join()
        (self._spawned or spawned).channel.close()
        self._spawned = None

    # The process

    def _open(self) -> wire.Lines:
        """Start a process and wait until it listens."""
        spawned = spawn(replace(self._settings, port=self.port))
        self._spawned, self.port = spawned, spawned.port
        log.info("receiver.started", port=self.port, pid=self.pid)
        for message in spawned.messages[1:]:
            self._act(message)
        return spawned.lines

    def _listen(self, lines: wire.Lines) -> None:
        """Read what the process says; start another when it is gone without a word."""
        while True:
            self._read(lines)
            with self._changed:
                if self._closed or self._closing:
                    self._find_unannounced()
                    self._closed = True
                    self._changed.notify_all()
                    return
            try:
                lines = self._restart()
            except (ConfigError, FatalError) as error:
                self._break(unable(f"cannot be restarted ({error.problem})"))
                self._on_closed(None)
                log.warning("receiver.lost", reason=error.problem)
                return

    def _read(self, lines: wire.Lines) -> None:
        spawned = self._spawned
        while spawned is not None and not self._closed:
            try:
                data = spawned.channel.recv(_READ_SIZE)
                messages = lines.take(data)
            except (OSError, ValueError):
                return
            if not data:
                return
            for message in messages:
                self._act(message)

    def _restart(self) -> wire.Lines:
        log.error("receiver.crashed", pid=self.pid)
        old = self._spawned
        if old is not None:
            old.end()
        now = time.monotonic()
        if len(self._crashes) == _MOST_CRASHES and self._crashes[0] > now - _CRASH_WINDOW:
            raise unable("has crashed again and again")
        self._crashes.append(now)
        self._find_unannounced()
        with self._sending:
            lines = self._open_again()
        if old is not None:
            old.channel.close()
        self.restarts += 1
        self._refused_before, self._refused = self.refused(), 0
        self.full = False  # it tells us if it is so
        with self._changed:
            known = [wire.pack_expectation(one) for one in self._expectations.values()]
            sync = self._sync
        for one in known:
            self._send({"expect": one})
        self._send({"sync": sync})
        return lines

    def _break(self, error: FatalError) -> None:
        """Let `expect` tell the engine that nothing will succeed."""
        with self._changed:
            self._broken = error
            self._changed.notify_all()

    def _open_again(self) -> wire.Lines:
        """Start another process on the same port; somebody may hold it for a moment."""
        for _ in range(_PORT_TRIES):
            try:
                return self._open()
            except ConfigError:
                time.sleep(_PORT_WAIT)
        return self._open()

    def _find_unannounced(self) -> None:
        """Announce what the process acknowledged and did not tell us of any more."""
        self._arrivals.put(self._custody.unannounced())

    # What is said

    def _send(self, message: wire.Message) -> None:
        with self._sending, contextlib.suppress(OSError):  # gone: a restart tells all of it again
            if self._spawned is not None:
                self._spawned.channel.sendall(wire.encode(message))

    def _act(self, message: wire.Message) -> None:
        for name, value in message.items():
            getattr(self, f"_on_{name}")(value)

    def _on_arrivals(self, packed: list[list[Any]]) -> None:
        together = [wire.unpack_arrival(one) for one in packed]
        for arrival in together:
            self._custody.note(arrival)
        self._arrivals.put(together)

    def _on_ask(self, question: list[Any]) -> None:
        self._questions.put(question)

    def _on_sync(self, number: int) -> None:
        with self._changed:
            self._synced = max(self._synced, number)
            self._changed.notify_all()

    def _on_refused(self, count: int) -> None:
        self._refused = count

    def _on_room(self, enough: bool) -> None:  # noqa: FBT001 - a message
        self.full = not enough
        log.warning("spool.room", reason="enough again" if enough else "below the floor")

    def _on_log(self, line: list[Any]) -> None:
        name, level, text = line
        logging.getLogger(name).log(level, "%s", text)

    def _on_closed(self, _: object) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    # Threads, so that a slow engine delays answers, not messages

    def _announcing(self, announce: Callable[[Arrival], None]) -> None:
        while (together := self._arrivals.get()) is not None:
            for first in range(0, len(together), _TAKEN_TOGETHER):
                some = together[first : first + _TAKEN_TOGETHER]
                for arrival in some:
                    self._hand_over(arrival, announce)
                self._send({"taken": len(some)})

    def _hand_over(self, arrival: Arrival, announce: Callable[[Arrival], None]) -> None:
        try:
            announce(arrival)
        except Exception as exc:  # noqa: BLE001 - it stays in the spool for the next run
            log.warning("announce.failed", error=type(exc).__name__)
            self._break(unable("cannot hand over what it has received"))

    def _answering(self) -> None:
        while (question := self._questions.get()) is not None:
            number, identifiers = question
            try:
                requests = self._retained(Identifiers(*identifiers))
            except Exception as exc:  # noqa: BLE001 - the archive may send it again
                log.warning("retained.failed", error=type(exc).__name__)
                requests = ()
            self._send({"answer": [number, list(requests)]})
