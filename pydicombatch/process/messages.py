"""What a run and its workers say to each other: one pickled value behind its length."""

import os
import pickle
import select
import struct
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydicombatch.core.model import Identifiers

_LENGTH = struct.Struct("<Q")
_PIECE = 1 << 16  # bytes


class LostError(Exception):
    """The other side has ended, or does not answer."""


@dataclass(frozen=True, slots=True)
class Job:
    """One file to anonymize."""

    source: Path
    target: Path  # not there yet; appears whole or not at all
    scratch: Path | None = None  # decompress into this file first; it lies among identified data
    paths: tuple[str, ...] | None = None  # elements whose anonymized values are wanted;
    # None: it is not placed by its values, nothing of it is wanted, and it may name no instance


@dataclass(frozen=True, slots=True)
class Made:
    """An anonymized file, durable; all that is said of it is anonymized, too.

    Without `Job.paths` nothing is said but why it was kept compressed.
    """

    identifiers: Identifiers = field(default_factory=lambda: Identifiers("", ""))
    values: dict[str, str] = field(default_factory=dict)
    size: int = 0  # bytes
    sha256: str = ""  # hex
    source_sha256: str = ""  # hex
    kept: str = ""  # why it is as compressed as before, although it was to be decompressed


@dataclass(frozen=True, slots=True)
class Refused:
    """There is no anonymized file; the reason is a sentence without any value."""

    reason: str
    not_dicom: bool = False
    errno: int = 0  # of a disk that could not be written: then it is not the instance's fault


def send(handle: int, message: object) -> None:
    """Write a message.

    Raises
    ------
    LostError
        If nobody reads any more.
    """
    content = pickle.dumps(message)
    view = memoryview(_LENGTH.pack(len(content)) + content)
    try:
        while view:
            view = view[os.write(handle, view) :]
    except OSError as exc:
        raise LostError from exc


def receive(handle: int, seconds: float | None = None) -> Any:  # noqa: ANN401 - what was sent
    """Wait for a message; for so many seconds at most.

    Raises
    ------
    LostError
        If the other side has ended, or the time is over.
    """
    end = None if seconds is None else time.monotonic() + seconds
    (length,) = _LENGTH.unpack(_read(handle, _LENGTH.size, end))
    return pickle.loads(_read(handle, length, end))  # noqa: S301 - from our own child or parent


def _read(handle: int, length: int, end: float | None) -> bytes:
    content = bytearray()
    while len(content) < length:
        if end is not None:
            _wait(handle, end - time.monotonic())
        try:
            piece = os.read(handle, min(_PIECE, length - len(content)))
        except OSError as exc:
            raise LostError from exc
        if not piece:
            raise LostError
        content += piece
    return bytes(content)


def _wait(handle: int, seconds: float) -> None:
    poll = select.poll()
    poll.register(handle, select.POLLIN)
    if not poll.poll(max(0.0, seconds) * 1000):
        raise LostError
