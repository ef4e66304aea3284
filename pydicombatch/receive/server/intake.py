"""What becomes of a data set: considered, checked, kept, announced, answered. In that order."""

import time
from collections import deque
from collections.abc import Callable
from functools import partial

from pydicombatch.core.element_walk import UnreadableError
from pydicombatch.core.log import EventLog
from pydicombatch.core.model import Origin
from pydicombatch.receive.server import rapid
from pydicombatch.receive.server.commit import Committer, Job
from pydicombatch.receive.server.desk import Desk
from pydicombatch.receive.server.directory import SpoolDirectory
from pydicombatch.receive.server.header import Reader
from pydicombatch.receive.server.incoming import (
    EMPTY,
    KEPT,
    NO_ROOM,
    UNREADABLE,
    UNSOLICITED,
    Incoming,
    Refusal,
)
from pydicombatch.receive.server.inspect import Inspected, inspect
from pydicombatch.receive.server.lane import Lane, Post
from pydicombatch.receive.server.outlet import Kept, Kind, Outlet
from pydicombatch.receive.server.rapid import Peer, Rapid
from pydicombatch.receive.server.settings import Settings
from pydicombatch.receive.upperlayer.events import StoreBegun

Answer = Callable[[int, str], None]
_LOOK_AT_ROOM = 0.25  # seconds between two looks at the free space

log = EventLog(__name__)


