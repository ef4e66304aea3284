"""Messages that differ from the last one of their association in their ids alone, by the dozen.

Compiled code waits for all sockets, and keeps and answers such messages by itself; everything else
it leaves to those who read it. What it may do was decided for the message before.
"""

from collections.abc import Callable, Sequence
from dataclasses import fields
from errno import errorcode
from functools import lru_cache
from importlib import import_module
from types import ModuleType
from typing import NamedTuple

from pydicombatch.core.file_meta import file_meta
from pydicombatch.core.log import EventLog
from pydicombatch.core.model import Identifiers
from pydicombatch.receive.server import header
from pydicombatch.receive.server.directory import SpoolDirectory, joined
from pydicombatch.receive.server.incoming import NO_ROOM
from pydicombatch.receive.server.outlet import Kept, Kind
from pydicombatch.receive.upperlayer.command import SUCCESS, Command

compiled: ModuleType | None
try:
    compiled = import_module("pydicombatch.receive.server._whole")
except ImportError:  # installed without a compiler
    compiled = None

# bytes of a data set; a message as a whole fits into what is read at once (`loop.BUFFER`)
LARGEST = (1 << 20) - (1 << 16)
EXPLICIT, IMPLICIT = 1, 2  # how data sets are encoded, as in _whole.c
_LONG_WAY = frozenset({header.DEFLATED, header.BIG_ENDIAN})
_NO_NUMBER = -1
_NOTHING_ASKED = (_NO_NUMBER, _NO_NUMBER)
_LEAVES, _GONE, _MUTED = range(3)  # as in _whole.c
_HOLD_BACK = 5  # milliseconds that what is kept may wait to be announced

log = EventLog(__name__)

Announce = Callable[[Kind, Sequence[Kept]], None]


class Peer(NamedTuple):
    """A connection between two messages, as compiled code sees it."""

    descriptor: int  # of a plain socket that does not block
    context: int  # of its last message
    respond: Callable[[int, Command, int], bytes]
    # some were answered; with what of an answer was not sent
    served: Callable[[Kind, Sequence[Kept], bytes], None]
    received: Callable[[int], None]  # so many bytes came, into the buffer; 0: none will
    refused: Callable[[Kind, bytes], None]  # one could not be kept; with the answer
    asked: tuple[int, int] = _NOTHING_ASKED  # context and message id of a C-GET of ours


class Member(NamedTuple):
    """An association whose next message is expected to be like the last one."""

    peer: Peer
    kind: Kind
    command: Command


