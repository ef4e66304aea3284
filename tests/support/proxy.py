"""A TCP proxy that does to a connection what networks and firewalls do."""

import asyncio
import random
import socket
import struct
import threading
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any, Self

from tests.support.ports import LOOPBACK

PIECE = 65536  # bytes read at a time
NEVER = 1 << 62
P_DATA = 4  # PS3.8 9.3.5
LAST_OF_COMMAND = 3  # message control header, PS3.8 E.2


class End(Enum):
    """What happens to a connection after so many bytes."""

    FIN = "closed in order, in both directions"
    RST = "reset"
    HOLE = "nobody is told, nothing is carried any more"
    STALL = "nothing is carried for a while, then it goes on"
    HALF = "only the direction that reached the limit carries nothing any more"


@dataclass(frozen=True, slots=True)
class Fault:
    """What happens to one connection.

    Parameters
    ----------
    after
        Bytes carried in one of the directions until `end` happens.
    end
        What happens then.
    seconds
        Length of a stall.
    piece
        Most bytes carried at a time; 1 is one byte per segment.
    rate
        Bytes per second in each direction; 0 is no limit.
    is_refused
        Whether it is reset at once.
    """

    after: int = NEVER
    end: End = End.RST
    seconds: float = 0.0
    piece: int = PIECE
    rate: float = 0.0
    is_refused: bool = False


CLEAN = Fault()
Plan = Callable[[int], Fault]  # number of the connection, from 0 -> what happens to it


def always(fault: Fault) -> Plan:
    """Do the same to every connection."""
    return lambda _: fault


def first(count: int, fault: Fault) -> Plan:
    """Do it to the first connections only."""
    return lambda number: fault if number < count else CLEAN


@dataclass(frozen=True, slots=True)
class Mixture:
    """A seeded mixture of everything; the same number always suffers the same.

    Parameters
    ----------
    seed
        Which mixture.
    share
        Share of the connections that suffer at all.
    most
        Bytes until the fault, at most.
    seconds
        The longest stall.
    """

    seed: int
    share: float = 0.5
    most: int = 20000
    seconds: float = 0.5

    def __call__(self, number: int) -> Fault:
        """Choose what happens to a connection."""
        dice = random.Random(f"{self.seed}/{number}")
        if dice.random() >= self.share:
            return CLEAN
        # low numbers of bytes are as likely as high ones: many things happen early
        after = int(self.most ** dice.random())
        fault = Fault(after, dice.choice(list(End)), dice.uniform(0, self.seconds))
        shape = dice.random()
        if shape < 0.1:
            return Fault(is_refused=True)
        if shape < 0.2:
            return replace(fault, piece=1)
        return replace(fault, rate=200_000) if shape < 0.3 else fault


