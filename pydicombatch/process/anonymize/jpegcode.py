"""Baseline JPEG as its segments, tables and bits: ITU-T T.81, ISO/IEC 10918-1."""

# ruff: noqa: PLR2004 - the numbers are markers and sizes of T.81

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

DHT: Final = 0xC4
SOS: Final = 0xDA
SOI: Final = b"\xff\xd8"
COEFFICIENTS: Final = 64


class JpegError(ValueError):
    """The image is not baseline JPEG, or damaged."""


@dataclass
class Component:
    """One colour: its sampling, its tables, and the DC predictors of both sides."""

    identifier: int
    across: int
    down: int
    quantization: int
    dc: int = 0
    ac: int = 0
    read: int = 0  # DC predictor of the input
    written: int = 0  # DC predictor of the output


@dataclass(frozen=True, slots=True)
class Code:
    """One Huffman table in both directions."""

    decode: dict[tuple[int, int], int]
    encode: dict[int, tuple[int, int]]

    @classmethod
    def of(cls, counts: Sequence[int], symbols: bytes) -> "Code":
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
class Frame:
    """What the segments before the scan say."""

    rows: int = 0
    columns: int = 0
    components: list[Component] = field(default_factory=list)
    codes: dict[int, Code] = field(default_factory=dict)
    steps: dict[int, int] = field(default_factory=dict)  # quantization of DC by table
    restart: int = 0


def segments(stream: bytes) -> Iterator[tuple[int, bytes, int]]:
    """Yield marker, content, and the offset behind each segment; raises `JpegError`."""
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


def segment(marker: int, body: bytes) -> bytes:
    """Encode a segment."""
    return bytes((0xFF, marker)) + (len(body) + 2).to_bytes(2, "big") + body


def learn(frame: Frame, marker: int, body: bytes) -> None:
    """Take in one segment; raises `JpegError` for what is not baseline."""
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


def _learn_frame(frame: Frame, body: bytes) -> None:
    if body[0] != 8 or len(body) < 6 + 3 * body[5]:
        raise JpegError("not 8 bits a sample")
    frame.rows, frame.columns = int.from_bytes(body[1:3], "big"), int.from_bytes(body[3:5], "big")
    for at in range(6, 6 + 3 * body[5], 3):
        factors = body[at + 1]
        frame.components.append(Component(body[at], factors >> 4, factors & 15, body[at + 2]))
    if not (frame.rows and frame.columns and all(c.across and c.down for c in frame.components)):
        raise JpegError("no size")


def _learn_codes(frame: Frame, body: bytes) -> None:
    at = 0
    while at < len(body):
        counts = body[at + 1 : at + 17]
        symbols = body[at + 17 : at + 17 + sum(counts)]
        frame.codes[body[at]] = Code.of(counts, symbols)
        at += 17 + sum(counts)


def _learn_steps(frame: Frame, body: bytes) -> None:
    at = 0
    while at < len(body):
        wide = body[at] >> 4
        frame.steps[body[at] & 15] = int.from_bytes(body[at + 1 : at + 2 + wide], "big")
        at += 1 + COEFFICIENTS * (1 + wide)


class Bits:
    """Reads bits of a scan; stuffed zeros are dropped, markers end it."""

    def __init__(self, data: bytes, at: int) -> None:
        self._data = data
        self._at = at
        self._held = 0
        self._count = 0

    def take(self, count: int) -> int:
        """Take some bits."""
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

    def symbol(self, code: Code) -> int:
        """Take the bits of one symbol."""
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
