"""Text of an operator to the value of an element by its VR (PS3.5 6.2), and bytes back to text."""

import re
import struct
from collections.abc import Sequence
from math import isfinite

from pydicom.charset import convert_encodings, decode_bytes, python_encoding
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.sequence import Sequence as Items
from pydicom.valuerep import PN_DELIMS, TEXT_VR_DELIMS

from pydicombatch.core.escapes import ESCAPE, told_apart, without_nul

INTEGERS = {"US": "H", "SS": "h", "UL": "I", "SL": "i", "UV": "Q", "SV": "q"}
FLOATS = {"FL": "f", "FD": "d"}
BINARY = frozenset({"OB", "OW", "OF", "OD", "OL", "OV", "UN"})
LONG_TEXT = frozenset({"LT", "ST", "UT", "UR"})  # one value; a backslash is text
AMBIGUOUS = {"US or SS": "US", "US or OW": "US", "US or SS or OW": "US", "OB or OW": "OW"}
LOCAL_TEXT = frozenset({"LO", "LT", "PN", "SH", "ST", "UC", "UT", "UN"})  # (0008,0005) applies

_INTEGER = re.compile(r"[+-]?[0-9]+")
_DECIMAL = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_TAG = re.compile(r"\(?([0-9A-Fa-f]{4}),?([0-9A-Fa-f]{4})\)?")

Encoded = str | bytes | int | float | list[str] | list[int] | list[float]


def encode(vr: str, text: str) -> tuple[str, Encoded]:
    """Turn text into the VR to send and the value for it; several values at backslashes.

    Raises
    ------
    ValueError
        If the text is not a value of this VR; the message is a clause without the value.
    """
    sent = AMBIGUOUS.get(vr, vr)
    if sent == "US" and vr != "US" and "-" in text:
        sent = "SS"
    if sent in BINARY:
        return _encode_binary(sent, text)
    if sent in INTEGERS or sent in FLOATS or sent == "AT":
        return sent, [_number(sent, part.strip()) for part in text.split("\\")] if text else ""
    if text.isprintable():  # nearly always
        allowed = True
    else:
        allowed = all(c.isprintable() or (sent in LONG_TEXT and c in "\r\n\t\f") for c in text)
    if not allowed:
        raise ValueError("it contains control characters")
    _check_numerals(sent, text)
    return sent, text


def encodable(text: str, charset: str) -> bool:
    """Whether every character exists in one of the sets, several joined by a backslash."""
    encodings = [python_encoding[one.strip()] for one in charset.split("\\")]
    return all(any(_has(name, c) for name in encodings) for c in set(text))


def decode(vr: str, raw: bytes, order: str, terms: Sequence[str], charset: str | None) -> str:
    r"""Turn the bytes of an answer into text.

    Parameters
    ----------
    vr
        Value representation, ambiguous ones and UN included.
    raw
        The value field.
    order
        `<` for little endian, `>` for big endian.
    terms
        The Defined Terms of (0008,0005) that apply.
    charset
        What to assume for text outside ASCII when `terms` says nothing.

    Returns
    -------
    str
        Padding removed; numbers in decimal, tags as `(GGGG,EEEE)`, binary in hexadecimal; what
        is not of its VR as text. Bytes that the character set does not know, and NUL, are
        `\xNN`; a backslash of the value itself in front of an x and two digits is `\x5c`, so
        that `unescape` gives every byte back.
    """
    kind = AMBIGUOUS.get(vr, vr)
    if kind == "SQ":
        return ""
    code = "HH" if kind == "AT" else INTEGERS.get(kind) or FLOATS.get(kind)
    if code:
        size = struct.calcsize(order + code)
        if len(raw) % size:
            return raw.hex().upper()
        parts = (raw[at : at + size] for at in range(0, len(raw), size))
        return "\\".join(_decimal(order + code, part) for part in parts)
    if kind in BINARY and (kind != "UN" or not _looks_like_text(raw)):
        return raw.hex().upper()
    return without_nul(_strip(kind, _decode_text(kind, raw, terms, charset)))


def has_escapes(text: str) -> bool:
    r"""Whether a decoded value holds bytes as `\xNN` that its character set does not know."""
    return any(found.lower() != "5c" for found in ESCAPE.findall(text))


def unescape(text: str, encoding: str = "utf-8") -> bytes:
    r"""Give the bytes of a decoded value back: `\xNN` is a byte, the rest is encoded."""
    parts = ESCAPE.split(text)
    pieces = [
        bytes.fromhex(one) if at % 2 else one.encode(encoding) for at, one in enumerate(parts)
    ]
    return b"".join(pieces)