class Intake:
    """Every data set that is being received, and the rules it is received by.

    Parameters
    ----------
    settings
        What the receiver was told.
    directory, desk, outlet
        Where instances go, whose they are, and who is told.
    post
        Runs something in the loop's thread.
    """

    def __init__(
        self,
        settings: Settings,
        directory: SpoolDirectory,
        desk: Desk,
        outlet: Outlet,
        post: Post,
    ) -> None:
        self.refused = 0
        self._settings = settings
        self._directory = directory
        self._desk = desk
        self._read = Reader().read
        self._outlet = outlet
        self._committer = Committer(directory, settings.durability, post)
        self._lane = Lane(post, 1)
        self._active: set[Incoming] = set()
        self._withheld: deque[Answer] = deque()
        self._enough_room = True
        self._closing = False
        self._unanswered = 0
        self._kept_one = False
        self._next_look = 0.0
        self._rapid: Rapid | None = None

    def begin(self, begun: StoreBegun, origin: Origin) -> Incoming:
        """Make place for a data set; it may be refused from the start."""
        incoming = Incoming(begun, origin, self._directory, self._read, self._consider)
        self._look_at_room()
        if self._closing or not self._enough_room:
            incoming.refuse(NO_ROOM)
        self._active.add(incoming)
        return incoming

    def drop(self, incoming: Incoming) -> None:
        """Forget a data set whose association ended before it did."""
        self._active.discard(incoming)
        incoming.refuse(UNREADABLE)

    def finish(self, incoming: Incoming, answer: Answer) -> None:
        """Take a data set that is complete; `answer` is called with status and comment.

        Parameters
        ----------
        incoming
            The data set.
        answer
            Called in the loop's thread, at once or later, exactly once.
        """
        self._unanswered += 1
        if not incoming.size and incoming.refusal is None:
            incoming.refuse(EMPTY)

        def answered(status: int, comment: str) -> None:
            self._unanswered -= 1
            answer(status, comment)

        if incoming.refusal is not None or incoming.is_whole():
            self._settle(incoming, answered)
            return
        settle = partial(self._settle, incoming, answered)
        self._active.discard(incoming)  # its file is read by a thread now

        def inspected(found: Inspected) -> None:
            incoming.inspected(*found)
            settle()

        def failed(error: Exception) -> None:
            damaged = isinstance(error, UnreadableError | ValueError)
            incoming.refuse(UNREADABLE if damaged else NO_ROOM)
            settle()

        self._lane.submit(
            partial(
                inspect,
                incoming.descriptor,
                incoming.meta_size,
                incoming.transfer_syntax_uid,
                incoming.identifiers,
            ),
            inspected,
            failed,
        )

    def open(self, epoll: int, buffer: memoryview) -> Rapid | None:
        """Start the compiled server, where it may be used: without TLS, at any rate."""
        one, keeping = self._settings, self._committer
        if rapid.compiled is None or not one.compiled or one.tls or one.megabytes_per_second:
            return None
        try:
            self._rapid = Rapid(
                rapid.compiled,
                epoll,
                buffer,
                self._directory,
                self._outlet.announce,
                syncs=keeping.syncs,
                together=0 if keeping.free else keeping.together,
                max_pdu=one.max_pdu,
                longest=min(rapid.LARGEST, one.limits.largest_object),
            )
        except OSError as exc:
            log.warning("receiver.slower", error=type(exc).__name__)
        return self._rapid

    def allowance(self) -> int:
        """Return how many instances may be kept now without a further look."""
        self._look_at_room()
        if self._closing or not self._enough_room:
            return 0
        return max(0, self._settings.limits.unconfirmed - self._outlet.backlog())

    def decisions(self) -> int:
        """Return a number that changes with whatever decides whose an instance is."""
        return self._desk.decisions

    def offer(self, last: Incoming, peer: Peer) -> None:
        """Have what is like the last data set of a connection taken by compiled code."""
        if self._rapid is None or self._desk.tells_series_apart or last.refusal is not None:
            return
        found, requests = last.identifiers, last.requests
        if found is None or not requests or last.size > rapid.LARGEST:
            return
        # what the ledger said of one instance need not be true of the others
        if self._desk.decide(found, last.origin) == requests:
            self._rapid.enroll(peer, last.command, Kind(found, last.transfer_syntax_uid, requests))

    def tick(self) -> None:
        """Look at the free space, give answers that were held back, prepare for the next."""
        if self._kept_one:
            self._kept_one = False
            self._directory.prepare()
        self._look_at_room()
        while self._withheld and self._outlet.backlog() < self._settings.limits.unconfirmed:
            self._withheld.popleft()(0x0000, "")

    def idle(self) -> bool:
        """Whether nothing that is complete waits for its answer."""
        return not self._unanswered and (self._rapid is None or self._rapid.idle())

    def refuse_new(self) -> None:
        """Take no data set any more; what is complete is still answered, whoever listens."""
        self._closing = True
        while self._withheld:
            self._withheld.popleft()(0x0000, "")

    def close(self) -> None:
        """End the threads; what was not complete is removed."""
        self._lane.close()
        self._committer.close()
        for incoming in list(self._active):
            self.drop(incoming)

    def _consider(self, incoming: Incoming) -> None:
        """Decide whose instance it is, as soon as its identifiers are known."""
        instance = incoming.identifiers
        if instance is None:
            return
        found = self._desk.decide(instance, incoming.origin)
        if found:
            incoming.decided(found)
            return

        def decide(requests: tuple[int, ...]) -> None:
            if not requests and not self._settings.unsolicited and incoming.refusal is None:
                incoming.refuse(UNSOLICITED)
            incoming.decided(requests)

        self._outlet.ask(instance, decide)

    def _settle(self, incoming: Incoming, answer: Answer) -> None:
        """Go on with a data set that was looked at from beginning to end."""
        if incoming.refusal is not None:
            self._refuse(incoming, incoming.refusal, answer)
        elif incoming.requests is None:
            incoming.on_requests = partial(self._settle, incoming, answer)
        else:
            self._commit(incoming, incoming.requests, answer)

    def _commit(self, incoming: Incoming, requests: tuple[int, ...], answer: Answer) -> None:
        self._active.discard(incoming)
        name = self._directory.final_name(requests)

        def kept(error: OSError | None) -> None:
            if error is not None:
                log.warning("store.failed", error=type(error).__name__)
                incoming.refuse(NO_ROOM)
                self._refuse(incoming, NO_ROOM, answer)
                return
            if self._closing or self._outlet.backlog() < self._settings.limits.unconfirmed:
                answer(0x0000, "")  # first: the peer works on while we tell of it
            else:
                self._withheld.append(answer)
            self._announce(incoming, name, requests)
            self._kept_one = True

        self._committer.commit(Job(incoming, name, kept))

    def _announce(self, incoming: Incoming, name: str, requests: tuple[int, ...]) -> None:
        identifiers = incoming.identifiers
        if identifiers is not None:
            kind = Kind(identifiers, incoming.transfer_syntax_uid, requests)
            one = Kept(name, identifiers.sop_instance_uid, incoming.file_size)
            self._outlet.announce(kind, (one,))

    def _refuse(self, incoming: Incoming, refusal: Refusal, answer: Answer) -> None:
        self._active.discard(incoming)
        if refusal is UNSOLICITED:
            self.refused += 1
        elif refusal is not KEPT:
            log.warning("store.refused", status=f"{refusal.status:04X}", reason=refusal.comment)
        answer(refusal.status, refusal.comment)

    def _look_at_room(self) -> None:
        now = time.monotonic()
        if now < self._next_look:
            return
        self._next_look = now + _LOOK_AT_ROOM
        enough = self._directory.free() >= self._settings.floor
        if enough != self._enough_room:
            self._enough_room = enough
            self._outlet.room(enough=enough)
        if not enough:
            for incoming in self._active:
                if incoming.refusal is None:
                    incoming.refuse(NO_ROOM)
