"""Baseline JPEG blanked in the compressed domain: every other block keeps its coefficients.

ITU-T T.81 (ISO/IEC 10918-1). A scan is read symbol by symbol and written again; the blocks that a
region touches become black with nothing but a DC coefficient. Nothing is decoded to pixels, so
nothing outside the regions changes.
"""

# ruff: noqa: PLR2004 - the numbers are markers and sizes of T.81

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from pydicombatch.process.anonymize.pixelscript import Region

_SOF0, _DHT, _EOI, _SOS, _DQT, _DRI = 0xC0, 0xC4, 0xD9, 0xDA, 0xDB, 0xDD
_SOI: Final = b"\xff\xd8"
_BLOCK: Final = 8  # samples
_COEFFICIENTS: Final = 64
_BLACK: Final = 1024  # minus the DC of a block of zeros: 8 * (128 - 0)
_END_OF_BLOCK: Final = 0x00
_ZERO_RUN: Final = 0xF0
_FLAT_LENGTH: Final = 8  # bits of every code in a table of our own


class JpegError(ValueError):
    """The image is not baseline JPEG, or damaged."""


@dataclass
class _Component:
    identifier: int
    across: int
    down: int
    quantization: int
    dc: int = 0
    ac: int = 0
    read: int = 0  # DC predictor of the input
    written: int = 0  # DC predictor of the output


@dataclass(frozen=True, slots=True)
class _Code:
    """One Huffman table in both directions."""

    decode: dict[tuple[int, int], int]
    encode: dict[int, tuple[int, int]]

    @classmethod
    def of(cls, counts: Sequence[int], symbols: bytes) -> "_Code":
        """Assign canonical codes (T.81 C.2)."""
        decode, encode, code, at = {}, {}, 0, 0
        for length, count in enumerate(counts, 1):
            for symbol in symbols[at : at + count]:
                decode[length, code] = symbol
                encode[symbol] = (length, code)
                code += 1
            at += count
            code <<= 1
        return cls(decode, encode)


@dataclass
class _Frame:
    rows: int = 0
    columns: int = 0
    components: list[_Component] = field(default_factory=list)
    codes: dict[int, _Code] = field(default_factory=dict)
    steps: dict[int, int] = field(default_factory=dict)  # quantization of DC by table
    restart: int = 0


def blanked(stream: bytes, regions: Sequence[Region]) -> bytes:
    """Blank the regions of one image.

    Raises
    ------
    JpegError
        If the stream is not a sequential baseline image of one scan.
    """
    try:
        return _blanked(stream, regions)
    except (IndexError, KeyError, ValueError, ZeroDivisionError) as error:
        raise JpegError("not a baseline image, or damaged") from error


def _blanked(stream: bytes, regions: Sequence[Region]) -> bytes:
    if stream[:2] != _SOI:
        raise JpegError("no start of image")
    frame = _Frame()
    head: list[tuple[int, bytes]] = []
    for marker, body, end in _segments(stream):
        _learn(frame, marker, body)
        if marker != _SOS:
            head.append((marker, body))
            continue
        scan, tables = _scan(frame, body, stream, end, regions)
        kept = [s for s in head if not (tables and s[0] == _DHT)]
        parts = [_segment(*segment) for segment in (*kept, *tables, (marker, body))]
        return b"".join((_SOI, *parts, scan))
    raise JpegError("no scan")


def _segments(stream: bytes) -> Iterator[tuple[int, bytes, int]]:
    at = 2
    while at + 4 <= len(stream):
        if stream[at] != 0xFF:
            raise JpegError("no marker where one must be")
        marker = stream[at + 1]
        if marker == 0xFF:  # fill byte
            at += 1
            continue
        end = at + 2 + int.from_bytes(stream[at + 2 : at + 4], "big")
        if end > len(stream):
            raise JpegError("a segment is longer than the stream")
        yield marker, stream[at + 4 : end], end
        at = end


def _segment(marker: int, body: bytes) -> bytes:
    return bytes((0xFF, marker)) + (len(body) + 2).to_bytes(2, "big") + body


def _learn(frame: _Frame, marker: int, body: bytes) -> None:
    match marker:
        case 0xC0:
            _learn_frame(frame, body)
        case 0xC4:
            _learn_codes(frame, body)
        case 0xDB:
            _learn_steps(frame, body)
        case 0xDD:
            frame.restart = int.from_bytes(body[:2], "big")
        case _ if 0xC1 <= marker <= 0xCF:
            raise JpegError("not baseline")
        case _:
            pass


