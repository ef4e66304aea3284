"""The receiver in processes of its own, as the engine sees it: port `Receiver`."""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydicombatch.core.adoption import Adoption
from pydicombatch.core.attribution import Expectation
from pydicombatch.core.errors import ConfigError, FatalError, as_fatal
from pydicombatch.core.log import EventLog
from pydicombatch.core.model import Arrival
from pydicombatch.core.threads import begin
from pydicombatch.receive.process import wire
from pydicombatch.receive.process.channel import Channel, hear_all
from pydicombatch.receive.process.custody import Custody
from pydicombatch.receive.process.handover import Handover, Retained
from pydicombatch.receive.process.session import Session
from pydicombatch.receive.process.siblings import how_many, run_of
from pydicombatch.receive.process.spawn import Spawned, spawn, unable
from pydicombatch.receive.server.settings import Settings

_MOST_CRASHES, _CRASH_WINDOW = 5, 60.0  # more of them in so many seconds, and we give up
_PORT_TRIES, _PORT_WAIT = 20, 0.25  # seconds between two tries to open the port again
_LONGEST_SYNC = 60.0  # seconds until a message is in force, on a machine that is busy
_LONGEST_CLOSE = 120.0  # seconds until what is complete is acknowledged

log = EventLog(__name__)


class ProcessReceiver:
    """Starts the receiver's processes, steers them, restarts them when one has crashed.

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
        self._settings = replace(settings, processes=how_many(settings))
        self._retained = retained
        runs = frozenset(run_of(settings, one) for one in range(self._settings.processes))
        self._custody = Custody(Path(settings.spool), runs)
        self._expectations: dict[int, Expectation] = {}
        self._refused_before = 0
        self._changed = threading.Condition()
        self._sending = threading.Lock()
        self._sync, self._closing, self._closed = 0, False, False
        self._broken: FatalError | None = None
        self._crashes: deque[float] = deque(maxlen=_MOST_CRASHES)
        self._spawned: Spawned | None = None
        self._handover: Handover | None = None
        self._listener: threading.Thread | None = None

    @property
    def pids(self) -> list[int]:
        """The receiver's processes, the one that listens first; none before `start`."""
        return [channel.pid for channel in self._channels]

    def start(self, announce: Callable[[Arrival], None]) -> None:
        """Listen; call `announce` for every instance that is durable in the spool.

        Raises
        ------
        ConfigError
            If the port cannot be bound.
        """
        self._custody.begin()
        self._open()
        failed = unable("cannot hand over what it has received")
        self._handover = Handover(announce, self._retained, lambda: self._break(failed))
        self._listener = threading.Thread(target=self._listen, name="receiver-channel", daemon=True)
        begin(self._listener)

    def expect(self, expectation: Expectation) -> None:
        """Accept the instances of this request from now on; returns once that is in force.

        Raises
        ------
        FatalError
            If the receiver has crashed again and again, or hangs.
        """
        with self._changed:
            self._expectations[expectation.request] = expectation
            number = self._sync = self._sync + 1
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

    def hasten(self) -> None:
        """Announce at once what is kept: somebody waits for the last instances of a request."""
        self._send({"hasten": True})

    def adopt(self, connection: int, adoption: Adoption) -> Session:
        """Have the least busy process serve an association of ours (port `Adopter`)."""
        with self._sending:  # not while they are being restarted
            if not self._channels:
                raise ConnectionResetError
            return min(self._channels, key=lambda one: one.adopted).adopt(connection, adoption)

    def is_full(self) -> bool:
        """Tell whether instances are refused because the disk of the spool is too full."""
        return any(channel.full for channel in self._channels)

    def refused(self) -> int:
        """Return how many instances nobody asked for were refused so far."""
        return self._refused_before + sum(channel.refused for channel in self._channels)

    def close(self) -> None:
        """Stop listening; instances acknowledged so far have been announced."""
        if self._spawned is None or self._listener is None or self._handover is None:
            return
        with self._changed:
            self._closing = True
        self._send({"close": True})
        with self._changed:
            self._changed.wait_for(lambda: self._closed, _LONGEST_CLOSE)
        self._spawned.end()
        self._listener.join()
        self._handover.close()
        self._refused_before = self.refused()
        self._spawned.close()
        self._spawned = None

    # The processes

    @property
    def _channels(self) -> list[Channel]:
        return self._spawned.channels if self._spawned else []

    @property
    def _synced(self) -> int:
        """The last number that is in force in all of them."""
        return min((channel.synced for channel in self._channels), default=0)

    def _open(self) -> None:
        """Start the processes and wait until they listen."""
        counted = self._custody.counted  # a name that was announced would not be announced again
        self._spawned = spawn(replace(self._settings, port=self.port, counted=counted))
        self.port = self._spawned.port
        for channel in self._channels:
            log.info("receiver.started", port=self.port, pid=channel.pid)

    def _listen(self) -> None:
        """Read what the processes say; start others when one is gone without a word."""
        while True:
            self._read()
            with self._changed:
                closing = self._closed or self._closing
            if closing:
                self._end()
                return
            try:
                self._restart()
            except (ConfigError, FatalError, OSError) as exc:
                problem = as_fatal(exc).problem
                self._break(unable(f"cannot be restarted ({problem})"))
                self._find_unannounced()
                self._say_closed()
                log.warning("receiver.lost", reason=problem)
                return

    def _read(self) -> None:
        """Act on what is said until one of them is gone, or none has more to say."""
        for channel, message in self._spawned.said if self._spawned else ():
            self._act(channel, message)
        with suppress(OSError, ValueError, EOFError):
            hear_all(self._channels, self._act)

    def _end(self) -> None:
        """Announce what was acknowledged, told or not, and let `close` go on."""
        if self._spawned is not None:
            self._spawned.end()
        self._find_unannounced()
        self._say_closed()

    def _restart(self) -> None:
        log.error("receiver.crashed", pid=next(iter(self.pids), 0))
        old = self._spawned
        if old is not None:
            old.end()
        now = time.monotonic()
        if len(self._crashes) == _MOST_CRASHES and self._crashes[0] > now - _CRASH_WINDOW:
            raise unable("has crashed again and again")
        self._crashes.append(now)
        self._find_unannounced()
        refused = self.refused()
        with self._sending:
            self._open_again()
            self._tell_all()  # before anybody else tells them anything
        if old is not None:
            old.close()
        self.restarts += 1
        self._refused_before = refused

    def _tell_all(self) -> None:
        """Tell those that are new what the others knew."""
        with self._changed:
            known = [wire.pack_expectation(one) for one in self._expectations.values()]
            sync, closing = self._sync, self._closing
        for channel in self._channels:
            for one in known:
                channel.send({"expect": one})
            channel.send({"sync": sync, **({"close": True} if closing else {})})

    def _break(self, error: FatalError) -> None:
        """Let `expect` tell the engine that nothing will succeed."""
        with self._changed:
            self._broken = error
            self._changed.notify_all()

    def _say_closed(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _open_again(self) -> None:
        """Start others on the same port; somebody may hold it for a moment."""
        for _ in range(_PORT_TRIES):
            try:
                self._open()
            except ConfigError:
                time.sleep(_PORT_WAIT)
            else:
                return
        self._open()

    def _find_unannounced(self) -> None:
        """Announce what a process acknowledged and did not tell us of any more.

        Where the spool cannot be read, the next run does it.
        """
        if self._handover is not None:
            with suppress(OSError):
                self._handover.arrived(None, self._custody.unannounced())

    # What is said

    def _send(self, message: wire.Message) -> None:
        """Tell all of them; a restart tells all of it again to those that are new."""
        with self._sending:
            for channel in self._channels:
                channel.send(message)

    def _act(self, channel: Channel, message: wire.Message) -> None:
        for name, value in message.items():
            getattr(self, f"_on_{name}")(channel, value)

    def _on_arrivals(self, channel: Channel, packed: list[list[Any]]) -> None:
        together = [arrival for one in packed for arrival in wire.unpack_kept(one)]
        for arrival in together:
            self._custody.note(arrival)
        if self._handover is not None:
            self._handover.arrived(channel, together)

    def _on_ask(self, channel: Channel, question: list[Any]) -> None:
        if self._handover is not None:
            self._handover.ask(channel, question)

    def _on_sync(self, channel: Channel, number: int) -> None:
        with self._changed:
            channel.synced = max(channel.synced, number)
            self._changed.notify_all()

    def _on_refused(self, channel: Channel, count: int) -> None:
        channel.refused = count

    def _on_room(self, channel: Channel, enough: bool) -> None:  # noqa: FBT001 - a message
        before = self.is_full()
        channel.full = not enough
        if self.is_full() != before:
            log.warning("spool.room", reason="enough again" if enough else "below the floor")

    def _on_log(self, _: Channel, line: list[Any]) -> None:
        logging.getLogger(line[0]).log(line[1], "%s", line[2])

    def _on_closed(self, channel: Channel, _: object) -> None:
        channel.closed = True
