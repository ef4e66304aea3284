"""A whole data set read as carefully as it takes; for a thread, not for the loop.

Without pydicom wherever that is possible: importing it costs more memory than all the rest.
"""

import mmap
import zlib
from typing import NamedTuple

from pydicombatch.core.element_walk import Buffer, Encoding, UnreadableError, encoding_at, walk
from pydicombatch.core.model import Identifiers
from pydicombatch.receive.server import header, misplaced

_STEP = 1 << 20
_INFLATED_AT_MOST = 4 << 30  # bytes; a bomb is not followed further


class Inspected(NamedTuple):
    """What a careful look at a whole data set has told."""

    identifiers: Identifiers
    removed: int  # bytes of group 0002 that stood in front of the data set


def inspect(
    descriptor: int, start: int, transfer_syntax_uid: str, known: Identifiers | None
) -> Inspected:
    """Return the identifiers of a file whose data set is whole; it has no group 0002 afterwards.

    Parameters
    ----------
    descriptor
        The file, readable and writable.
    start
        Where its data set begins, bytes.
    transfer_syntax_uid
        How it is written.
    known
        Its identifiers, if its first bytes told them.

    Raises
    ------
    UnreadableError
        If it ends before its own lengths do, or is no data set.
    OSError
        If the file cannot be read or written.
    """
    removed = 0
    if known is None and transfer_syntax_uid != header.DEFLATED:
        removed = misplaced.remove(
            descriptor, start, big_endian=transfer_syntax_uid == header.BIG_ENDIAN
        )
    return Inspected(_inspect(descriptor, start, transfer_syntax_uid, known), removed)


def _inspect(
    descriptor: int, start: int, transfer_syntax_uid: str, known: Identifiers | None
) -> Identifiers:
    with mmap.mmap(descriptor, 0, access=mmap.ACCESS_READ) as data:
        if transfer_syntax_uid != header.DEFLATED:
            found = _walked(data, start, transfer_syntax_uid)
        else:
            found = known
            _check_inflates(data, start)
        return found or _by_pydicom(data)


def _walked(data: Buffer, start: int, syntax: str) -> Identifiers | None:
    if len(data) - start < 8:  # noqa: PLR2004 - the shortest element
        raise UnreadableError("it holds no element")
    assumed = Encoding(explicit=syntax != header.IMPLICIT, little=syntax != header.BIG_ENDIAN)
    values: dict[int, bytes] = {}
    for tag, offset, length in walk(data, start, encoding_at(data, start, assumed)):
        if tag in header.WANTED:
            if length > header.LONGEST_VALUE:
                raise UnreadableError("an identifying value is too long")
            values[tag] = bytes(data[offset : offset + length])
    return header.identifiers(values)


def _check_inflates(data: Buffer, start: int) -> None:
    """Inflate step by step, keeping nothing (PS3.5 A.5)."""
    engine = zlib.decompressobj(-zlib.MAX_WBITS)
    total = 0
    try:
        for offset in range(start, len(data), _STEP):
            rest = bytes(data[offset : offset + _STEP])
            while rest and not engine.eof:
                total += len(engine.decompress(rest, _STEP))
                rest = engine.unconsumed_tail
                if total > _INFLATED_AT_MOST:
                    raise UnreadableError("it inflates to more than any instance holds")
    except zlib.error as exc:
        raise UnreadableError("its deflated bytes are damaged") from exc
    if not engine.eof:
        raise UnreadableError("its deflated bytes end early")


def _by_pydicom(data: Buffer) -> Identifiers:
    """Read text in the character sets of this world."""
    from pydicombatch.core.header import of_file  # noqa: PLC0415 - pydicom, only when needed

    return of_file(data).identifiers