def text(value: object) -> str:
    """Turn a value that is typed already into text."""
    if value is None or isinstance(value, Dataset | Items):
        return ""
    if isinstance(value, bytes):
        return value.hex().upper()
    if isinstance(value, MultiValue | list | tuple):
        return "\\".join(map(text, value))
    return str(value).strip(" \0")


def _encode_binary(vr: str, text: str) -> tuple[str, Encoded]:
    if not text:
        return vr, b""
    try:
        return vr, bytes.fromhex(text)
    except ValueError:
        if vr != "UN" or not text.isprintable():
            raise ValueError("it is not a row of pairs of hexadecimal digits") from None
    return "LO", text  # an unknown element is most often text


def _number(vr: str, part: str) -> int | float:
    try:
        return _tag_number(part) if vr == "AT" else _packable(vr, part)
    except (ValueError, OverflowError, struct.error):
        kind = "a tag such as (0008,0020)" if vr == "AT" else f"a number in the range of {vr}"
        raise ValueError(f"it is not {kind}") from None


def _tag_number(part: str) -> int:
    found = _TAG.fullmatch(part)
    if found is None:
        raise ValueError
    return int(found[1] + found[2], 16)


def _packable(vr: str, part: str) -> int | float:
    if vr in INTEGERS:
        if not _INTEGER.fullmatch(part) or len(part) > 32:  # noqa: PLR2004 - no 64-bit number is
            raise ValueError
        struct.pack("<" + INTEGERS[vr], int(part))
        return int(part)
    number = float(part) if _DECIMAL.fullmatch(part) else float("nan")
    if not isfinite(number):
        raise ValueError
    struct.pack("<" + FLOATS[vr], number)
    return number


def _check_numerals(vr: str, text: str) -> None:
    pattern = {"IS": _INTEGER, "DS": _DECIMAL}.get(vr)
    if pattern is None or not text:
        return
    for part in text.split("\\"):
        if part.strip() and not (len(part) <= 32 and pattern.fullmatch(part.strip())):  # noqa: PLR2004
            raise ValueError("it is not a number")


def _has(encoding: str, character: str) -> bool:
    try:
        character.encode(encoding)
    except UnicodeError:
        return False
    return True


def _decimal(code: str, part: bytes) -> str:
    if code.endswith("HH"):
        return "({:04X},{:04X})".format(*struct.unpack(code, part))
    (number,) = struct.unpack(code, part)
    if not code.endswith("f") or not isfinite(number):
        return str(number)
    # the shortest text that is the same 32-bit number: 0.1, not 0.10000000149011612
    candidates = (f"{number:.{digits}g}" for digits in range(6, 10))
    return next(one for one in candidates if struct.pack(code, float(one)) == part)


def _looks_like_text(raw: bytes) -> bool:
    return all(byte >= 0x20 and byte != 0x7F for byte in raw.rstrip(b"\0 "))  # noqa: PLR2004


def _strip(vr: str, decoded: str) -> str:
    if vr in LONG_TEXT:
        return decoded.rstrip(" \0")
    return "\\".join(part.strip(" \0") for part in decoded.split("\\"))


def _decode_text(vr: str, raw: bytes, terms: Sequence[str], charset: str | None) -> str:
    """Decode by what was declared; by the configured set, or UTF-8, where nothing was."""
    if b"\x1b" not in raw and raw.isascii():
        return told_apart(raw.decode("ascii"))
    names = _known(terms) if vr in LOCAL_TEXT else []
    assumed = _known((charset or "").split("\\")) if not names else []
    for several in (names, assumed, ["utf-8"]):
        decoded = _decoded(vr, raw, several)
        if decoded is not None:
            return told_apart(decoded)
    return "".join(chr(one) if one < 0x80 else f"\\x{one:02x}" for one in _told_apart_bytes(raw))  # noqa: PLR2004


def _decoded(vr: str, raw: bytes, names: list[str]) -> str | None:
    """Decode by one set, or by several with escape sequences (PS3.5 6.1.2.5); None: it is none."""
    if len(names) > 1:
        delimiters = PN_DELIMS if vr == "PN" else TEXT_VR_DELIMS
        text = decode_bytes(raw, convert_encodings(names), delimiters)
        return None if "\ufffd" in text else text
    for name in names:
        try:
            return raw.decode(python_encoding.get(name, name))
        except UnicodeError:
            return None
    return None


def _told_apart_bytes(raw: bytes) -> bytes:
    return told_apart(raw.decode("latin-1")).encode("latin-1")


def _known(terms: Sequence[str]) -> list[str]:
    """Keep terms that mean something; the default repertoire alone says nothing above 0x7F."""
    spelled = [term.strip().upper().replace("ISO-IR", "ISO_IR") for term in terms]
    kept = [term for term in spelled if term in python_encoding]
    return kept if len(kept) > 1 or (kept and kept[0] not in {"", "ISO_IR 6"}) else []
