"""Steps over the elements of an encoded data set (PS3.5 7). Pure; depth is a number, not a stack.

Lenient where archives are known to be: a value representation that is none is read as implicit,
the encoding is taken from the first element, trailing zeros are padding. Strict about lengths.
"""

import mmap
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TypeAlias

Buffer: TypeAlias = bytes | bytearray | memoryview | mmap.mmap

UNDEFINED = 0xFFFFFFFF
ITEM = 0xFFFEE000
ITEM_END = 0xFFFEE00D
SEQUENCE_END = 0xFFFEE0DD
PIXEL_DATA = 0x7FE00010
# Value representations by the size of their length, PS3.5 7.1.2
SHORT = frozenset(b"AE AS AT CS DA DS DT FD FL IS LO LT PN SH SL SS ST TM UI UL US".split())
LONG = frozenset(b"OB OD OF OL OV OW SQ SV UC UN UR UT UV".split())
FRAGMENTED = frozenset({b"OB", b"OW"})
DEEPEST = 64  # nested sequences; real ones stay below 10


class UnreadableError(ValueError):
    """These bytes are no whole data set; the text is a clause without any value."""


@dataclass(frozen=True, slots=True)
class Encoding:
    """How element headers are written."""

    explicit: bool
    little: bool
    tag: struct.Struct = field(init=False, repr=False, compare=False)
    short: struct.Struct = field(init=False, repr=False, compare=False)
    long: struct.Struct = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        order = "<" if self.little else ">"
        object.__setattr__(self, "tag", struct.Struct(order + "HH"))
        object.__setattr__(self, "short", struct.Struct(order + "H"))
        object.__setattr__(self, "long", struct.Struct(order + "I"))


IMPLICIT_LITTLE = Encoding(explicit=False, little=True)


@dataclass(slots=True)
class _Level:
    """One open item, sequence or row of fragments, all of undefined length."""

    kind: str  # "elements", "items", "fragments"
    encoding: Encoding


def encoding_at(data: Buffer, start: int, assumed: Encoding) -> Encoding:
    """Correct an assumed encoding by the first element: two letters are an explicit VR."""
    if not assumed.explicit and _is_vr(bytes(data[start + 4 : start + 6])):
        return Encoding(explicit=True, little=assumed.little)
    return assumed


def walk(data: Buffer, start: int, encoding: Encoding) -> Iterator[tuple[int, int, int]]:
    """Yield tag, offset and length in bytes of every top-level value of defined length.

    Raises
    ------
    UnreadableError
        If a length points behind the end, a sequence is not closed or nested too deeply.
    """
    levels = [_Level("elements", encoding)]
    offset = start
    end = len(data)
    while not (len(levels) == 1 and _only_padding(data, offset, end)):
        level = levels[-1]
        tag, value, length, vr = _element(data, offset, level)
        offset = value
        if length == UNDEFINED:
            levels.append(_opened(tag, vr, level, len(levels)))
        elif not _closed(levels, tag):
            offset = value + length
            if offset > end:
                raise UnreadableError("it is shorter than its own lengths")
            if len(levels) == 1:
                yield tag, value, length


def behind(data: Buffer, offset: int, encoding: Encoding) -> int:
    """Return where the element behind this one begins, whatever it holds.

    Raises
    ------
    UnreadableError
        As `walk`.
    """
    levels = [_Level("elements", encoding)]
    while True:
        level = levels[-1]
        tag, offset, length, vr = _element(data, offset, level)
        if length == UNDEFINED:
            levels.append(_opened(tag, vr, level, len(levels)))
        elif not _closed(levels, tag):
            offset += length
            if offset > len(data):
                raise UnreadableError("it is shorter than its own lengths")
        if len(levels) == 1:
            return offset


def _element(data: Buffer, offset: int, level: _Level) -> tuple[int, int, int, bytes]:
    try:
        return _element_header(data, offset, level)
    except struct.error:
        raise UnreadableError("it ends within an element") from None


def _element_header(data: Buffer, offset: int, level: _Level) -> tuple[int, int, int, bytes]:
    """Return tag, offset of the value, its length and the value representation if it has one."""
    encoding = level.encoding
    group, element = encoding.tag.unpack_from(data, offset)
    tag = group << 16 | element
    if level.kind == "elements" and encoding.explicit and group != 0xFFFE:  # noqa: PLR2004
        vr = bytes(data[offset + 4 : offset + 6])
        if vr in LONG:
            return tag, offset + 12, encoding.long.unpack_from(data, offset + 8)[0], vr
        if _is_vr(vr):
            return tag, offset + 8, encoding.short.unpack_from(data, offset + 6)[0], vr
    return tag, offset + 8, encoding.long.unpack_from(data, offset + 4)[0], b""


def _opened(tag: int, vr: bytes, level: _Level, depth: int) -> _Level:
    if depth >= DEEPEST:
        raise UnreadableError("its sequences are nested too deeply")
    if level.kind == "elements":
        if tag == PIXEL_DATA or vr in FRAGMENTED:
            return _Level("fragments", level.encoding)
        # PS3.5 6.2.2 note 2: an unknown value of undefined length holds implicit VR items
        return _Level("items", IMPLICIT_LITTLE if vr == b"UN" else level.encoding)
    if level.kind == "items" and tag == ITEM:
        return _Level("elements", level.encoding)
    raise UnreadableError("a sequence holds something else than items")


def _closed(levels: list[_Level], tag: int) -> bool:
    """Close the innermost level if this is its delimiter."""
    if levels[-1].kind == "elements":
        closes = tag == ITEM_END and len(levels) > 1
    else:
        closes = tag == SEQUENCE_END
        if not closes and tag != ITEM:
            raise UnreadableError("a sequence holds something else than items")
    if closes:
        levels.pop()
    return closes


def _is_vr(two: bytes) -> bool:
    return len(two) == 2 and two.isalpha() and two.isupper()  # noqa: PLR2004


def _only_padding(data: Buffer, offset: int, end: int) -> bool:
    """Whether nothing is left but what is too short for an element, and zero."""
    return end - offset < 8 and not any(data[offset:end])  # noqa: PLR2004
