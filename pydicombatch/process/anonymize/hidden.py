"""Sequences in values that do not say so: what a strict run looks into before it keeps one."""

from collections.abc import Iterator
from typing import Final

from pydicom.datadict import dictionary_has_tag, dictionary_VR

from pydicombatch.process.anonymize.instance import DataSet, Element
from pydicombatch.process.anonymize.reading import Encoding, NotDicomError, Reader
from pydicombatch.process.anonymize.tables import KNOWN_VRS

VRS: Final = frozenset(("UN", "OB"))
_ITEMS: Final = {False: b"\xfe\xff\x00\xe0", True: b"\xff\xfe\xe0\x00"}  # by big endian


def items(element: Element, level: DataSet) -> Iterator[DataSet]:
    """Yield the items of a sequence, also of one that is called UN or OB.

    The standard asks for implicit little endian in UN (PS3.5 6.2.2 note 4); programs that do not
    know a private sequence leave it as the file was.
    """
    yield from element.items or ()
    if element.items is not None or element.vr not in VRS:
        return
    for encoding in (
        Encoding(explicit=False),
        Encoding(explicit=True, big_endian=level.big_endian),
    ):
        if element.value.startswith(_ITEMS[encoding.big_endian]):
            yield from _parsed(element, level, encoding)


def named(element: Element, level: DataSet) -> Element | None:
    """Return an element of VR UN with the VR that the dictionary gives it, where one is meant.

    Implicit VR and old programs leave newer attributes without one. Nothing is returned for a
    sequence that cannot be read, or whose numbers have another byte order than the file.
    """
    tag = element.tag
    if element.vr != "UN" or tag >> 16 & 1 or not dictionary_has_tag(tag):
        return element
    vr = dictionary_VR(tag)
    if vr == "SQ":
        found = tuple(items(element, level))
        fits = all(item.big_endian == level.big_endian for item in found)
        return Element(tag, "SQ", b"", found) if fits and (found or not element.value) else None
    return element._replace(vr=vr) if vr in KNOWN_VRS and not element.undefined else element


def _parsed(element: Element, level: DataSet, encoding: Encoding) -> tuple[DataSet, ...]:
    try:
        return Reader(element.value, encoding).items(level, undefined=element.undefined)
    except NotDicomError:
        return ()
