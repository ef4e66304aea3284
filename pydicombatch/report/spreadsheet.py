"""Cells that a spreadsheet neither carries out nor changes (fault S07). Pure.

A spreadsheet takes `=1+1` for a formula, and `007`, `1234567890123456`, `1E5` or `3-4` for numbers
and dates, which it changes for good when the file is saved. An apostrophe in front, which is how a
person marks text there, prevents both. Take one apostrophe away to get the value back.
"""

import re
import unicodedata
from collections.abc import Iterable

LONGEST = 11  # digits; longer numbers are shown, and saved, as 1.23E+11
MARK = "'"
_ACTIVE = frozenset("=+-@\t\r\n|%'")
_NUMBER = re.compile(r"[0-9]*[.,]?[0-9]*(?:[eE][0-9]+)?")
_PLAIN = re.compile(r"0|[1-9][0-9]*|(?:0|[1-9][0-9]*)\.[0-9]*[1-9]")
_DATE = re.compile(r"[0-9]+(?:[-/.:][0-9]+){1,2}|[0-9]*[- /]?[A-Za-z]{3,9}[- /.]?[0-9]+")


def safe(cell: str) -> str:
    """Mark a cell as text if a spreadsheet would do anything else with it."""
    seen = unicodedata.normalize("NFKC", cell).lstrip(" \u00a0\ufeff")  # full width signs as well
    if (seen[:1] in _ACTIVE and seen) or _is_changed(seen):
        return MARK + cell
    return cell


def guarded(cells: Iterable[str]) -> tuple[str, ...]:
    """Make a whole row safe, or the names of its columns."""
    return tuple(map(safe, cells))


def _is_changed(text: str) -> bool:
    """Whether a spreadsheet would show, and save, something else."""
    if not any(map(str.isdigit, text)):
        return False
    text = text.strip()
    if _NUMBER.fullmatch(text):
        return not _PLAIN.fullmatch(text) or sum(map(str.isdigit, text)) > LONGEST
    return _DATE.fullmatch(text) is not None
