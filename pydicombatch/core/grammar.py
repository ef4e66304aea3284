"""The grammar of element names: text of an operator to tags, and tags to canonical names."""

import re
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache, lru_cache

from pydicom._dicom_dict import DicomDictionary
from pydicom.datadict import dictionary_keyword, dictionary_VR, tag_for_keyword

from pydicombatch.core.errors import Finding, PydicombatchError

MOST_ITEMS = 100  # of a sequence in an identifier; one is the rule (PS3.4 C.2.2.2.6)

_STEP = re.compile(r"\s*([^\[\]]*?)\s*(?:\[\s*([0-9]+|\*)\s*\])?\s*")
_DELIMITERS = frozenset(",;\t")
_PAIR = re.compile(r"\(?\s*([0-9A-Fa-f]{4})\s*,\s*([0-9A-Fa-f]{4})\s*\)?|([0-9A-Fa-f]{8})")


class ElementError(PydicombatchError):
    """An element that does not exist, or a value that it cannot have. No value is ever named."""

    exit_code = 2

    def finding(self, file: str = "", line: int = 0) -> Finding:
        """Say where the element was written; `line` counts from 1, 0 is the whole file."""
        return Finding(self.problem, self.remedy, file, line)


@dataclass(frozen=True, slots=True)
class Step:
    """One element on the way to the one that is meant."""

    tag: int
    item: int | None  # index in the sequence, from 0; None for an element itself

    def __str__(self) -> str:
        index = "" if self.item is None else f"[{self.item}]"
        return f"{name_of(self.tag)}{index}"


@lru_cache(maxsize=4096)
def steps(text: str) -> tuple[Step, ...]:
    """Read a path.

    Raises
    ------
    ElementError
        If it names no element; the nearest keywords are in the remedy.
    """
    if "=" in text:
        raise ElementError(
            f"{_shown(text)} has a value where only a name belongs", "Remove the = and the value"
        )
    parts = text.split(".")
    last = len(parts) - 1
    return tuple(_step(part, text, inner=number < last) for number, part in enumerate(parts))


def _step(part: str, whole: str, *, inner: bool) -> Step:
    found = _STEP.fullmatch(part)
    if found is None or not found[1]:
        raise ElementError(
            f"{_shown(whole)} is not the name of an element",
            "Write a DICOM keyword such as StudyDate, or a tag such as (0008,0020)",
        )
    name, index = found[1], found[2]
    tag = _tag(name)
    if index == "*" or (index and (len(index) > 3 or int(index) >= MOST_ITEMS)):  # noqa: PLR2004
        raise ElementError(
            f"{_shown(whole)} has an item number that cannot be sent",
            f"Name one item by a number below {MOST_ITEMS}, as in {name_of(tag)}[0]",
        )
    if (inner or index) and vr_of(tag) not in {"SQ", "UN"}:
        raise ElementError(
            f"{_shown(name)} is not a sequence, but {_shown(whole)} treats it as one",
            "Remove the item number and what follows it",
        )
    item = int(index) if index else 0 if inner else None
    return Step(tag, item)


def _tag(name: str) -> int:
    known = tag_for_keyword(name)
    if known is None:
        pair = _PAIR.fullmatch(name)
        if pair is None:
            raise ElementError(f"{_shown(name)} is not a DICOM keyword or tag", _nearest(name))
        known = int(pair[3] or pair[1] + pair[2], 16)
    group = known >> 16
    if group < 0x0008 or group >= 0xFFFA or known & 0xFFFF == 0:  # noqa: PLR2004 - PS3.5 7.1
        raise ElementError(
            f"{_shown(name)} belongs to the protocol or the file format, not to a data set",
            "Choose an element of group 0008 or above that is not a group length",
        )
    return known


@cache
def _lowered() -> dict[str, str]:
    return {entry[4].lower(): entry[4] for entry in DicomDictionary.values() if entry[4]}


@lru_cache(maxsize=256)  # a batch file asks once for each delimiter
def _nearest(name: str) -> str:
    keywords = _lowered()
    # a header that is read with the wrong delimiter resembles nothing, and the search is slow
    sought = "" if set(name) & _DELIMITERS else name[:64].lower().replace(" ", "")
    close = get_close_matches(sought, keywords, n=3, cutoff=0.7) if sought else []
    if not close:
        return "Write a keyword of the DICOM dictionary, or a tag such as (0008,0020)"
    return f"Did you mean {' or '.join(keywords[one] for one in close)}"


@lru_cache(maxsize=4096)
def name_of(tag: int) -> str:
    """Return the canonical name: the keyword if it can be read back, else `(GGGG,EEEE)`."""
    try:
        keyword = dictionary_keyword(tag)
    except KeyError:
        keyword = ""
    # keywords of repeating groups (60xx,3000) stand for many tags and cannot be read back
    return keyword if tag_for_keyword(keyword) == tag else f"({tag >> 16:04X},{tag & 0xFFFF:04X})"


@lru_cache(maxsize=4096)
def vr_of(tag: int) -> str:
    """Return the value representation by the dictionary; `UN` when unknown."""
    if tag >> 16 & 1:
        return "LO" if 0x10 <= tag & 0xFFFF <= 0xFF else "UN"  # noqa: PLR2004 - PS3.5 7.8.1
    try:
        return dictionary_VR(tag)
    except KeyError:
        return "UN"


def _shown(name: str) -> str:
    short = name.strip() if len(name) <= 64 else name[:61] + "..."  # noqa: PLR2004
    return "'" + "".join(c if c.isprintable() else "?" for c in short) + "'"
