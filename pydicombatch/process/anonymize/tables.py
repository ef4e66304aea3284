"""Names, VRs and private elements that the Java tool knows; origin: THIRD-PARTY.md."""

import csv
from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from typing import Final, NamedTuple

# what dcm4che 1.4 has no name for is carried as UN
KNOWN_VRS: Final = frozenset(
    [
        "AE",
        "AS",
        "AT",
        "CS",
        "DA",
        "DS",
        "DT",
        "FL",
        "FD",
        "IS",
        "LO",
        "LT",
        "OB",
        "OF",
        "OW",
        "PN",
        "SH",
        "SL",
        "SQ",
        "SS",
        "ST",
        "TM",
        "UC",
        "UI",
        "UL",
        "UN",
        "US",
        "UT",
    ]
)
_REPEATING: Final = (0x50, 0x60)


class PrivateTag(NamedTuple):
    """VR and safety code of one private element; `K` alone is safe."""

    vr: str
    safe: bool


class Dictionary(NamedTuple):
    """Names of elements, and the VRs they get on insertion and in implicit VR."""

    tags: dict[str, int]
    insert: dict[int, str]
    implicit: dict[int, str]


def _rows(name: str) -> Iterator[dict[str, str]]:
    text = files(__package__).joinpath("data", name).read_text(encoding="utf-8")
    yield from csv.DictReader(text.splitlines())


@cache
def dictionary() -> Dictionary:
    """Load the element table once per process."""
    tags: dict[str, int] = {}
    insert: dict[int, str] = {}
    implicit: dict[int, str] = {}
    for row in _rows("ctp-element-names.csv"):
        tag = int(row["tag"], 16)
        tags[row["name"]] = tag
        insert[tag] = row["vr_on_insert"]
        implicit[tag] = row["vr_on_implicit_read"]
    return Dictionary(tags, insert, implicit)


@cache
def keywords() -> dict[str, str]:
    """DICOM keywords that differ from the tool's name, with that name: for remedies."""
    rows = _rows("ctp-element-names.csv")
    return {r["pydicom_keyword"]: r["name"] for r in rows if r["pydicom_keyword"] not in {"", "="}}


@cache
def private_tags() -> dict[tuple[int, str, int], PrivateTag]:
    """Private elements by group, upper-case creator and low byte."""
    return {
        (int(r["group"], 16), r["creator"].upper(), int(r["element"], 16)): PrivateTag(
            r["vr"], r["code"] == "K"
        )
        for r in _rows("ctp-private-tags.csv")
    }


def private_tag(creator: str, tag: int) -> PrivateTag | None:
    """Look up a private element under its creator, in any case."""
    return private_tags().get((tag >> 16, creator.upper(), tag & 0xFF))


def base_tag(tag: int) -> int:
    """Map repeating groups 50xx and 60xx to their first."""
    return tag & 0xFF00FFFF if tag >> 24 in _REPEATING else tag


@cache
def implicit_vr(tag: int) -> str:
    """Return the VR the tool assumes when the file does not say."""
    if not tag & 0xFFFF:
        return "UL"
    if tag & 0x10000:
        return "LO" if tag & 0xFFFF < 0x100 else "UN"  # noqa: PLR2004 - PS3.5 7.8.1
    return dictionary().implicit.get(base_tag(tag), "UN")


@cache
def insert_vr(tag: int) -> str:
    """Return the VR of an element that a script inserts."""
    return dictionary().insert.get(base_tag(tag), "SH")
