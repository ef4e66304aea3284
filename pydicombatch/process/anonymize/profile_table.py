"""PS3.15 Table E.1-1 as rules: what the basic profile and its options do with each element."""

import json
from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from importlib.resources import files
from typing import Final

from pydicombatch.core.errors import ConfigError


class Option(StrEnum):
    """Options of PS3.15 E.3, by the names of their columns."""

    RETAIN_SAFE_PRIVATE = "retain_safe_private"
    RETAIN_UIDS = "retain_uids"
    RETAIN_DEVICE = "retain_device"
    RETAIN_INSTITUTION = "retain_institution"
    RETAIN_PATIENT_CHARS = "retain_patient_chars"
    RETAIN_LONG_FULL_DATES = "retain_long_full_dates"
    RETAIN_LONG_MODIFIED_DATES = "retain_long_modified_dates"
    CLEAN_DESC = "clean_desc"
    CLEAN_STRUCT = "clean_struct"
    CLEAN_GRAPH = "clean_graph"


# PS3.16 CID 7050
CODES: Final = {
    Option.CLEAN_GRAPH: "113103",
    Option.CLEAN_STRUCT: "113104",
    Option.CLEAN_DESC: "113105",
    Option.RETAIN_LONG_FULL_DATES: "113106",
    Option.RETAIN_LONG_MODIFIED_DATES: "113107",
    Option.RETAIN_PATIENT_CHARS: "113108",
    Option.RETAIN_DEVICE: "113109",
    Option.RETAIN_UIDS: "113110",
    Option.RETAIN_SAFE_PRIVATE: "113111",
    Option.RETAIN_INSTITUTION: "113112",
}
_TAG_DIGITS: Final = 8


class Code(StrEnum):
    """Action codes of PS3.15 Table E.1-1a; where a row leaves a choice, the one that fits most."""

    REMOVE = "X"
    EMPTY = "Z"
    DUMMY = "D"
    UID = "U"
    KEEP = "K"
    CLEAN = "C"
    SHIFT = "S"  # C of the modified dates option


@dataclass(frozen=True, slots=True)
class Rules:
    """Action codes by tag, for one choice of options."""

    by_tag: dict[int, Code]
    overlays: Code
    curves: Code
    private: Code

    def code(self, tag: int) -> Code | None:
        """Return the action for a tag; nothing if the table does not name it."""
        group = tag >> 16
        if group & 1:
            return self.private
        if group & 0xFF00 == 0x5000:  # noqa: PLR2004 - repeating groups, PS3.5 7.6
            return self.curves
        if group & 0xFF00 == 0x6000 and tag & 0xFFFF in {0x3000, 0x4000}:  # noqa: PLR2004
            return self.overlays
        return self.by_tag.get(tag)


def options_of(names: Collection[str]) -> frozenset[Option]:
    """Read option names.

    Raises
    ------
    ConfigError
        If a name is unknown, or both date options are asked for.
    """
    known = {option.value for option in Option}
    unknown = sorted(set(names) - known)
    if unknown:
        raise ConfigError.of(
            f"There is no profile option {', '.join(unknown)}",
            f"Choose among {', '.join(sorted(known))}",
        )
    options = frozenset(map(Option, names))
    if {Option.RETAIN_LONG_FULL_DATES, Option.RETAIN_LONG_MODIFIED_DATES} <= options:
        raise ConfigError.of(
            "Dates cannot be both retained and modified",
            "Choose retain_long_full_dates or retain_long_modified_dates",
        )
    return options


@cache
def rules(options: frozenset[Option]) -> Rules:
    """Read the table for a choice of options."""
    by_tag, others = {}, {}
    for row in _rows():
        code = _code(row, options)
        if len(row["id"]) == _TAG_DIGITS and "x" not in row["id"]:
            by_tag[int(row["id"], 16)] = code
        else:
            others[row["id"][:4]] = code
    return Rules(by_tag, others["60xx"], others["50xx"], others["gggg"])


@cache
def _rows() -> list[dict[str, str]]:
    text = files(__package__).joinpath("data/ps3.15-confidentiality.json").read_text("utf-8")
    rows: list[dict[str, str]] = json.loads(text)
    return rows


def _code(row: dict[str, str], options: frozenset[Option]) -> Code:
    """Retaining outranks cleaning, which outranks the basic profile (PS3.15 E.3)."""
    chosen = {option: row[option] for option in options if row[option]}
    if "K" in chosen.values():
        return Code.KEEP
    if Option.RETAIN_LONG_MODIFIED_DATES in chosen:
        return Code.SHIFT
    if chosen:
        return Code.CLEAN
    return _basic(row["basic"])


def _basic(text: str) -> Code:
    """Choose among alternatives what satisfies the strictest type: images stay valid."""
    codes = text.replace("*", "").split("/")
    return next(code for code in (Code.UID, Code.DUMMY, Code.EMPTY, Code.REMOVE) if code in codes)
