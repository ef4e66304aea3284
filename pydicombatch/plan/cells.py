"""What a batch file consists of, whatever its format, and which cells nobody can have meant."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

# What a spreadsheet makes of a long number; an identifier of a person never has a signed exponent.
_MANGLED = re.compile(r"[+-]?[0-9]+(?:[.,][0-9]+)?[eE][+-][0-9]+")
_SHEET_ERRORS = frozenset({"#N/A", "#REF!", "#VALUE!", "#NAME?", "#DIV/0!", "#NUM!", "#NULL!"})
_INVISIBLE = "\ufeff\u200b\u2060"  # byte order mark, zero width space, word joiner


@dataclass(frozen=True, slots=True)
class Bad:
    """A cell that cannot be sent; says why, without its value."""

    problem: str  # goes on from "The cell of <column> "
    remedy: str


@dataclass(frozen=True, slots=True)
class Record:
    """One line of a table as it was read."""

    line: int  # in the file, from 1
    cells: tuple[str | Bad, ...]

    @property
    def is_blank(self) -> bool:
        """Whether there is nothing in it."""
        return not any(self.cells)


class Table(Protocol):
    """A file that can be read from its beginning as often as wanted."""

    def records(self) -> Iterator[Record]:
        """Yield every line that is not blank, the header first.

        Raises
        ------
        ConfigError
            If the file cannot be read any further.
        """


def clean(text: str) -> str | Bad:
    """Strip a cell, and refuse what a spreadsheet or a broken file has left in it."""
    stripped = text.strip().strip(_INVISIBLE).strip()
    if "\0" in stripped:
        return Bad("has NUL bytes", "Save the file again as CSV in UTF-8")
    if _MANGLED.fullmatch(stripped):
        return Bad(
            "is a number that a spreadsheet has shortened",
            "Format the column as text in the spreadsheet and enter the original again",
        )
    if stripped in _SHEET_ERRORS:
        return Bad("is an error of the spreadsheet", "Correct the formula or the value there")
    return stripped
