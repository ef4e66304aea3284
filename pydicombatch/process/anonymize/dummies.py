"""Dummy values: what stands for a value that must exist and may say nothing (code D)."""

from typing import Final

from pydicombatch.process.anonymize.instance import DataSet, Element
from pydicombatch.process.anonymize.pseudonyms import Pseudonyms

_TEXT: Final = b"ANONYMIZED"
_BY_VR: Final = {
    "AS": b"000Y",
    "DA": b"19000101",
    "DT": b"19000101000000",
    "TM": b"000000",
    "DS": b"0",
    "IS": b"0",
    "PN": b"Anonymized",
    **dict.fromkeys(("AE", "CS", "LO", "LT", "SH", "ST", "UC", "UT"), _TEXT),
    "UR": b"urn:anonymized",
}
_SIZES: Final = {"US": 2, "SS": 2, "OW": 2, "UL": 4, "SL": 4, "AT": 4, "FL": 4, "OF": 4, "FD": 8}


def replaced(element: Element, pseudonyms: Pseudonyms) -> Element:
    """Return the dummy of an element; what is empty stays empty, of items the first remains."""
    tag, vr = element.tag, element.vr
    if element.items is not None:
        return element._replace(items=tuple(_item(i, pseudonyms) for i in element.items[:1]))
    if not element.value.strip(b" \0") and vr in _BY_VR:
        return Element(tag, vr, b"")
    if vr == "UI":
        return uids(element, pseudonyms)
    return Element(tag, vr, _BY_VR.get(vr, bytes(_SIZES.get(vr, 2))))


def uids(element: Element, pseudonyms: Pseudonyms) -> Element:
    """Replace every UID of an element."""
    text = element.value.decode("latin-1").strip(" \0")
    new = "\\".join(pseudonyms.uid(value.strip(" \0")) for value in text.split("\\"))
    return Element(element.tag, "UI", new.encode("latin-1"))


def _item(item: DataSet, pseudonyms: Pseudonyms) -> DataSet:
    elements = {
        element.tag: replaced(element, pseudonyms)
        for element in item
        if not element.tag >> 16 & 1 and not element.undefined
    }
    return DataSet(elements, item.parent, item.big_endian)
