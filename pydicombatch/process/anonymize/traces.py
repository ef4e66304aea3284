"""Identifiers of one instance, to find them again where nobody would look for them."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Final

from pydicom.datadict import keyword_for_tag

from pydicombatch.process.anonymize import hidden
from pydicombatch.process.anonymize.contents import contents
from pydicombatch.process.anonymize.instance import DataSet, Element
from pydicombatch.process.anonymize.vocabulary import VOCABULARY

_NAMING: Final = re.compile(r"Name|ID|Number|Person|Patient|Physician|Address|Institution|AETitle")
_DESCRIBING: Final = re.compile(r"Protocol|Description|Comment|Sex|Age|Size|Weight")
_TEXTS: Final = frozenset(("AE", "LO", "LT", "SH", "ST", "UC", "UT"))
_WORD: Final = re.compile(r"[^\W_]+")
_SHORTEST_WORD: Final = 3  # characters of a part of a name
_SHORTEST: Final = 4  # of another identifier; a shorter one is met by chance
_SHORTEST_WITHIN: Final = 6  # where any bytes may stand beside it
_LETTERS: Final = re.compile(rf"[^\W\d_]{{{_SHORTEST_WITHIN},}}")
_BIRTH_DATE: Final = 0x00100030
_PATIENT: Final = 0x0010  # group; its identifiers are looked for by their letters alone, too


@dataclass(frozen=True, slots=True)
class Traces:
    """Words of names, and whole identifiers, in upper case."""

    words: frozenset[str]
    raw: tuple[bytes, ...] = ()

    def among(self, text: str) -> bool:
        """Whether a text holds one as a word of its own, or a long one anywhere."""
        upper = text.upper()
        if not self.words.isdisjoint([upper.strip(), *_WORD.findall(upper)]):
            return True
        return any(word in upper for word in self.words if len(word) >= _SHORTEST_WITHIN)

    def is_one(self, number: str) -> bool:
        """Whether a number is a long one, as a whole: a short one is met by chance."""
        digits = number.strip().lstrip("+-")
        return len(digits) >= _SHORTEST_WITHIN and digits in self.words

    def within(self, value: bytes) -> bool:
        """Whether bytes hold a long one as it was written."""
        return any(raw in value for raw in self.raw)


def of(root: DataSet, is_listed: Callable[[int], bool]) -> Traces:
    """Collect them from all levels.

    Parameters
    ----------
    is_listed
        Whether the profile replaces or removes an element: only these identify.
    """
    found = set(_found(root, is_listed))
    raw = {word.encode("utf-8") for word in found if len(word) >= _SHORTEST_WITHIN}
    upper = frozenset(word.upper() for word in found if word.lower() not in VOCABULARY)
    return Traces(upper, tuple(sorted(raw)))


def _found(level: DataSet, is_listed: Callable[[int], bool]) -> Iterator[str]:
    for written in level:
        element = hidden.named(written, level) or written
        for item in element.items or ():
            yield from _found(item, is_listed)
        tag = element.tag
        named = element.vr in _TEXTS and is_listed(tag) and _names(tag)
        if named or element.vr == "PN" or tag == _BIRTH_DATE:
            yield from _parts(level, element)


def _parts(level: DataSet, element: Element) -> Iterator[str]:
    text = contents(level, element) or ""
    if element.vr == "PN":
        yield from (word for word in _WORD.findall(text) if len(word) >= _SHORTEST_WORD)
    if element.vr == "PN" or element.tag >> 16 == _PATIENT:
        yield from _LETTERS.findall(text)
    if element.vr == "PN":
        return
    for value in text.split("\\"):
        if len(value.strip()) >= _SHORTEST:
            yield value.strip()


@cache
def _names(tag: int) -> bool:
    keyword = keyword_for_tag(tag)
    return bool(_NAMING.search(keyword)) and not _DESCRIBING.search(keyword)