class Proxy:
    """Listens on a free port of loopback and carries connections to another; a context manager.

    Parameters
    ----------
    target
        Port on loopback.
    plan
        What happens to each connection; may be replaced while it runs.
    drop_every
        Reset the connection that carries every n-th DIMSE request of a client; 0 is never.
    forgets
        Seconds after which the target of a half-open connection hears a reset, and the client
        still nothing; 0 is never. Orthanc accepts one association at a time, and would wait.
    aet
        For a configuration that takes the proxy for the archive.
    port
        Where to listen; 0 is any free one.
    """

    def __init__(
        self,
        target: int,
        plan: Plan = always(CLEAN),  # noqa: B008 - it is frozen
        *,
        drop_every: int = 0,
        forgets: float = 0.0,
        aet: str = "",
        port: int = 0,
    ) -> None:
        self.plan = plan
        self.port = port
        self.aet = aet
        self.connections = 0
        self.faults = 0
        self.requests = 0
        self._target = target
        self._drop_every = drop_every
        self._forgets = forgets
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()

    def __enter__(self) -> Self:
        self._thread.start()
        self._call(self._listen())
        return self

    def __exit__(self, *_: object) -> None:
        self._call(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def refuse(self) -> None:
        """Listen no more, and reset what is connected: the archive is down."""
        self._call(self._close())

    def accept(self) -> None:
        """Listen again on the same port."""
        self._call(self._listen())

    def _call(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(
            self._serve, LOOPBACK, self.port, limit=PIECE, backlog=256
        )
        self.port = int(self._server.sockets[0].getsockname()[1])

    async def _close(self) -> None:
        server, self._server = self._server, None
        if server is not None:
            server.close()
        for writer in tuple(self._open):
            _reset(writer)

    async def _end(self) -> None:
        await self._close()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        fault = self.plan(self.connections)
        self.connections += 1
        if fault.is_refused:
            self.faults += 1
            _reset(writer)
            return
        try:
            there, back = await asyncio.open_connection(LOOPBACK, self._target, limit=PIECE)
        except OSError:
            _reset(writer)
            return
        both = (writer, back)
        self._open.update(both)
        try:
            await self._carry(reader, writer, there, back, fault)
        finally:
            self._open.difference_update(both)
            for one in both:
                _close(one)

    async def _carry(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        there: asyncio.StreamReader,
        back: asyncio.StreamWriter,
        fault: Fault,
    ) -> None:
        count = _Requests()
        hole = _Hole(back)
        tasks = [
            asyncio.create_task(self._pump(reader, back, fault, hole, count)),
            asyncio.create_task(self._pump(there, writer, fault, hole, None)),
        ]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
            for task in done:
                if isinstance(task.exception(), _Reset):
                    _reset(writer)
                    _reset(back)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _pump(
        self,
        source: asyncio.StreamReader,
        target: asyncio.StreamWriter,
        fault: Fault,
        hole: "_Hole",
        count: "_Requests | None",
    ) -> None:
        """Carry one direction until its end; raises `_Reset` to end both at once."""
        carried = 0
        with suppress(ConnectionError):
            while data := await source.read(min(fault.piece, max(1, fault.after - carried))):
                if hole.is_set():
                    continue  # swallowed
                if count is not None:
                    self._count(count, data)
                await _forward(target, data, fault.rate)
                carried += len(data)
                if carried >= fault.after:
                    fault = await self._strike(fault, hole)
            if not hole.is_set() and target.can_write_eof():
                target.write_eof()
                return
        if hole.is_set():
            await asyncio.Event().wait()  # as if the cable were cut: no FIN, no RST
        raise _Reset

    async def _strike(self, fault: Fault, hole: "_Hole") -> Fault:
        self.faults += 1
        if fault.end in {End.HOLE, End.HALF} and self._forgets:
            self._loop.call_later(self._forgets, hole.forget)
        match fault.end:
            case End.RST:
                raise _Reset
            case End.FIN:
                raise _Closed
            case End.STALL:
                await asyncio.sleep(fault.seconds)
            case End.HOLE:
                hole.set()
            case End.HALF:
                await asyncio.Event().wait()
        return replace(fault, after=NEVER)

    def _count(self, count: "_Requests", data: bytes) -> None:
        for _ in range(count.take(data)):
            self.requests += 1
            if self._drop_every and self.requests % self._drop_every == 0:
                self.faults += 1
                raise _Reset


class _Hole(asyncio.Event):
    """Set when nothing is carried any more and the client must not notice."""

    def __init__(self, back: asyncio.StreamWriter) -> None:
        super().__init__()
        self._back = back

    def forget(self) -> None:
        """Let the target hear of it."""
        self.set()
        _reset(self._back)


class _Reset(Exception):  # noqa: N818 - no error
    """End both directions with a reset."""


class _Closed(Exception):  # noqa: N818 - no error
    """End both directions in order."""


class _Requests:
    """Counts whole DIMSE commands in a stream of PDUs."""

    def __init__(self) -> None:
        self._rest = b""

    def take(self, data: bytes) -> int:
        """Return how many commands end in PDUs that are whole now."""
        self._rest += data
        found = 0
        while len(self._rest) >= 6:
            kind, length = struct.unpack(">BxI", self._rest[:6])
            if len(self._rest) < 6 + length:
                break
            body, self._rest = self._rest[6 : 6 + length], self._rest[6 + length :]
            found += kind == P_DATA and _ends_command(body)
        return found


def _ends_command(body: bytes) -> bool:
    place, found = 0, False
    while place + 6 <= len(body):
        (length,) = struct.unpack(">I", body[place : place + 4])
        found = found or body[place + 5] == LAST_OF_COMMAND
        place += 4 + length
    return found


async def _forward(target: asyncio.StreamWriter, data: bytes, rate: float) -> None:
    target.write(data)
    await target.drain()
    if rate:
        await asyncio.sleep(len(data) / rate)


def _reset(writer: asyncio.StreamWriter) -> None:
    with suppress(OSError, ValueError):
        connection = writer.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


def _close(writer: asyncio.StreamWriter) -> None:
    with suppress(OSError, RuntimeError):
        writer.close()