def _learn_frame(frame: _Frame, body: bytes) -> None:
    if body[0] != 8 or len(body) < 6 + 3 * body[5]:
        raise JpegError("not 8 bits a sample")
    frame.rows, frame.columns = int.from_bytes(body[1:3], "big"), int.from_bytes(body[3:5], "big")
    for at in range(6, 6 + 3 * body[5], 3):
        factors = body[at + 1]
        frame.components.append(_Component(body[at], factors >> 4, factors & 15, body[at + 2]))
    if not (frame.rows and frame.columns and all(c.across and c.down for c in frame.components)):
        raise JpegError("no size")


def _learn_codes(frame: _Frame, body: bytes) -> None:
    at = 0
    while at < len(body):
        counts = body[at + 1 : at + 17]
        symbols = body[at + 17 : at + 17 + sum(counts)]
        frame.codes[body[at]] = _Code.of(counts, symbols)
        at += 17 + sum(counts)


def _learn_steps(frame: _Frame, body: bytes) -> None:
    at = 0
    while at < len(body):
        wide = body[at] >> 4
        frame.steps[body[at] & 15] = int.from_bytes(body[at + 1 : at + 2 + wide], "big")
        at += 1 + _COEFFICIENTS * (1 + wide)


class _Bits:
    """Reads bits of a scan; stuffed zeros are dropped, markers end it."""

    def __init__(self, data: bytes, at: int) -> None:
        self._data = data
        self._at = at
        self._held = 0
        self._count = 0

    def take(self, count: int) -> int:
        while self._count < count:
            if self._at >= len(self._data):
                raise JpegError("the scan ends early")
            byte = self._data[self._at]
            self._at += 1
            if byte == 0xFF:
                if self._data[self._at : self._at + 1] != b"\0":
                    raise JpegError("the scan ends early")
                self._at += 1
            self._held = (self._held << 8 | byte) & 0xFFFFFFFF
            self._count += 8
        self._count -= count
        return self._held >> self._count & ((1 << count) - 1)

    def symbol(self, code: _Code) -> int:
        value = 0
        for length in range(1, 17):
            value = value << 1 | self.take(1)
            symbol = code.decode.get((length, value))
            if symbol is not None:
                return symbol
        raise JpegError("no such code")

    def restart(self) -> None:
        """Step over a restart marker."""
        self._held = self._count = 0
        marker = self._data[self._at : self._at + 2]
        if len(marker) != 2 or marker[0] != 0xFF or marker[1] & 0xF8 != 0xD0:
            raise JpegError("no restart marker where one must be")
        self._at += 2

    @property
    def rest(self) -> bytes:
        """What follows the scan."""
        return self._data[self._at :]


Block = list[tuple[int, int, int]]  # symbol, extra bits, their count


def _scan(
    frame: _Frame, header: bytes, stream: bytes, at: int, regions: Sequence[Region]
) -> tuple[bytes, list[tuple[int, bytes]]]:
    """Rewrite the one scan; also return tables of our own where the image's lack a code."""
    _choose_codes(frame, header)
    bits = _Bits(stream, at)
    blocks: list[tuple[_Component, Block] | None] = []
    touched = _Touched(frame, regions)
    for number in range(touched.across * touched.down):
        if frame.restart and number and number % frame.restart == 0:
            bits.restart()
            blocks.append(None)
            for component in frame.components:
                component.read = component.written = 0
        for component, black in touched.blocks(number):
            blocks.append((component, _rewritten(frame, bits, component, black=black)))
    if not bits.rest.startswith(b"\xff\xd9"):
        raise JpegError("something follows the scan")
    tables = _own_tables(frame, blocks)
    return _written(frame, blocks) + b"\xff\xd9", tables


def _choose_codes(frame: _Frame, header: bytes) -> None:
    count = header[0]
    if count != len(frame.components) or not frame.components:
        raise JpegError("more than one scan")
    chosen = {header[1 + 2 * i]: header[2 + 2 * i] for i in range(count)}
    for component in frame.components:
        component.dc = chosen[component.identifier] >> 4
        component.ac = 0x10 | chosen[component.identifier] & 15
    if count == 1:  # T.81 A.2.2: not interleaved, one block at a time
        frame.components[0].across = frame.components[0].down = 1


