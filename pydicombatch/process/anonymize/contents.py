"""Values to text: what `@contents` and every other function read from an element."""

import struct
from collections.abc import Callable
from typing import Any, Final

from pydicombatch.process.anonymize.instance import DataSet, Element
from pydicombatch.process.anonymize.javatext import float_text
from pydicombatch.process.anonymize.tables import private_tag

BOTH_ENDS: Final = frozenset(["AE", "CS", "DS", "IS", "LO", "SH"])
TRAILING: Final = frozenset(["LT", "ST", "UT", "UC", "UI", "DA", "DT", "TM"])
TEXT: Final = BOTH_ENDS | TRAILING | {"AS", "PN"}
_PADDING: Final = " \0"
_NUMBERS: Final = {"US": "H", "SS": "h", "UL": "I", "SL": "i"}
_FORMATTED: Final[dict[str, tuple[str, Callable[[Any], str]]]] = {
    "FL": ("f", lambda number: float_text(number, single=True)),
    "OF": ("f", lambda number: float_text(number, single=True)),
    "FD": ("d", lambda number: float_text(number, single=False)),
    "OW": ("H", lambda word: f"{word:04X}"),
}
_PRIVATE_NUMBERS: Final = {"US": "H", "SS": "H", "UL": "i", "SL": "i"}


def trimmed(text: str, vr: str) -> str:
    """Drop the padding that reading and storing ignore."""
    if vr in BOTH_ENDS:
        return text.lstrip(" ").rstrip(_PADDING)
    if vr in TRAILING:
        return text.rstrip(_PADDING)
    return text.rstrip(" \0^") if vr == "PN" else text


def contents(dataset: DataSet, element: Element) -> str | None:
    """Return the text of an element, values joined by backslashes.

    Returns
    -------
    The text, empty for an empty element, or nothing for sequences, fragments and what the tool
    cannot read.
    """
    if element.items is not None or element.undefined:
        return None
    tag = element.tag
    if tag & 0x10000 and tag & 0xFFFF >= 0x100:  # noqa: PLR2004 - private, not a creator
        creator = dataset.creator(tag)
        known = private_tag(creator, tag)
        if known or creator == "CTP":
            return _private(dataset, element, known.vr if known else "LO")
    return _public(dataset, element)


def _private(dataset: DataSet, element: Element, vr: str) -> str | None:
    if vr in TEXT or vr == "UN":
        return dataset.charset.decode(element.value)
    if kind := _PRIVATE_NUMBERS.get(vr):
        if dataset.parent is not None or dataset.meta is None:
            return None  # the tool takes the byte order from the meta information of this level
        return _numbers(element.value, kind, dataset)
    return _public(dataset, element)


def _public(dataset: DataSet, element: Element) -> str:
    vr, value = element.vr, element.value
    if vr in TEXT:
        return trimmed(dataset.charset.decode(value), vr)
    if kind := _NUMBERS.get(vr):
        return _numbers(value, kind, dataset)
    if vr in _FORMATTED:
        kind, text = _FORMATTED[vr]
        return _numbers(value, kind, dataset, text)
    if vr == "AT":
        return _tags(value, dataset)
    return "\\".join(f"{byte:02X}" for byte in value)


def _numbers(value: bytes, kind: str, dataset: DataSet, text: Callable[[Any], str] = str) -> str:
    order = ">" if dataset.big_endian else "<"
    count = len(value) // struct.calcsize(kind)
    return "\\".join(map(text, struct.unpack_from(f"{order}{count}{kind}", value)))


def _tags(value: bytes, dataset: DataSet) -> str:
    order = ">" if dataset.big_endian else "<"
    words = struct.unpack_from(f"{order}{len(value) // 4 * 2}H", value)
    return "\\".join(f"{g:04X}{e:04X}" for g, e in zip(words[::2], words[1::2], strict=True))
