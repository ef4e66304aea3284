"""Bytes to instances: everything before Pixel Data, undecoded, and where the rest begins.

PS3.5 7 and PS3.10 7, as leniently as the Java tool reads: without preamble, without file meta
information, in either byte order. What it cannot parse it takes for something else than DICOM.
"""

import struct
import zlib
from dataclasses import dataclass
from mmap import mmap
from typing import Final, Literal, NamedTuple

from pydicombatch.core.element_walk import SHORT
from pydicombatch.process.anonymize.instance import (
    BIG_ENDIAN,
    DEFLATED,
    EXPLICIT,
    IMPLICIT,
    PIXEL_DATA,
    DataSet,
    Element,
)
from pydicombatch.process.anonymize.tables import KNOWN_VRS, implicit_vr

UNDEFINED: Final = 0xFFFFFFFF
_SYNTAX: Final = 0x00020010
ITEM: Final = 0xFFFEE000
ITEM_END: Final = 0xFFFEE00D
SEQUENCE_END: Final = 0xFFFEE0DD
_SHORT: Final = frozenset(vr.decode() for vr in SHORT)
_LARGEST_DEFLATED: Final = 2**32  # bytes; what four-byte lengths can speak of
_DEEPEST: Final = 100  # levels; standard objects nest a dozen, a hostile file thousands
_FIRST_GROUPS: Final = frozenset((0x0002, 0x0004, 0x0008))


class NotDicomError(Exception):
    """The stream does not parse as DICOM."""


class TruncatedError(Exception):
    """The file ends within Pixel Data or what follows it."""


class Header(NamedTuple):
    """One element header: where its value begins, and its length (`UNDEFINED` possible)."""

    tag: int
    vr: str
    start: int
    length: int


@dataclass(frozen=True, slots=True)
class Encoding:
    """Transfer syntax as a parser sees it."""

    explicit: bool
    big_endian: bool = False

    @classmethod
    def of(cls, syntax: str) -> "Encoding":
        """Return the encoding of a transfer syntax; encapsulated ones are explicit."""
        return cls(explicit=syntax != IMPLICIT, big_endian=syntax == BIG_ENDIAN)


@dataclass(frozen=True, slots=True)
class Instance:
    """A parsed file: `tail` is where Pixel Data, or what else comes at the end, begins."""

    dataset: DataSet
    syntax: str  # of the output: without file meta information Explicit VR Little Endian
    encoding: Encoding  # of the input
    data: bytes | mmap
    tail: int


class Reader:
    """Reads headers and elements of one stream."""

    def __init__(self, data: bytes | mmap, encoding: Encoding) -> None:
        self.data = data
        self.size = len(data)
        self.encoding = encoding
        order = ">" if encoding.big_endian else "<"
        self._head = struct.Struct(order + "HHI").unpack_from
        self._long = struct.Struct(order + "I").unpack_from
        self._word = struct.Struct(order + "H").unpack_from

    def header(self, at: int, *, explicit: bool) -> Header:
        """Read the header at an offset; raises `NotDicomError` where it ends early."""
        try:
            group, number, length = self._head(self.data, at)
            tag = group << 16 | number
            if not explicit or group == 0xFFFE:  # noqa: PLR2004 - delimiters have no VR
                vr = "" if group == 0xFFFE else implicit_vr(tag)  # noqa: PLR2004
                return Header(tag, vr, at + 8, length)
            vr = self.data[at + 4 : at + 6].decode("latin-1")
            if vr in _SHORT:
                return Header(tag, vr, at + 8, self._word(self.data, at + 6)[0])
            return Header(tag, vr, at + 12, self._long(self.data, at + 8)[0])
        except struct.error as error:
            raise NotDicomError("the stream ends within an element header") from error

    def level(
        self, at: int, end: int, parent: DataSet | None, *, explicit: bool, depth: int = 0
    ) -> tuple[DataSet, int]:
        """Read elements until the end, an item delimiter or, at the root, Pixel Data."""
        dataset = DataSet({}, parent, self.encoding.big_endian)
        elements = dataset.elements
        while at < end:
            header = self.header(at, explicit=explicit)
            tag = header.tag
            if tag == ITEM_END and parent is not None:
                at = header.start
                break
            if tag >= PIXEL_DATA and parent is None:
                break
            element, at = self._element(header, end, dataset, explicit=explicit, depth=depth)
            if tag & 0xFFFF and (tag >> 16 >= 8 or tag >> 16 == 4):  # noqa: PLR2004
                elements[tag] = element
        if list(elements) != sorted(elements):
            dataset.elements = dict(sorted(elements.items()))
        return dataset, at

    def _element(
        self, header: Header, end: int, level: DataSet, *, explicit: bool, depth: int
    ) -> tuple[Element, int]:
        tag, vr, start, length = header.tag, header.vr, header.start, header.length
        if length == UNDEFINED and vr not in {"SQ", "OB", "OW", "UN"}:
            raise NotDicomError("undefined length where none can be")
        if vr == "SQ":
            items, stop = self._sequence(start, length, end, level, explicit=explicit, depth=depth)
            return Element(tag, vr, b"", items), stop
        if length == UNDEFINED:
            stop = self.skip(header, depth=depth)
            return Element(tag, vr, self.data[start:stop], None, undefined=True), stop
        stop = start + length
        if stop > end:
            raise NotDicomError("an element is longer than the stream")
        return Element(tag, vr if vr in KNOWN_VRS else "UN", self.data[start:stop]), stop

    def element(self, header: Header, level: DataSet) -> Element:
        """Read one element of the root whose header is known."""
        explicit = self.encoding.explicit
        return self._element(header, self.size, level, explicit=explicit, depth=0)[0]

    def items(self, level: DataSet, *, undefined: bool) -> tuple[DataSet, ...]:
        """Read the whole stream as the value of a sequence; raises `NotDicomError`."""
        length = UNDEFINED if undefined else self.size
        explicit = self.encoding.explicit
        found, _ = self._sequence(0, length, self.size, level, explicit=explicit, depth=0)
        return found

    def _sequence(
        self, at: int, length: int, end: int, level: DataSet, *, explicit: bool, depth: int
    ) -> tuple[tuple[DataSet, ...], int]:
        if depth > _DEEPEST:
            raise NotDicomError("sequences nest too deeply")
        stop = end if length == UNDEFINED else at + length
        if stop > end:
            raise NotDicomError("a sequence is longer than the stream")
        items = []
        while at < stop or length == UNDEFINED:
            header = self.header(at, explicit=explicit)
            at = header.start
            if header.tag == SEQUENCE_END and length == UNDEFINED:
                break
            if header.tag != ITEM:
                raise NotDicomError("a sequence holds something else than items")
            bound = stop if header.length == UNDEFINED else at + header.length
            if bound > stop:
                raise NotDicomError("an item is longer than its sequence")
            item, at = self.level(at, bound, level, explicit=explicit, depth=depth + 1)
            items.append(item)
        return tuple(items), at

    def skip(self, header: Header, *, depth: int = 0) -> int:
        """Return the offset behind a value; fragments and UN sequences are stepped over."""
        if header.length != UNDEFINED:
            return header.start + header.length
        if header.vr == "SQ":
            level = DataSet({})
            explicit = self.encoding.explicit
            stop = self.size
            return self._sequence(
                header.start, UNDEFINED, stop, level, explicit=explicit, depth=depth
            )[1]
        at = header.start
        while True:
            item = self.header(at, explicit=False)
            at = item.start
            if item.tag == SEQUENCE_END:
                return at
            if item.tag != ITEM:
                raise NotDicomError("fragments are not delimited")
            if item.length != UNDEFINED:
                at += item.length
            else:  # PS3.5 6.2.2 note 4: UN of undefined length is implicit VR
                at = self.level(at, self.size, DataSet({}), explicit=False, depth=depth + 1)[1]


