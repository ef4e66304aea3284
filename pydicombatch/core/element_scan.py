"""Steps over the elements at the top of a data set, fast: what is usual, in one flat loop.

`element_walk` reads whatever archives send, and checks every length to the end. Here is what
nearly all files hold: little endian, value representations of the standard. The rest is refused,
and the caller walks.
"""

import struct
from collections.abc import Callable, Iterator

from pydicombatch.core.element_walk import (
    IMPLICIT_LITTLE,
    LONG,
    PIXEL_DATA,
    SHORT,
    UNDEFINED,
    Encoding,
    UnreadableError,
    behind,
)

TRANSFER_SYNTAX = 0x00020010
EXPLICIT_LITTLE = Encoding(explicit=True, little=True)

Found = tuple[int, bytes, int, int]  # tag, value representation, offset and length of the value
_explicit = struct.Struct("<HH2sH").unpack_from
_implicit = struct.Struct("<HHI").unpack_from
_length = struct.Struct("<I").unpack_from


def scan(
    data: bytes, start: int, last: int, *, explicit: bool, whole: bool = False
) -> Iterator[Found]:
    """Yield the elements of defined length at the top of a data set, up to a tag.

    Parameters
    ----------
    data
        The beginning of a file; elements behind the last one may be cut off.
    start
        Where the data set begins.
    last
        The tag behind which nothing is wanted.
    explicit
        Whether value representations are in the headers (PS3.5 7.1.2); b"" is yielded if not.
    whole
        Whether this is all of the file, which may then end before `last`.

    Raises
    ------
    UnreadableError
        If it ends before an element behind `last` begins, or is not what is usual.
    """
    head: Callable[[bytes, int], Found] = _explicit_head if explicit else _implicit_head
    encoding = EXPLICIT_LITTLE if explicit else IMPLICIT_LITTLE
    offset, end = start, len(data)
    while not (whole and offset == end):
        try:
            tag, vr, value, length = head(data, offset)
        except struct.error:
            raise UnreadableError("it ends early") from None
        # what is behind the pixels is nothing that anybody asks for, and far away
        if tag > last and (length != UNDEFINED or tag == PIXEL_DATA):
            return
        if length == UNDEFINED:
            offset = behind(data, offset, encoding)
            continue
        offset = value + length
        if offset > end:
            raise UnreadableError("it ends early")
        yield tag, vr, value, length


def file_meta(data: bytes, start: int) -> tuple[str, int]:
    """Return the transfer syntax that group 0002 names, and where the data set begins.

    Raises
    ------
    UnreadableError
        If it ends early, or is not what is usual.
    """
    syntax, offset = b"", start
    while data[offset : offset + 2] == b"\x02\x00":  # PS3.10 7.1: explicit, little endian
        try:
            tag, _, value, length = _explicit_head(data, offset)
        except struct.error:
            raise UnreadableError("it ends early") from None
        offset = value + length
        if tag == TRANSFER_SYNTAX:
            syntax = data[value:offset]
    if offset > len(data):
        raise UnreadableError("it ends early")
    return syntax.decode("latin-1").strip(" \0"), offset


def _explicit_head(data: bytes, offset: int) -> Found:
    group, element, vr, length = _explicit(data, offset)
    if vr in SHORT:
        return group << 16 | element, vr, offset + 8, length
    if vr in LONG:
        return group << 16 | element, vr, offset + 12, _length(data, offset + 8)[0]
    raise UnreadableError("a value representation is none of the standard's")


def _implicit_head(data: bytes, offset: int) -> Found:
    group, element, length = _implicit(data, offset)
    return group << 16 | element, b"", offset + 8, length
