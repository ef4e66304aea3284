"""A library that stands between the program and the C library; see the sources."""

import os
import shutil
import struct
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import IntEnum
from hashlib import sha256
from pathlib import Path
from tempfile import gettempdir

import pytest

SOURCE = Path(__file__).with_name("shim.c")
FAT = Path(__file__).with_name("fat.c")
STALL = Path(__file__).with_name("stall.c")
COUNTERS = struct.Struct("<QQQ")  # struct shared
HEAD = struct.Struct("<IIQQQqIIII")  # struct record


class Call(IntEnum):
    """What is recorded; enum kind."""

    CREATE = 1
    WRITE = 2
    TRUNCATE = 3
    SYNC = 4
    LINK = 5
    RENAME = 6
    UNLINK = 7
    MKDIR = 8
    RMDIR = 9
    SEND = 10


@dataclass(frozen=True, slots=True)
class Event:
    """One call that has succeeded; a message is recorded before it is sent."""

    call: Call
    start: int  # both in one sequence of all calls
    end: int
    inode: int
    offset: int  # of a write; the new length of a truncation
    first: str  # path; the old one of a link or a rename
    second: str  # the new one
    data: bytes
    is_directory: bool


@dataclass(frozen=True)
class Shim:
    """Environment and record of one program run under the shim.

    Parameters
    ----------
    root
        Files below it are watched.
    folder
        Existing directory, outside of `root`, for the record.
    kill
        `N[:torn][:group]`: SIGKILL before the N-th watched call.
    fail
        `CALL:ERRNO:N:COUNT[:GLOB]`: these calls fail; COUNT 0 is for ever.
    unsync
        A glob of paths whose fsync does nothing: the program, mutated.
    """

    root: Path
    folder: Path
    kill: str = ""
    fail: str = ""
    unsync: str = ""

    def environment(self) -> dict[str, str]:
        """Return what to add to the environment of the program; begins a new record."""
        self._shared.write_bytes(bytes(COUNTERS.size))
        self._log.write_bytes(b"")
        values = {
            "LD_PRELOAD": str(library()),
            "SHIM_ROOT": str(self.root.resolve()),
            "SHIM_SHARED": str(self._shared),
            "SHIM_LOG": str(self._log),
            "SHIM_KILL": self.kill,
            "SHIM_FAIL": self.fail,
            "SHIM_UNSYNC": self.unsync,
        }
        return {name: value for name, value in values.items() if value}

    def calls(self) -> int:
        """Return how many watched calls there were."""
        return self._counters()[1]

    def chosen(self) -> int:
        """Return how many of them `fail` could have chosen."""
        return self._counters()[2]

    def events(self) -> list[Event]:
        """Return the record, in an order in which the calls can have had their effect."""
        return in_effect(_read(self._log.read_bytes()))

    def _counters(self) -> tuple[int, ...]:
        return COUNTERS.unpack(self._shared.read_bytes()[: COUNTERS.size])

    @property
    def _shared(self) -> Path:
        return self.folder / "shim.counters"

    @property
    def _log(self) -> Path:
        return self.folder / "shim.record"


def in_effect(events: Iterable[Event]) -> list[Event]:
    """Return calls as they ended, but directories before what lies in them.

    A call gets the number of its end when it is over: another thread may have put something into
    a directory before its maker got that number.
    """
    ended = sorted(events, key=lambda one: one.end)
    moments = {
        made.end: min(one.end for one in ended if one is made or _shows(one, made))
        for made in ended
        if made.call is Call.MKDIR
    }
    return sorted(
        ended, key=lambda one: (moments.get(one.end, one.end), one.end not in moments, one.first)
    )


def _shows(event: Event, made: Event) -> bool:
    """Whether a call that ended while a directory was being made proves that it was there."""
    within = any(path.startswith(f"{made.first}/") for path in (event.first, event.second))
    synced = event.call is Call.SYNC and event.first == made.first
    return made.start < event.end < made.end and (within or synced)


def library(file: Path = SOURCE) -> Path:
    """Compile a shim once per version of its source; fail the test when that is impossible."""
    source = file.read_bytes()
    name = f"pydicombatch-{file.stem}-{os.getuid()}-{sha256(source).hexdigest()[:16]}.so"
    built = Path(gettempdir()) / name
    if built.exists():
        return built
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        pytest.fail("no C compiler is installed: apt-get install gcc libc6-dev, or run bin/test")
    fresh = built.with_suffix(f".{os.getpid()}")
    arguments = ["-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-Werror"]
    done = subprocess.run(
        [compiler, *arguments, "-o", str(fresh), str(file), "-ldl", "-lpthread"],
        capture_output=True,
        text=True,
    )
    if done.returncode:
        pytest.fail(f"the shim does not compile:\n{done.stderr[-4000:]}")
    fresh.replace(built)  # another worker may have been as fast
    return built


def _read(raw: bytes) -> Iterator[Event]:
    place = 0
    while place < len(raw):
        size, call, start, end, inode, offset, *lengths, directory = HEAD.unpack_from(raw, place)
        parts, begin = [], place + HEAD.size
        for length in lengths:
            parts.append(raw[begin : begin + length])
            begin += length
        first, second = (part.decode() for part in parts[:2])
        yield Event(Call(call), start, end, inode, offset, first, second, parts[2], bool(directory))
        place += size
