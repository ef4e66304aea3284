"""The receiver for instances that come back on our own associations (C-GET): no port is opened."""

import threading
import time
from collections.abc import Callable
from pathlib import PurePath

from pydicombatch.core.attribution import Expectation
from pydicombatch.core.element_walk import UnreadableError
from pydicombatch.core.log import EventLog
from pydicombatch.core.model import Arrival, Identifiers, Origin
from pydicombatch.receive.server import header
from pydicombatch.receive.server.admission import Meter
from pydicombatch.receive.server.commit import seal
from pydicombatch.receive.server.desk import Desk
from pydicombatch.receive.server.directory import SpoolDirectory
from pydicombatch.receive.server.incoming import (
    EMPTY,
    NO_ROOM,
    UNREADABLE,
    UNSOLICITED,
    Incoming,
    Refusal,
)
from pydicombatch.receive.server.inspect import inspect
from pydicombatch.receive.server.settings import Durability, Settings
from pydicombatch.receive.upperlayer.command import C_STORE_RQ, SUCCESS, Command
from pydicombatch.receive.upperlayer.events import StoreBegun

Retained = Callable[[Identifiers], tuple[int, ...]]
LOOK_AT_ROOM = 0.25  # seconds between two looks at the free space
TOO_LARGE = Refusal(0xA700, "Instance is larger than any that is taken")

log = EventLog(__name__)


class DirectReceiver:
    """Ports `Receiver` and `Sink`: instances end up in the spool as those of a C-MOVE do.

    Each is written, judged, made durable and announced by the thread that reads it. Nothing
    listens: the archive answers on the connection that we opened.

    Parameters
    ----------
    settings
        What our storage SCP would be told; port and titles of peers do not matter.
    retained
        Ledger ids of requests sent earlier that name an instance.
    """

    def __init__(self, settings: Settings, retained: Retained) -> None:
        self._settings = settings
        self._retained = retained
        self._desk = Desk(settings.originator or settings.aet)
        self._lock = threading.Lock()
        self._meter = Meter(settings.megabytes_per_second * 1e6)
        self._announce: Callable[[Arrival], None] = _nobody
        self._directory: _SharedDirectory | None = None
        self._refused = 0
        self._enough_room = True
        self._next_look = 0.0

    def start(self, announce: Callable[[Arrival], None]) -> None:
        """Be ready; call `announce` for every instance that is durable in the spool."""
        self._announce = announce
        self._directory = _SharedDirectory(self._settings.spool, self._settings.run)

    def expect(self, expectation: Expectation) -> None:
        """Accept the instances of this request from now on."""
        with self._lock:
            self._desk.expect(expectation)

    def settle(self, request: int) -> None:
        """Forget this request."""
        with self._lock:
            self._desk.settle(request)

    def refused(self) -> int:
        """Return how many instances nobody asked for were refused so far."""
        return self._refused

    def is_full(self) -> bool:
        """Tell whether instances are refused because the disk of the spool is too full."""
        return not self._has_room()

    def close(self) -> None:
        """Take nothing more."""
        directory, self._directory = self._directory, None
        if directory is not None:
            directory.close()

    def begin(
        self, sop_class_uid: str, sop_instance_uid: str, transfer_syntax_uid: str, origin: Origin
    ) -> "_Deposit":
        """Make place for an instance; it may be refused from the start."""
        if self._directory is None:
            raise RuntimeError("the receiver is not open")
        titles = (sop_class_uid, sop_instance_uid, None, None)
        command = Command(C_STORE_RQ, 0, True, *titles)  # noqa: FBT003 - it has a data set
        begun = StoreBegun(command, transfer_syntax_uid)
        incoming = Incoming(begun, origin, self._directory, header.Reader().read, self._consider)
        if not self._has_room():
            incoming.refuse(NO_ROOM)
        return _Deposit(self, self._directory, incoming)

    def count(self, size: int) -> None:
        """Note that so many bytes have come, and rest if there were too many for the limit."""
        if not self._settings.megabytes_per_second:
            return
        now = time.monotonic()
        with self._lock:
            self._meter.count(size, now)
            seconds = self._meter.wait(now)
        time.sleep(seconds)

    def keep(self, directory: "_SharedDirectory", incoming: Incoming) -> Refusal | None:
        """Make an instance durable and announce it; return why not, if not."""
        refusal = incoming.refusal or self._checked(incoming)
        if refusal is None:
            name = directory.final_name(incoming.requests or ())
            syncs = self._settings.durability is not Durability.NONE
            error = seal(directory, incoming, name, syncs=syncs)
            if error is None:
                self._tell(incoming, name)
                return None
            log.warning("store.failed", error=type(error).__name__)
            refusal = NO_ROOM
        incoming.refuse(refusal)
        if refusal is UNSOLICITED:
            with self._lock:
                self._refused += 1
        else:
            log.warning("store.refused", status=f"{refusal.status:04X}", reason=refusal.comment)
        return refusal

    @property
    def largest(self) -> int:
        """Bytes of the largest instance that is taken."""
        return self._settings.limits.largest_object

    def _checked(self, incoming: Incoming) -> Refusal | None:
        """Look at an instance from beginning to end, unless its first bytes told that it ends."""
        if not incoming.size:
            return EMPTY
        if incoming.is_whole():
            return None
        try:
            found = inspect(
                incoming.descriptor,
                incoming.meta_size,
                incoming.transfer_syntax_uid,
                incoming.identifiers,
            )
        except (UnreadableError, ValueError):
            return UNREADABLE
        except OSError:
            return NO_ROOM
        incoming.inspected(*found)
        return incoming.refusal

    def _consider(self, incoming: Incoming) -> None:
        """Decide whose instance it is, as soon as its identifiers are known."""
        instance = incoming.identifiers
        if instance is None:
            return
        with self._lock:
            found = self._desk.decide(instance, incoming.origin)
        found = found or self._retained(instance)
        if not found and not self._settings.unsolicited:
            incoming.refuse(UNSOLICITED)
        incoming.decided(found)

    def _tell(self, incoming: Incoming, name: str) -> None:
        if incoming.identifiers is not None:
            self._announce(
                Arrival(
                    PurePath(name),
                    incoming.identifiers,
                    incoming.transfer_syntax_uid,
                    incoming.file_size,
                    incoming.requests or (),
                )
            )

    def _has_room(self) -> bool:
        directory, now = self._directory, time.monotonic()
        if directory is None or now < self._next_look:
            return self._enough_room
        self._next_look = now + LOOK_AT_ROOM
        enough = directory.free() >= self._settings.floor
        if enough != self._enough_room:
            log.warning("spool.room", reason="enough again" if enough else "below the floor")
        self._enough_room = enough
        return enough


