"""Text to values: how a result is stored by VR, and when it cannot be.

The checks are those of the Java tool's library, no stricter: field ranges of dates and times
pass, a DS may hold anything.
"""

import struct
from collections.abc import Callable
from typing import Final

from pydicombatch.process.anonymize.charset import PLATFORM, Charset
from pydicombatch.process.anonymize.contents import TEXT, trimmed
from pydicombatch.process.anonymize.instance import Element
from pydicombatch.process.anonymize.javatext import (
    INT_MAX,
    INT_MIN,
    is_whitespace,
    length,
    parse_double,
    parse_float,
    parse_int,
    parse_long,
    split,
)
from pydicombatch.process.anonymize.tables import private_tag

_UNENCODED: Final = frozenset(
    ["AE", "AS", "CS", "DA", "DS", "DT", "IS", "TM", "UI"]
)  # the platform's charset
_RANGES: Final = {
    "US": ("H", 0, 0xFFFF),
    "SS": ("h", -0x8000, 0x7FFF),
    "UL": ("I", 0, 0xFFFFFFFF),
    "SL": ("i", INT_MIN, INT_MAX),
}
_WITHOUT_TEXT: Final = frozenset(["OB", "OF", "OW", "SQ", "UN"])  # not even an empty one
_NAME_GROUPS: Final = 3
_COMPONENTS: Final = 5
_LONGEST_GROUP: Final = 64  # characters, PS3.5 table 6.2-1, PN
_LONGEST_LO: Final = 64  # characters, PS3.5 table 6.2-1
_ZONE: Final = 5  # characters of +ZZZZ


class StoreError(ValueError):
    """The text cannot be a value of this VR; the tool keeps the original."""


def store_public(
    tag: int, vr: str, text: str, charset: Charset, *, big_endian: bool = False
) -> Element:
    """Make an element of an even group; raises `StoreError`."""
    if not text:
        if vr == "SQ":
            raise StoreError("a sequence cannot be emptied by a value")
        return Element(tag, vr, b"")
    return Element(tag, vr, encode(vr, split(text, "\\"), charset, big_endian=big_endian))


def store_private(
    tag: int, text: str, creator: str, charset: Charset, *, big_endian: bool = False
) -> Element:
    """Make an element of an odd group: its VR comes from the table of private elements, or LO."""
    if tag & 0xFFFF < 0x100:  # noqa: PLR2004 - a private creator
        return Element(tag, "LO", encode("LO", [text], charset))
    known = private_tag(creator, tag)
    if known and (text or known.vr not in _WITHOUT_TEXT):
        try:
            return Element(tag, known.vr, encode(known.vr, [text], charset, big_endian=big_endian))
        except StoreError:
            pass  # as the tool does: text that does not suit the VR becomes LO
    vr = "LO" if length(text) <= _LONGEST_LO else "LT"
    return Element(tag, vr, encode(vr, [text], charset))


def encode(vr: str, values: list[str], charset: Charset, *, big_endian: bool = False) -> bytes:
    """Encode the values of one element; raises `StoreError`."""
    if vr in TEXT:
        return _strings(vr, values, charset)
    if values in ([], [""]):
        return b""
    try:
        return b"".join(_number(vr, value, ">" if big_endian else "<") for value in values)
    except (ValueError, struct.error, OverflowError) as error:
        raise StoreError(f"not a value of VR {vr}") from error


def _strings(vr: str, values: list[str], charset: Charset) -> bytes:
    check = _CHECKS.get(vr)
    try:
        checked = [check(value) if check else _padded(value, vr) for value in values]
    except (ValueError, IndexError) as error:
        raise StoreError(f"not a value of VR {vr}") from error
    return (PLATFORM if vr in _UNENCODED else charset).encode("\\".join(checked))


def _padded(value: str, vr: str) -> str:
    return value if vr in {"AS", "UI"} else trimmed(value, vr)


def _number(vr: str, value: str, order: str) -> bytes:
    if limits := _RANGES.get(vr):
        kind, low, high = limits
        number = parse_long(value) if vr == "UL" else parse_int(value)
        if not low <= number <= high:
            raise ValueError("out of range")
        return struct.pack(order + kind, number)
    match vr:
        case "FL":
            return struct.pack(order + "f", parse_float(value))
        case "FD":
            return struct.pack(order + "d", parse_double(value))
        case "AT":
            return _attribute_tag(value, order)
        case _:
            raise ValueError("text cannot be stored")


def _attribute_tag(value: str, order: str) -> bytes:
    digits = value.lstrip("+")
    if not 1 <= len(digits) <= 8 or not all(c in "0123456789abcdefABCDEF" for c in digits):  # noqa: PLR2004
        raise ValueError("not a tag")
    number = int(digits, 16)
    return struct.pack(order + "HH", number >> 16, number & 0xFFFF)


def person_name(value: str) -> str:
    """Read a PN as the tool does: from the sixth component on, the last one replaces the fifth."""
    groups = value.split("=")
    if len(groups) > _NAME_GROUPS or any(length(group) > _LONGEST_GROUP for group in groups):
        raise StoreError("not a value of VR PN")
    return "=".join(map(_name_group, groups)).rstrip("=")


def _name_group(group: str) -> str:
    components = group.split("^")
    kept = components[:_COMPONENTS]
    for component in components[_COMPONENTS:]:
        if component:
            kept[-1] = component
    return "^".join(kept).rstrip("^")


def date(value: str) -> str:
    """Check a DA: year, month, and whatever is an integer from the seventh character on."""
    parse_int(_exactly(value, 0, 4))
    at = 4 if value[4].isdecimal() else 5
    parse_int(_exactly(value, at, 2))
    parse_int(value[6:])
    return value.rstrip(" \0")


def time(value: str) -> str:
    """Check a TM: hours, minutes, and a number of seconds."""
    parse_int(_exactly(value, 0, 2))
    _minutes(value, 3 if value[2] == ":" else 2)
    return value.rstrip(" \0")


def date_time(value: str) -> str:
    """Check a DT: a year, and as many fields after it as there are."""
    text = value
    if len(value) > _ZONE and value[-_ZONE] in "+-" and value[-_ZONE + 1 :].isdecimal():
        text = value[:-_ZONE]
    parse_int(_exactly(text, 0, 4))
    at = 4
    for separated in (True, True, False):
        if at >= len(text):
            return value.rstrip(" \0")
        if separated and not text[at].isdecimal():
            at += 1
        parse_int(_exactly(text, at, 2))
        at += 2
    if at < len(text):
        _minutes(text, at + (text[at] == ":"))
    return value.rstrip(" \0")


def _minutes(text: str, at: int) -> None:
    parse_int(_exactly(text, at, 2))
    rest = text[at + 2 :]
    seconds = rest[1:] if rest[:1] == ":" else rest
    if rest and (any(map(is_whitespace, seconds)) or parse_float(seconds) != parse_float(seconds)):
        raise StoreError("not a number of seconds")


def _exactly(text: str, at: int, count: int) -> str:
    piece = text[at : at + count]
    if len(piece) < count:
        raise StoreError("a field is missing")
    return piece


_CHECKS: Final[dict[str, Callable[[str], str]]] = {
    "PN": person_name,
    "DA": date,
    "TM": time,
    "DT": date_time,
}