class Rapid:
    """The compiled server.

    Parameters
    ----------
    code
        The compiled module.
    epoll
        Descriptor of what all sockets are registered with.
    buffer
        Where it reads into.
    directory
        The spool.
    announce
        Called with the instances that were kept.
    syncs
        Whether durability is promised.
    together
        How many instances a thread makes durable at a time at most; 0: where syncs cost nothing,
        and are done at once.
    max_pdu, longest
        The longest P-DATA-TF and the longest data set that are taken, bytes.

    Raises
    ------
    OSError
        If no thread can be started.
    """

    def __init__(
        self,
        code: ModuleType,
        epoll: int,
        buffer: memoryview,
        directory: SpoolDirectory,
        announce: Announce,
        *,
        syncs: bool,
        together: int,
        max_pdu: int,
        longest: int,
    ) -> None:
        self._code = code
        self._buffer = buffer
        self._directory = directory
        self._announce = announce
        self._max_pdu = max_pdu
        self._longest = longest
        self._server = code.server(epoll, directory.descriptor, directory.run, syncs, together)
        self._members: dict[int, Member] = {}
        self._decisions = 0

    def enroll(self, peer: Peer, command: Command, kind: Kind) -> None:
        """Take what is like this message from now on, if it is of a kind that can be taken.

        Parameters
        ----------
        peer
            Who sent it.
        command, kind
            What was sent; it was kept.
        """
        found, syntax, requests = kind
        respond, context = peer.respond, peer.context
        if syntax in _LONG_WAY:
            return
        named = tuple(getattr(found, one.name) for one in fields(Identifiers))
        if not "".join(named).isascii() or not (command.originator_aet or "").isascii():
            return
        one, other, size = "1", "2", len(found.sop_instance_uid)
        meta, (place,) = _pattern(
            file_meta(found.sop_class_uid, one * size, syntax),
            file_meta(found.sop_class_uid, other * size, syntax),
            size,
        )
        first = command._replace(message_id=0x0101, sop_instance_uid=one * size)
        second = command._replace(message_id=0x0202, sop_instance_uid=other * size)
        response, places = _pattern(
            respond(context, first, SUCCESS), respond(context, second, SUCCESS), 2, size
        )
        number = command.originator_message_id
        taken = self._code.enroll(
            self._server,
            peer.descriptor,
            context,
            IMPLICIT if syntax == header.IMPLICIT else EXPLICIT,
            self._max_pdu,
            self._longest,
            *peer.asked,
            joined(requests).encode(),
            meta,
            place,
            response,
            *places,
            command.originator_aet,
            _NO_NUMBER if number is None else number,
            *(text.encode() for text in named),
        )
        if taken:
            self._members[peer.descriptor] = Member(peer, kind, command)

    def leave(self, peer: int) -> None:
        """Forget a peer whose socket is closed; what it sent last is kept all the same."""
        member = self._members.pop(peer, None)
        if member is not None:
            left = self._code.dismiss(self._server, peer, _GONE)
            if isinstance(left, int):
                self._members[left] = member

    def withdraw(self, peer: int) -> None:
        """Leave a peer to the others, the answer for what is being made durable, too.

        They have begun to send something else, and could not send all of it.
        """
        if self.keeps(peer):
            self._code.dismiss(self._server, peer, _MUTED)

    def keeps(self, peer: int) -> bool:
        """Whether an instance of this peer is being made durable: it waits for our answer."""
        return bool(self._code.sealing(self._server, peer))

    def idle(self) -> bool:
        """Whether nothing is being made durable."""
        return not self._code.sealing(self._server)

    def wait(self, seconds: float, allowance: int, decisions: int) -> list[int]:
        """Wait, keep, answer and announce; return the descriptors that are ready for others.

        Parameters
        ----------
        seconds
            How long at most.
        allowance
            How many instances may be kept.
        decisions
            A number that changes with whatever decides whose an instance is.
        """
        if decisions != self._decisions:
            self._decisions = decisions
            self._dismiss_all()
        served = self._code.serve(
            self._server,
            self._buffer,
            int(seconds * 1000) + 1,
            allowance,
            _HOLD_BACK,
            *self._directory.counters,
        )
        kept, unsent, failed, ready, peer, size, *self._directory.counters = served
        self._tell(kept, unsent, failed)
        if peer >= 0 and (gone := self._members.pop(peer, None)) is not None:
            gone.peer.received(max(0, size))
        for other in ready:
            if not self.keeps(other):
                self._members.pop(other, None)
        return list(ready)

    def _tell(
        self,
        kept: list[tuple[int, Kept]],
        unsent: dict[int, bytes],
        failed: list[tuple[int, int, str, int]],
    ) -> None:
        """Announce what is kept, and have what is not answered."""
        together: dict[int, list[Kept]] = {}
        for one, instance in kept:
            together.setdefault(one, []).append(instance)
        for one, instances in together.items():
            member = self._members[one]
            self._announce(member.kind, instances)
            member.peer.served(member.kind, instances, unsent.get(one, b""))
            if one < 0:
                del self._members[one]
        for one, message_id, uid, error in failed:
            log.warning("store.failed", error=errorcode.get(error, "OSError"))
            member = self._members.pop(one)
            command = member.command._replace(message_id=message_id, sop_instance_uid=uid)
            if one >= 0:
                peer = member.peer
                peer.refused(member.kind, peer.respond(peer.context, command, NO_ROOM.status))

    def _dismiss_all(self) -> None:
        """Have every association looked at again; what it has sent already is not lost."""
        for peer, member in list(self._members.items()):
            if peer < 0:  # it has gone already
                continue
            held = self._code.dismiss(self._server, peer, _LEAVES)
            if isinstance(held, int):
                continue  # it leaves when its last instance is kept
            del self._members[peer]
            if held:
                self._buffer[: len(held)] = held
                member.peer.received(len(held))

    def close(self) -> None:
        """Give everything back, when what came is kept."""
        self._tell(*self._code.finish(self._server))
        self._members.clear()
        self._server = None


@lru_cache(64)
def _pattern(one: bytes, other: bytes, *sizes: int) -> tuple[bytes, tuple[int, ...]]:
    """Return bytes with the places of what differs: pieces of these sizes, in this order."""
    differ = [at for at in range(len(one)) if one[at] != other[at]]
    places = tuple(differ[sum(sizes[:number])] for number in range(len(sizes)))
    spans = [
        at for place, size in zip(places, sizes, strict=True) for at in range(place, place + size)
    ]
    return (one, places) if differ == spans else (b"", (0,) * len(sizes))
