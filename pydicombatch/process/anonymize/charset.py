"""Specific Character Set (0008,0005) as the Java tool reads and writes it.

The first value alone selects how text is written; escapes are honoured on reading (PS3.5 6.1.2.5)
and never written, so a character outside the first set becomes `?`.
"""

import re
from dataclasses import dataclass
from functools import cache
from typing import Final

_PARTS: Final = {
    "100": "iso8859_1",
    "101": "iso8859_2",
    "109": "iso8859_3",
    "110": "iso8859_4",
    "144": "iso8859_5",
    "127": "iso8859_6",
    "126": "iso8859_7",
    "138": "iso8859_8",
    "148": "iso8859_9",
    "13": "jisx0201",
    "166": "iso8859_11",
}
CODECS: Final = {
    "": "ascii",
    "GB18030": "gb18030",
    "ISO_IR 192": "utf-8",
    "ISO 2022 IR 6": "ascii",
    "ISO 2022 IR 87": "jisx0208",
    "ISO 2022 IR 159": "jisx0212",
    "ISO 2022 IR 149": "euc_kr",
    **{f"ISO_IR {number}": codec for number, codec in _PARTS.items()},
    **{f"ISO 2022 IR {number}": codec for number, codec in _PARTS.items()},
}
DEFAULT: Final = "ISO_IR 100"

# escape sequence -> codec of what follows; PS3.3 C.12.1.1.2, tables C.12-3 and C.12-4
_ESCAPES: Final = {
    b"(B": "ascii",
    b"-A": "iso8859_1",
    b"-B": "iso8859_2",
    b"-C": "iso8859_3",
    b"-D": "iso8859_4",
    b"-L": "iso8859_5",
    b"-G": "iso8859_6",
    b"-F": "iso8859_7",
    b"-H": "iso8859_8",
    b"-M": "iso8859_9",
    b"-T": "iso8859_11",
    b")I": "jisx0201",
    b"(J": "jisx0201",
    b"$B": "jisx0208",
    b"$(D": "jisx0212",
    b"$)C": "euc_kr",
}
_SPLIT: Final = re.compile(rb"\x1b(\([BJ]|-[ABCDLGFHMT]|\)I|\$B|\$\(D|\$\)C)")
_KATAKANA: Final = 0xFF61 - 0xA1


@dataclass(frozen=True, slots=True)
class Charset:
    """How text is decoded and encoded."""

    codec: str
    escapes: bool = False

    def decode(self, raw: bytes) -> str:
        """Turn bytes into text; what cannot be read becomes U+FFFD."""
        if not self.escapes or b"\x1b" not in raw:
            return _decode(raw, self.codec)
        pieces = _SPLIT.split(raw)
        text = [_decode(pieces[0], self.codec)]
        for escape, fragment in zip(pieces[1::2], pieces[2::2], strict=True):
            text.append(_decode(fragment, _ESCAPES[escape]))
        return "".join(text)

    def encode(self, text: str) -> bytes:
        """Turn text into bytes of the first set; what it does not have becomes `?`."""
        if self.codec == "jisx0201":
            return b"".join(map(_jisx0201, text))
        if self.codec in {"jisx0208", "jisx0212"}:
            return b"".join(_double(character, self.codec) for character in text)
        return text.encode(self.codec, "replace")


PLATFORM: Final = Charset("utf-8")


def known(first_value: str) -> bool:
    """Tell whether the first value of (0008,0005) names a set of the table."""
    return first_value in CODECS


@cache
def of(values: tuple[str, ...]) -> Charset:
    """Return the set that the values of (0008,0005) select; none at all is the platform's."""
    if not values:
        return PLATFORM
    return Charset(CODECS.get(values[0], "iso8859_1"), escapes=len(values) > 1)


def _decode(raw: bytes, codec: str) -> str:
    match codec:
        case "jisx0201":
            return "".join(map(_from_jisx0201, raw))
        case "jisx0208":
            return _from_double(raw, b"\x1b$B")
        case "jisx0212":
            return _from_double(raw, b"\x1b$(D")
        case _:
            return raw.decode(codec, "replace")


def _from_double(raw: bytes, escape: bytes) -> str:
    """Decode two-byte JIS."""
    return (escape + raw + b"\x1b(B").decode("iso2022_jp_2", "replace")


def _from_jisx0201(byte: int) -> str:
    if byte in {0x5C, 0x7E}:
        # yen and overline; the backslash stays, since it delimits values
        return "\\" if byte == 0x5C else "\u203e"  # noqa: PLR2004
    if byte < 0x80:  # noqa: PLR2004 - the ASCII half
        return chr(byte)
    return chr(byte + _KATAKANA) if 0xA1 <= byte <= 0xDF else "\ufffd"  # noqa: PLR2004


def _jisx0201(character: str) -> bytes:
    special = {"\u00a5": b"\x5c", "\u203e": b"\x7e", "\\": b"\\", "~": b"?"}
    if character in special:
        return special[character]
    if character.isascii():
        return character.encode()
    code = ord(character) - _KATAKANA
    return bytes([code]) if 0xA1 <= code <= 0xDF else b"?"  # noqa: PLR2004


def _double(character: str, codec: str) -> bytes:
    prefix = {"jisx0208": b"\x1b$B", "jisx0212": b"\x1b$(D"}[codec]
    raw = character.encode("iso2022_jp_2", "replace")
    return raw[len(prefix) : -3] if raw.startswith(prefix) else raw[:1]
