"""Instances to bytes, in the transfer syntax they came in, with new file meta information."""

import struct
import zlib
from collections.abc import Iterable
from mmap import mmap
from typing import BinaryIO, Final

from pydicombatch.process.anonymize.instance import (
    DEFLATED,
    SOP_CLASS,
    SOP_INSTANCE,
    DataSet,
    Element,
    code_strings,
)
from pydicombatch.process.anonymize.reading import UNDEFINED, Encoding

_LONG: Final = frozenset(
    ["OB", "OW", "OF", "SQ", "UC", "UN", "UT"]
)  # VRs with a 32-bit length, PS3.5 7.1.2
_IMPLEMENTATION: Final = ("2.25.277119342248636521752548698858463949570", "PYDICOMBATCH")
_ITEM: Final = (0xFFFE, 0xE000)
_ITEM_END: Final = (0xFFFE, 0xE00D)
_SEQUENCE_END: Final = (0xFFFE, 0xE0DD)
_PADDING: Final = {"UI": b"\0", "OB": b"\0", "UN": b"\0"}
_SWAPPED: Final = {"US": 2, "SS": 2, "OW": 2, "AT": 2, "UL": 4, "SL": 4, "FL": 4, "OF": 4, "FD": 8}
_LONGEST_SHORT: Final = 0xFFFE
_CHUNK: Final = 1 << 24  # bytes copied at once from a mapped file


class Writer:
    """Encodes elements as the output's transfer syntax asks."""

    def __init__(self, encoding: Encoding, *, swap: bool = False) -> None:
        order = ">" if encoding.big_endian else "<"
        self._explicit = encoding.explicit
        self._swap = swap
        self._short = struct.Struct(order + "HH2sH").pack
        self._long = struct.Struct(order + "HH2sHI").pack
        self._plain = struct.Struct(order + "HHI").pack

    def header(self, tag: int, vr: str, length: int) -> bytes:
        """Encode an element header."""
        group, number = tag >> 16, tag & 0xFFFF
        if not self._explicit:
            return self._plain(group, number, length)
        if vr in _LONG:
            return self._long(group, number, vr.encode(), 0, length)
        if length > _LONGEST_SHORT:  # PS3.5 6.2.2 note 5 allows UN where 16 bits are too few
            return self._long(group, number, b"UN", 0, length)
        return self._short(group, number, vr.encode(), length)

    def dataset(self, elements: Iterable[Element]) -> bytes:
        """Encode the elements of one level, in the order they are given."""
        parts: list[bytes] = []
        for element in elements:
            self._append(parts, element)
        return b"".join(parts)

    def _append(self, parts: list[bytes], element: Element) -> None:
        tag, vr, value, items, undefined = element
        if items is not None:
            self._sequence(parts, tag, items)
            return
        if self._swap:
            value = swapped(value, vr)
        if undefined:
            parts += self.header(tag, vr, UNDEFINED), value
            return
        if len(value) % 2:
            value += _PADDING.get(vr, b" ")
        parts += self.header(tag, vr, len(value)), value

    def _sequence(self, parts: list[bytes], tag: int, items: tuple[DataSet, ...]) -> None:
        parts.append(self.header(tag, "SQ", UNDEFINED))
        for item in items:
            parts.append(self._plain(*_ITEM, UNDEFINED))
            for element in item:
                self._append(parts, element)
            parts.append(self._plain(*_ITEM_END, 0))
        parts.append(self._plain(*_SEQUENCE_END, 0))


def swapped(value: bytes, vr: str) -> bytes:
    """Reverse the byte order of each number of a value."""
    size = _SWAPPED.get(vr, 1)
    if size == 1:
        return value
    whole = len(value) // size * size
    return b"".join(value[i : i + size][::-1] for i in range(0, whole, size)) + value[whole:]


def meta_information(dataset: DataSet, syntax: str) -> bytes:
    """Encode preamble and file meta information anew (PS3.10 7.1); nothing old survives."""
    writer = Writer(Encoding(explicit=True))
    body = writer.dataset(
        (
            Element(0x00020001, "OB", b"\x00\x01"),
            Element(0x00020002, "UI", _uid(dataset, SOP_CLASS)),
            Element(0x00020003, "UI", _uid(dataset, SOP_INSTANCE)),
            Element(0x00020010, "UI", syntax.encode()),
            Element(0x00020012, "UI", _IMPLEMENTATION[0].encode()),
            Element(0x00020013, "SH", _IMPLEMENTATION[1].encode()),
        )
    )
    length = writer.dataset((Element(0x00020000, "UL", len(body).to_bytes(4, "little")),))
    return b"".join((bytes(128), b"DICM", length, body))


def _uid(dataset: DataSet, tag: int) -> bytes:
    element = dataset.elements.get(tag)
    return code_strings(element)[0].encode("latin-1") if element else b""


def write(
    target: BinaryIO, dataset: DataSet, syntax: str, body: bytes, tail: Iterable[memoryview | bytes]
) -> None:
    """Write file meta information, the encoded data set and its raw tail."""
    target.write(meta_information(dataset, syntax))
    if syntax != DEFLATED:
        target.write(body)
        target.writelines(tail)
        return
    engine = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    packed = [engine.compress(part) for part in (body, *tail)]
    packed.append(engine.flush())
    deflated = b"".join(packed)
    target.write(deflated + b"\0" * (len(deflated) % 2))  # PS3.5 A.5: an even number of bytes


def window(data: bytes | mmap, start: int, stop: int) -> Iterable[bytes | memoryview]:
    """Yield a stretch of the input without copying it, or in pieces that fit in memory."""
    if isinstance(data, bytes):
        yield memoryview(data)[start:stop]
        return
    for at in range(start, stop, _CHUNK):
        yield data[at : min(stop, at + _CHUNK)]