class _Touched:
    """Which blocks the regions touch, unit by unit (T.81 A.2.3)."""

    def __init__(self, frame: _Frame, regions: Sequence[Region]) -> None:
        self._components = frame.components
        self._widest = max(component.across for component in frame.components)
        self._highest = max(component.down for component in frame.components)
        self.across = -(-frame.columns // (_BLOCK * self._widest))
        self.down = -(-frame.rows // (_BLOCK * self._highest))
        self._bounds = [region.bounds(frame.columns, frame.rows) for region in regions]

    def blocks(self, number: int) -> Iterator[tuple[_Component, bool]]:
        """Yield the blocks of a unit, and whether each is to be blanked."""
        row, column = divmod(number, self.across)
        for component in self._components:
            wide = _BLOCK * self._widest // component.across
            high = _BLOCK * self._highest // component.down
            for down in range(component.down):
                for across in range(component.across):
                    left = (column * component.across + across) * wide
                    top = (row * component.down + down) * high
                    yield component, self._meets(left, top, wide, high)

    def _meets(self, left: int, top: int, wide: int, high: int) -> bool:
        return any(
            first < left + wide and left <= last and upper < top + high and top <= lower
            for first, last, upper, lower in self._bounds
            if first <= last and upper <= lower
        )


def _rewritten(frame: _Frame, bits: _Bits, component: _Component, *, black: bool) -> Block:
    size = bits.symbol(frame.codes[component.dc])
    component.read += _signed(bits.take(size), size)
    rest = list(_ac(bits, frame.codes[component.ac]))
    value = component.read
    if black:
        first = component is frame.components[0]
        value = -(_BLACK // frame.steps[component.quantization]) if first else 0
        rest = [(_END_OF_BLOCK, 0, 0)]
    difference = value - component.written
    component.written = value
    size = abs(difference).bit_length()
    extra = difference if difference >= 0 else difference + (1 << size) - 1
    return [(size, extra, size), *rest]


def _ac(bits: _Bits, code: _Code) -> Iterator[tuple[int, int, int]]:
    at = 1
    while at < _COEFFICIENTS:
        symbol = bits.symbol(code)
        size = symbol & 15
        yield symbol, bits.take(size) if size else 0, size
        if symbol == _END_OF_BLOCK:
            return
        at += (symbol >> 4) + 1
    if at > _COEFFICIENTS:
        raise JpegError("a block is too long")


def _signed(value: int, size: int) -> int:
    return value if not size or value >> (size - 1) else value - (1 << size) + 1


def _own_tables(
    frame: _Frame, blocks: list[tuple[_Component, Block] | None]
) -> list[tuple[int, bytes]]:
    """Make tables of codes of one length where the image's own lack a symbol."""
    used: dict[int, set[int]] = {table: set() for table in frame.codes}
    for entry in blocks:
        if entry is not None:
            component, block = entry
            used[component.dc].add(block[0][0])
            used[component.ac].update(symbol for symbol, _, _ in block[1:])
    if all(symbols <= frame.codes[table].encode.keys() for table, symbols in used.items()):
        return []
    tables = []
    for table, symbols in used.items():
        counts = bytes(len(symbols) if n == _FLAT_LENGTH else 0 for n in range(1, 17))
        ordered = bytes(sorted(symbols))
        frame.codes[table] = _Code.of(counts, ordered)
        tables.append((_DHT, bytes([table]) + counts + ordered))
    return tables


def _written(frame: _Frame, blocks: list[tuple[_Component, Block] | None]) -> bytes:
    out = bytearray()
    held, count, restarts = 0, 0, 0
    for entry in blocks:
        if entry is None:
            out += _flushed(held, count) + bytes((0xFF, 0xD0 | restarts & 7))
            held, count, restarts = 0, 0, restarts + 1
            continue
        component, block = entry
        for index, (symbol, extra, size) in enumerate(block):
            length, code = frame.codes[component.ac if index else component.dc].encode[symbol]
            held = (held << length | code) << size | extra
            count += length + size
        whole = count // 8
        count -= 8 * whole
        out += (held >> count).to_bytes(whole, "big").replace(b"\xff", b"\xff\0")
        held &= (1 << count) - 1
    return bytes(out + _flushed(held, count))


def _flushed(held: int, count: int) -> bytes:
    """Pad the last byte with ones (T.81 F.1.2.3)."""
    if not count:
        return b""
    spare = 8 - count
    return bytes([held << spare | (1 << spare) - 1]).replace(b"\xff", b"\xff\0")
