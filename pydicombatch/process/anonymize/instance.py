"""Instances in memory: elements as the file has them, values undecoded."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Final, NamedTuple, Optional

from pydicombatch.process.anonymize import charset
from pydicombatch.process.anonymize.charset import Charset

CHARSET_TAG: Final = 0x00080005
SOP_CLASS: Final = 0x00080016
SOP_INSTANCE: Final = 0x00080018
STUDY_INSTANCE: Final = 0x0020000D
CODE_SEQUENCE: Final = 0x00120064
ENCAPSULATED_DOCUMENT: Final = 0x00420011
PIXEL_DATA: Final = 0x7FE00010

CODING_SCHEME_UID: Final = 0x0008010C
# DICOM's own, and the branch of HL7's for coding systems
_REGISTERED: Final = ("1.2.840.10008.", "2.16.840.1.113883.6.")

IMPLICIT: Final = "1.2.840.10008.1.2"
EXPLICIT: Final = "1.2.840.10008.1.2.1"
DEFLATED: Final = "1.2.840.10008.1.2.1.99"
BIG_ENDIAN: Final = "1.2.840.10008.1.2.2"


class Element(NamedTuple):
    """One element; `items` is set for sequences, `undefined` for fragments kept as they are."""

    tag: int
    vr: str
    value: bytes
    items: tuple["DataSet", ...] | None = None
    undefined: bool = False


@dataclass(eq=False)
class DataSet:
    """Elements of one level; `parent` is the data set that holds the sequence of this item."""

    elements: dict[int, Element]
    parent: Optional["DataSet"] = None
    big_endian: bool = False
    meta: dict[int, Element] | None = None  # of the root, when the file has it

    @cached_property
    def root(self) -> "DataSet":
        """The outermost data set."""
        level = self
        while level.parent is not None:
            level = level.parent
        return level

    @cached_property
    def charset(self) -> Charset:
        """What (0008,0005) of this level, or of the nearest one around it, selects."""
        element = self.elements.get(CHARSET_TAG)
        if element is None:
            return self.parent.charset if self.parent is not None else charset.PLATFORM
        return charset.of(tuple(code_strings(element)))

    def __iter__(self) -> Iterator[Element]:
        return iter(self.elements.values())

    def creator(self, tag: int) -> str:
        """Return the private creator of the block that a private element lies in, or nothing."""
        element = self.elements.get(tag & 0xFFFF0000 | (tag >> 8 & 0xFF))
        if element is None or tag & 0xFFFF < 0x100:  # noqa: PLR2004 - a creator itself
            return ""
        return self.charset.decode(element.value).strip(" \0")

    def block_of(self, group: int, creator: str) -> int | None:
        """Find the first block (01 to FF) reserved by a creator, in its exact case."""
        for block in range(1, 0x100):
            element = self.elements.get(group << 16 | block)
            if element and self.charset.decode(element.value).strip(" \0") == creator:
                return block
        return None


def code_strings(element: Element) -> list[str]:
    """Return the values of a CS, LO or UI element that holds plain ASCII."""
    text = element.value.decode("latin-1").strip(" \0")
    return [value.strip(" \0") for value in text.split("\\")]


def is_registered(element: Element) -> bool:
    """Tell whether the UIDs of an element are those of standards, which no instance has."""
    return all(value.startswith(_REGISTERED) for value in code_strings(element))


def fix_charset(dataset: DataSet) -> None:
    """Give the root a character set that the tool knows, `ISO_IR 100` where it has none."""
    element = dataset.elements.get(CHARSET_TAG)
    values = code_strings(element) if element else []
    if values in ([], [""]) or not charset.known(values[0]):
        fixed = Element(CHARSET_TAG, "CS", charset.DEFAULT.encode())
        dataset.elements = dict(sorted({**dataset.elements, CHARSET_TAG: fixed}.items()))
        dataset.__dict__.pop("charset", None)
