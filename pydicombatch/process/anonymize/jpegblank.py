"""Baseline JPEG blanked in the compressed domain: every other block keeps its coefficients.

ITU-T T.81 (ISO/IEC 10918-1). A scan is read symbol by symbol and written again; the blocks that a
region touches become black with nothing but a DC coefficient. Nothing is decoded to pixels, so
nothing outside the regions changes.
"""

from collections.abc import Iterator, Sequence
from typing import Final

from pydicombatch.process.anonymize.jpegcode import (
    COEFFICIENTS,
    DHT,
    SOI,
    SOS,
    Bits,
    Code,
    Component,
    Frame,
    JpegError,
    learn,
    segment,
    segments,
)
from pydicombatch.process.anonymize.pixelscript import Region

_BLOCK: Final = 8  # samples
_BLACK: Final = 1024  # minus the DC of a block of zeros: 8 * (128 - 0)
_END_OF_BLOCK: Final = 0x00
_FLAT_LENGTH: Final = 8  # bits of every code in a table of our own


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
    if stream[:2] != SOI:
        raise JpegError("no start of image")
    frame = Frame()
    head: list[tuple[int, bytes]] = []
    for marker, body, end in segments(stream):
        learn(frame, marker, body)
        if marker != SOS:
            head.append((marker, body))
            continue
        scan, tables = _scan(frame, body, stream, end, regions)
        kept = [s for s in head if not (tables and s[0] == DHT)]
        parts = [segment(*part) for part in (*kept, *tables, (marker, body))]
        return b"".join((SOI, *parts, scan))
    raise JpegError("no scan")


Block = list[tuple[int, int, int]]  # symbol, extra bits, their count


def _scan(
    frame: Frame, header: bytes, stream: bytes, at: int, regions: Sequence[Region]
) -> tuple[bytes, list[tuple[int, bytes]]]:
    """Rewrite the one scan; also return tables of our own where the image's lack a code."""
    _choose_codes(frame, header)
    bits = Bits(stream, at)
    blocks: list[tuple[Component, Block] | None] = []
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


def _choose_codes(frame: Frame, header: bytes) -> None:
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

    def __init__(self, frame: Frame, regions: Sequence[Region]) -> None:
        self._components = frame.components
        self._widest = max(component.across for component in frame.components)
        self._highest = max(component.down for component in frame.components)
        self.across = -(-frame.columns // (_BLOCK * self._widest))
        self.down = -(-frame.rows // (_BLOCK * self._highest))
        self._bounds = [region.bounds(frame.columns, frame.rows) for region in regions]

    def blocks(self, number: int) -> Iterator[tuple[Component, bool]]:
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


def _rewritten(frame: Frame, bits: Bits, component: Component, *, black: bool) -> Block:
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


def _ac(bits: Bits, code: Code) -> Iterator[tuple[int, int, int]]:
    at = 1
    while at < COEFFICIENTS:
        symbol = bits.symbol(code)
        size = symbol & 15
        yield symbol, bits.take(size) if size else 0, size
        if symbol == _END_OF_BLOCK:
            return
        at += (symbol >> 4) + 1
    if at > COEFFICIENTS:
        raise JpegError("a block is too long")


def _signed(value: int, size: int) -> int:
    return value if not size or value >> (size - 1) else value - (1 << size) + 1


def _own_tables(
    frame: Frame, blocks: list[tuple[Component, Block] | None]
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
        frame.codes[table] = Code.of(counts, ordered)
        tables.append((DHT, bytes([table]) + counts + ordered))
    return tables


def _written(frame: Frame, blocks: list[tuple[Component, Block] | None]) -> bytes:
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
