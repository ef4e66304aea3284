"""Text and numbers as Java has them: trim, split, parseInt, parseFloat, toString.

Java strings count UTF-16 code units; the functions that cut or measure do the same.
"""

import re
from typing import Final

import numpy as np

INT_MIN: Final = -(2**31)
INT_MAX: Final = 2**31 - 1
LONG_MAX: Final = 2**63 - 1

_CONTROL_AND_BLANK: Final = "".join(map(chr, range(0x21)))
# Character.isWhitespace: the Unicode separators without the no-break spaces, and eleven controls
_WHITESPACE: Final = frozenset(
    "\t\n\x0b\x0c\r\x1c\x1d\x1e\x1f \u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006"
    "\u2008\u2009\u200a\u2028\u2029\u205f\u3000"
)
_FLOAT: Final = re.compile(
    r"[+-]?(?:NaN|Infinity|(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?[fFdD]?)"
)
_HEX_FLOAT: Final = re.compile(
    r"([+-]?0[xX](?:[0-9a-fA-F]+\.?[0-9a-fA-F]*|\.[0-9a-fA-F]+)[pP][+-]?[0-9]+)[fFdD]?"
)


def trim(text: str) -> str:
    """`String.trim`: drop everything up to U+0020 from both ends."""
    return text.strip(_CONTROL_AND_BLANK)


def is_whitespace(character: str) -> bool:
    """`Character.isWhitespace`, which is false for no-break spaces."""
    return character in _WHITESPACE


def without_whitespace(text: str) -> str:
    r"""Remove what `\\s` matches in Java, the six ASCII blanks."""
    return re.sub(r"[ \t\n\x0b\f\r]", "", text)


def split(text: str, separator: str) -> list[str]:
    """`String.split` by one literal character: trailing empty pieces are dropped."""
    pieces = text.split(separator)
    if len(pieces) == 1:
        return pieces
    while pieces and not pieces[-1]:
        pieces.pop()
    return pieces


def digits_of(text: str) -> str:
    """Remove everything but ASCII digits."""
    return re.sub(r"[^0-9]", "", text)


def parse_int(text: str) -> int:
    """`Integer.parseInt`.

    Raises
    ------
    ValueError
        If the text has anything but digits after an optional sign, or leaves the 32-bit range.
    """
    return _integer(text, INT_MAX)


def parse_long(text: str) -> int:
    """`Long.parseLong`; raises `ValueError` as `parse_int` does."""
    return _integer(text, LONG_MAX)


def _integer(text: str, largest: int) -> int:
    digits = text[1:] if text[:1] in {"+", "-"} else text
    if not digits.isdecimal():
        raise ValueError("not an integer")
    value = int(text)
    if not -largest - 1 <= value <= largest:
        raise ValueError("out of range")
    return value


def int_or(text: str, default: int) -> int:
    """`parse_int`, or the default where Java's caller swallows the exception."""
    try:
        return parse_int(text)
    except ValueError:
        return default


def parse_double(text: str) -> float:
    """`Double.parseDouble`: blanks around, `f`/`d` suffix, hexadecimal, `NaN`, `Infinity`.

    Raises
    ------
    ValueError
        If the text is no Java floating-point number.
    """
    bare = trim(text)
    if match := _HEX_FLOAT.fullmatch(bare):
        return float.fromhex(match[1])
    if not _FLOAT.fullmatch(bare):
        raise ValueError("not a number")
    return float(bare.rstrip("fFdD") if bare[-1:] in "fFdD" else bare)


def parse_float(text: str) -> float:
    """`Float.parseFloat`: the nearest 32-bit number; raises `ValueError`."""
    with np.errstate(over="ignore"):
        return float(np.float32(parse_double(text)))


def float_text(value: float, *, single: bool) -> str:
    """`Float.toString` (single) or `Double.toString`: `5.0`, `1.0E10`, `1.0E-4`."""
    if value != value:  # noqa: PLR0124 - the test for NaN
        return "NaN"
    if value in {float("inf"), float("-inf")}:
        return "Infinity" if value > 0 else "-Infinity"
    sign = "-" if np.signbit(value) else ""
    if value == 0:
        return sign + "0.0"
    number = np.float32(abs(value)) if single else np.float64(abs(value))
    mantissa, _, exponent = np.format_float_scientific(number, unique=True, trim="0").partition("e")
    power = int(exponent)
    if not -3 <= power < 7:  # noqa: PLR2004 - Java: 10^-3 <= |value| < 10^7 is plain
        return f"{sign}{mantissa}E{power}"
    return sign + np.format_float_positional(number, unique=True, trim="0")


def round_half_up(value: float) -> int:
    """`Math.round(float)`: the nearest 32-bit integer, halves upwards."""
    if not np.isfinite(value):
        return 0 if np.isnan(value) else (INT_MAX if value > 0 else INT_MIN)
    nearest = int(np.floor(np.float64(value) + 0.5))
    return max(INT_MIN, min(INT_MAX, nearest))


def wrapped(number: int) -> int:
    """Keep 32 bits, as the arithmetic of `int` does."""
    return (number - INT_MIN) % 2**32 + INT_MIN


def length(text: str) -> int:
    """`String.length`: UTF-16 code units."""
    if text.isascii():
        return len(text)
    return len(text) + sum(c > "\uffff" for c in text)


def first(text: str, count: int) -> str:
    """`substring(0, count)` of a text that may be shorter."""
    if text.isascii() or max(text) <= "\uffff":
        return text[:count]
    return _units(text)[: 2 * count].decode("utf-16-le", "replace")


def last(text: str, count: int) -> str:
    """Return the last code units of a text that may be shorter."""
    if text.isascii() or max(text) <= "\uffff":
        return text[-count:] if count else ""
    units = _units(text)
    return units[max(0, len(units) - 2 * count) :].decode("utf-16-le", "replace")


def _units(text: str) -> bytes:
    return text.encode("utf-16-le", "surrogatepass")
