"""File Meta Information that a sender has left in front of a data set (PS3.5 7.1, PS3.10 7.1).

Group 0002 belongs to files, not to what is sent. Kept behind our own File Meta Information it
would be taken for a part of that, its transfer syntax for the one of the file.
"""

import mmap
import os

from pydicombatch.core.element_walk import Buffer, Encoding, UnreadableError, walk

_LITTLE, _BIG = b"\x02\0", b"\0\x02"
_STEP = 1 << 20


def remove(descriptor: int, start: int, *, big_endian: bool) -> int:
    """Remove the elements of group 0002 that a data set begins with.

    Parameters
    ----------
    descriptor
        The file, readable and writable.
    start
        Where its data set begins, bytes.
    big_endian
        Whether the data set is; what a sender copied from a file is little endian nevertheless.

    Returns
    -------
    int
        How many bytes were removed, most often none.

    Raises
    ------
    UnreadableError
        If one of them is longer than the file, or nothing stands behind them.
    OSError
        If the file cannot be read or written.
    """
    group = os.pread(descriptor, 2, start)
    if group != _LITTLE and not (big_endian and group == _BIG):
        return 0
    with mmap.mmap(descriptor, 0, access=mmap.ACCESS_READ) as data:
        end = _end(data, start, group)
    _shift(descriptor, end, start)
    return end - start


def _end(data: Buffer, start: int, group: bytes) -> int:
    """Return where the first element of another group stands."""
    encoding = Encoding(explicit=True, little=group == _LITTLE)  # elements without VR are told
    position = start
    while data[position : position + 2] == group:
        _, offset, length = next(walk(data, position, encoding), (0, len(data), 0))
        position = offset + length
    if position >= len(data):
        raise UnreadableError("it holds no element")
    return position


def _shift(descriptor: int, source: int, target: int) -> None:
    """Move all bytes from `source` on to `target`, in front of it, and cut the file off."""
    while chunk := os.pread(descriptor, _STEP, source):
        source += len(chunk)
        rest = memoryview(chunk)
        while rest:  # a write may be short
            written = os.pwrite(descriptor, rest, target)
            target += written
            rest = rest[written:]
    os.ftruncate(descriptor, target)