class _Deposit:
    """One instance on its way; used by one thread."""

    def __init__(
        self, receiver: DirectReceiver, directory: "_SharedDirectory", incoming: Incoming
    ) -> None:
        self._receiver = receiver
        self._directory = directory
        self._incoming = incoming

    def write(self, pieces: list[memoryview]) -> None:
        """Append pieces of the data set."""
        self._incoming.write(pieces)
        if self._incoming.size > self._receiver.largest and self._incoming.refusal is None:
            self._incoming.refuse(TOO_LARGE)
        self._receiver.count(sum(map(len, pieces)))

    def finish(self) -> tuple[int, str]:
        """Return DIMSE status and comment; 0x0000 only if the instance is durable."""
        refusal = self._receiver.keep(self._directory, self._incoming)
        return (SUCCESS, "") if refusal is None else (refusal.status, refusal.comment)

    def drop(self) -> None:
        """Forget what came."""
        self._incoming.refuse(UNREADABLE)


class _SharedDirectory(SpoolDirectory):
    """A spool directory that several threads write into."""

    def __init__(self, path: str, run: str) -> None:
        self._changing = threading.Lock()
        super().__init__(path, run)

    def create(self) -> tuple[str, int]:
        """Create a file that is not acknowledged; return its name and descriptor."""
        with self._changing:
            return super().create()

    def final_name(self, requests: tuple[int, ...]) -> str:
        """Return the next free name."""
        with self._changing:
            return super().final_name(requests)


def _nobody(_: Arrival) -> None:
    """Hear of an instance before anybody wants to."""
