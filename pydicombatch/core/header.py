"""What an instance says it is, read from its bytes. Pure, never recursive; whole or an error.

Element headers are walked to the end of the data set, so that one that is shorter than its own
lengths is recognised; values are read for the few elements that identify an instance.
"""

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

from pydicombatch.core import values
from pydicombatch.core.element_scan import TRANSFER_SYNTAX
from pydicombatch.core.element_walk import Buffer, Encoding, UnreadableError, encoding_at, walk
from pydicombatch.core.model import Identifiers

__all__ = [
    "Buffer",
    "Header",
    "UnreadableError",
    "behind_file_meta",
    "inflate",
    "of_data_set",
    "of_file",
]

IMPLICIT = frozenset({"1.2.840.10008.1.2", "1.2.840.113619.5.2"})  # the second is GE's, private
BIG_ENDIAN = "1.2.840.10008.1.2.2"
DEFLATED = frozenset(
    {"1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.4.95", "1.2.840.10008.1.2.4.205"}
)
CHARACTER_SET = 0x00080005
FIELDS = {
    0x00080016: "sop_class_uid",
    0x00080018: "sop_instance_uid",
    0x00080050: "accession_number",
    0x00100020: "patient_id",
    0x0020000D: "study_instance_uid",
    0x0020000E: "series_instance_uid",
}
WANTED = frozenset({CHARACTER_SET, *FIELDS})
LONGEST = 1024  # bytes of an identifying value; the standard allows 64
PREAMBLE = 128
INFLATED_KEPT = 16 << 20  # bytes of a deflated data set that are held in memory and walked
INFLATED_AT_MOST = 4 << 30  # bytes; a bomb is not inflated further
STEP = 1 << 20

Found: TypeAlias = dict[int, tuple[int, int]]


@dataclass(frozen=True, slots=True)
class Header:
    """Who an instance is and how it is encoded."""

    identifiers: Identifiers
    transfer_syntax_uid: str
    start: int  # offset of the data set in the buffer, File Meta Information left out


def of_data_set(data: Buffer, transfer_syntax_uid: str) -> Header:
    """Read the data set of a C-STORE; File Meta elements in front of it are stepped over.

    Parameters
    ----------
    data
        The encoded data set, whole.
    transfer_syntax_uid
        The transfer syntax of its presentation context.

    Raises
    ------
    UnreadableError
        If it ends before its own lengths do, or is no data set.
    """
    return _header(data, behind_file_meta(data, 0)[1], transfer_syntax_uid.strip(" \0"))


def of_file(data: Buffer) -> Header:
    """Read a whole file with preamble and File Meta Information (PS3.10 7.1).

    Raises
    ------
    UnreadableError
        If it is not such a file, or ends before its own lengths do.
    """
    if bytes(data[PREAMBLE : PREAMBLE + 4]) != b"DICM":
        raise UnreadableError("it has no preamble")
    syntax, start = behind_file_meta(data, PREAMBLE + 4)
    if not syntax:
        raise UnreadableError("it names no transfer syntax")
    return _header(data, start, syntax)


def _header(data: Buffer, start: int, syntax: str) -> Header:
    if len(data) - start < 8:  # noqa: PLR2004 - the shortest element
        raise UnreadableError("it holds no element")
    if syntax in DEFLATED:
        plain, whole = inflate(data, start)
        found = _walk_inflated(plain, whole=whole)
        return Header(_identifiers(plain, found), syntax, start)
    assumed = Encoding(explicit=syntax not in IMPLICIT, little=syntax != BIG_ENDIAN)
    found = _wanted(walk(data, start, encoding_at(data, start, assumed)))
    return Header(_identifiers(data, found), syntax, start)


def _wanted(elements: Iterator[tuple[int, int, int]]) -> Found:
    return {tag: (offset, length) for tag, offset, length in elements if tag in WANTED}


def _identifiers(data: Buffer, found: Found) -> Identifiers:
    def value(tag: int) -> bytes:
        offset, length = found.get(tag, (0, 0))
        if length > LONGEST:
            raise UnreadableError("an identifying value is too long")
        return bytes(data[offset : offset + length])

    terms = value(CHARACTER_SET).decode("latin-1").split("\\")
    texts = {
        name: values.decode("UI" if name.endswith("uid") else "LO", value(tag), "<", terms, None)
        for tag, name in FIELDS.items()
    }
    return Identifiers(**{name: text.strip(" \0") for name, text in texts.items()})


def behind_file_meta(data: Buffer, start: int) -> tuple[str, int]:
    """Return the transfer syntax that group 0002 names, and where the data set begins."""
    syntax = ""
    offset = start
    # PS3.10 7.1: always little endian. A big endian data set cannot be mistaken for it, its
    # first group reads 0x0800.
    while bytes(data[offset : offset + 2]) == b"\x02\x00":
        encoding = encoding_at(data, offset, Encoding(explicit=True, little=True))
        tag, value, length = next(walk(data, offset, encoding))
        if tag == TRANSFER_SYNTAX:
            syntax = bytes(data[value : value + min(length, LONGEST)]).decode("latin-1")
        offset = value + length
    return syntax.strip(" \0"), offset


def inflate(data: Buffer, start: int, keep: int = INFLATED_KEPT) -> tuple[bytes, bool]:
    """Inflate step by step: the beginning is kept, the rest only checked (PS3.5 A.5).

    Parameters
    ----------
    data, start
        A file or data set, and where its deflated bytes begin.
    keep
        Bytes to return at most.

    Returns
    -------
    tuple
        The beginning, and whether it is all.

    Raises
    ------
    UnreadableError
        If it is damaged, ends early, or is a bomb.
    """
    engine = zlib.decompressobj(-zlib.MAX_WBITS)
    kept = bytearray()
    total = 0
    for piece in _inflated(engine, data, start):
        total += len(piece)
        if total > INFLATED_AT_MOST:
            raise UnreadableError("it inflates to more than any instance holds")
        kept += piece[: keep - len(kept)]
    if not engine.eof:
        raise UnreadableError("its deflated bytes end early")
    return bytes(kept), total == len(kept)


def _inflated(engine: "zlib._Decompress", data: Buffer, start: int) -> Iterator[bytes]:
    try:
        for offset in range(start, len(data), STEP):
            piece = engine.decompress(data[offset : offset + STEP], STEP)
            yield piece
            while engine.unconsumed_tail and not engine.eof:
                yield engine.decompress(engine.unconsumed_tail, STEP)
            if engine.eof:
                return
        yield engine.flush(STEP)
    except zlib.error as exc:
        raise UnreadableError("its deflated bytes are damaged") from exc


def _walk_inflated(plain: bytes, *, whole: bool) -> Found:
    found: Found = {}
    elements = walk(plain, 0, Encoding(explicit=True, little=True))
    try:
        found.update((tag, (offset, length)) for tag, offset, length in elements if tag in WANTED)
    except UnreadableError:
        if whole:
            raise
    return found
