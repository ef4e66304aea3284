"""The short way for small messages that are in memory as a whole, in compiled code where there is.

It takes only what is entirely ordinary and would be kept; everything else is left where it is, for
the state machine, which judges it. Nothing depends on it but speed.
"""

import contextlib
from collections.abc import Callable
from importlib import import_module
from types import ModuleType
from typing import NamedTuple, Protocol

from pydicombatch.core.file_meta import file_meta
from pydicombatch.core.model import Identifiers, Origin
from pydicombatch.receive.server import header
from pydicombatch.receive.server.directory import SpoolDirectory
from pydicombatch.receive.server.rapid import Model, Rapid
from pydicombatch.receive.upperlayer.command import C_STORE_RQ, SUCCESS, Command
from pydicombatch.receive.upperlayer.machine import Association
from pydicombatch.receive.upperlayer.negotiation import VERIFICATION

compiled: ModuleType | None
try:
    compiled = import_module("pydicombatch.receive.server._whole")
except ImportError:  # installed without a compiler
    compiled = None

_NOT_MINE, _EXPLICIT, _IMPLICIT = 0, 1, 2  # how a context encodes its data sets, as in _whole.c
_LONG_WAY = frozenset({header.DEFLATED, header.BIG_ENDIAN})
_NO_NUMBER = -1

Whole = tuple[int, int, int, int, int, str | None, int, tuple[str, ...]]


class Counter(Protocol):
    """Where instances are admitted and announced: the intake."""

    directory: SpoolDirectory

    def welcome(self, instance: Identifiers, origin: Origin, size: int) -> tuple[int, ...]:
        """Return the requests of an instance that may be kept at once; none: the long way."""

    def kept(
        self, name: str, found: Identifiers, syntax: str, size: int, requests: tuple[int, ...]
    ) -> None:
        """Announce an instance that is durable and acknowledged."""

    def rapid(self) -> Rapid | None:
        """Return what may take the next ones, if there is something."""

    @property
    def syncs(self) -> bool:
        """Whether durability is promised."""


class Peer(NamedTuple):
    """A connection, as its short way sees it."""

    descriptor: int  # of the socket, plain and not blocking
    association: Association
    origin: Callable[[Command], Origin]
    served: Callable[[bytes], None]  # see `rapid.Member`
    received: Callable[[int], None]


class Taken(NamedTuple):
    """What `Express.take` has done."""

    rest: memoryview  # not consumed
    unsent: bytes | None = b""  # of our answers; None: the peer has gone
    waits: bool = False  # whether the rest may become a whole message


class Express:
    """Keeps and answers messages of one association.

    Parameters
    ----------
    peer
        The connection; its association is open.
    max_pdu
        Longest P-DATA-TF that we take, bytes.
    longest
        Longest data set that goes this way, bytes.
    counter
        The intake.
    code
        The compiled module.
    """

    def __init__(
        self, peer: Peer, max_pdu: int, longest: int, counter: Counter, code: ModuleType
    ) -> None:
        self._peer = peer
        self._max_pdu = max_pdu
        self._longest = longest
        self._counter = counter
        self._parse = code.parse
        self._keep = code.keep
        contexts = peer.association.contexts
        self._syntaxes = {one: syntax for one, (_, syntax) in contexts.items()}
        self._kinds = kinds(contexts)

    def take(self, data: memoryview) -> Taken:
        """Take all whole messages that `data` begins with, as long as they are answered at once."""
        while len(data):
            found = self._parse(data, self._kinds, self._max_pdu, self._longest)
            if found is None:
                break
            if type(found) is int:
                return Taken(data, waits=True)
            answered = self._store(data, found)
            if answered is None:
                break
            sent, response = answered
            data = data[found[0] :]
            if sent != len(response):
                return Taken(data, None if sent < 0 else response[sent:])
        return Taken(data)

    def _store(self, data: memoryview, found: Whole) -> tuple[int, bytes] | None:
        """Keep an instance and answer; None if that is not for us, and nothing has happened."""
        total, begin, size, context, message_id, aet, number, named = found
        identifiers = Identifiers(*named)
        originator = None if number == _NO_NUMBER else number
        has_data_set = True
        command = Command(C_STORE_RQ, message_id, has_data_set, *named[:2], aet, originator)
        requests = self._counter.welcome(identifiers, self._peer.origin(command), size)
        if not requests:
            return None
        syntax = self._syntaxes[context]
        meta = file_meta(*named[:2], syntax)
        response = self._peer.association.respond(context, command, SUCCESS)
        kept = self._write(requests, meta, data[begin : begin + size], response)
        if kept is None:
            return None
        name, sent = kept
        self._counter.kept(name, identifiers, syntax, len(meta) + size, requests)
        rapid = self._counter.rapid()
        if rapid is not None and total == len(data) and sent == len(response):
            one = Model(
                data, self._kinds, self._max_pdu, self._longest, context, command, identifiers,
                syntax, requests,
            )  # fmt: skip
            rapid.enroll(self._peer.descriptor, one, self._respond, *self._peer[3:])
        return sent, response

    def _respond(self, context: int, command: Command) -> bytes:
        return self._peer.association.respond(context, command, SUCCESS)

    def _write(
        self, requests: tuple[int, ...], meta: bytes, data: memoryview, response: bytes
    ) -> tuple[str, int] | None:
        """Return the name and how much of the answer was sent; None if it could not be kept."""
        directory = self._counter.directory
        try:
            part, file = directory.create()
        except OSError:
            return None
        name = directory.final_name(requests)
        at, syncs = directory.descriptor, self._counter.syncs
        error, sent = self._keep(
            self._peer.descriptor, at, file, part, name, meta, data, response, syncs
        )
        if not error:
            return name, sent
        for one in (part, name):  # the long way meets the error again, and says so
            with contextlib.suppress(OSError):
                directory.remove(one)
        return None


def kinds(contexts: dict[int, tuple[str, str]]) -> bytes:
    """Say for every context id how its data sets are encoded, if the short way knows that."""
    found = bytearray(256)
    for number, (abstract, syntax) in contexts.items():
        if abstract != VERIFICATION and syntax not in _LONG_WAY:
            found[number] = _IMPLICIT if syntax == header.IMPLICIT else _EXPLICIT
    return bytes(found)