def read(data: bytes | mmap) -> Instance:
    """Parse a file up to Pixel Data.

    Raises
    ------
    NotDicomError
        If the stream is not DICOM, or breaks off before Pixel Data.
    """
    start = 132 if data[128:132] == b"DICM" else 0
    encoding = _detect(data[start : start + 8])
    reader = Reader(data, encoding)
    if reader.header(start, explicit=encoding.explicit).tag >> 16 != 2:  # noqa: PLR2004
        return _body(reader, start, None, EXPLICIT)
    meta, start = _meta(reader, start)
    named = meta.get(_SYNTAX)
    syntax = named.value.decode("latin-1").strip(" \0") if named else ""
    if not syntax:
        raise NotDicomError("the file does not tell its transfer syntax")
    if syntax == DEFLATED:
        data, start = inflate(data[start:]), 0
    return _body(Reader(data, Encoding.of(syntax)), start, meta, syntax)


def _detect(head: bytes) -> Encoding:
    """Tell byte order and VR encoding from the first element of a stream."""
    if len(head) < 8:  # noqa: PLR2004 - the shortest header
        raise NotDicomError("the stream is too short")
    big = head[0] == 0
    group = int.from_bytes(head[:2], "big" if big else "little")
    if group not in _FIRST_GROUPS:
        raise NotDicomError("the stream does not begin like DICOM")
    vr = head[4:6].decode("latin-1")
    if vr in KNOWN_VRS:
        return Encoding(explicit=True, big_endian=big)
    if int.from_bytes(head[4:8], "big" if big else "little") > 0xFFFF:  # noqa: PLR2004
        raise NotDicomError("the first element is too long to be true")
    return Encoding(explicit=False, big_endian=big)


def _meta(reader: Reader, start: int) -> tuple[dict[int, Element], int]:
    """Read the file meta information, which must say its length (PS3.10 7.1)."""
    explicit = reader.encoding.explicit
    header = reader.header(start, explicit=explicit)
    if header.tag != 0x00020000 or header.length != 4:  # noqa: PLR2004
        raise NotDicomError("the file meta information does not tell its length")
    at = header.start + 4
    order: Literal["big", "little"] = "big" if reader.encoding.big_endian else "little"
    end = at + int.from_bytes(reader.data[header.start : at], order)
    if end > reader.size:
        raise NotDicomError("the file meta information is longer than the file")
    meta = {}
    while at < end:
        header = reader.header(at, explicit=explicit)
        at = header.start + header.length
        if header.tag >> 16 != 2 or at > end:  # noqa: PLR2004
            raise NotDicomError("the file meta information does not end where it says")
        meta[header.tag] = Element(header.tag, header.vr, reader.data[header.start : at])
    return meta, end


def _body(reader: Reader, start: int, meta: dict[int, Element] | None, syntax: str) -> Instance:
    explicit = reader.encoding.explicit
    dataset, tail = reader.level(start, reader.size, None, explicit=explicit)
    dataset.meta = meta
    return Instance(dataset, syntax, reader.encoding, reader.data, tail)


def inflate(packed: bytes) -> bytes:
    """Decompress a deflated data set (PS3.5 A.5), never to more than lengths can tell."""
    engine = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        plain = engine.decompress(packed, _LARGEST_DEFLATED)
    except zlib.error as error:
        raise NotDicomError("the deflated stream is damaged") from error
    if engine.unconsumed_tail:
        raise NotDicomError("the deflated stream is too long")
    if not engine.eof:
        raise NotDicomError("the deflated stream ends early")
    return plain
