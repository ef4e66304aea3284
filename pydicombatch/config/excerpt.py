"""A line of the operator's file under what is wrong with it. Pure: text in, text out.

An excerpt goes where messages go, into mails and tickets too. What may be a patient's value or a
secret is therefore left out of it; what the environment fills in was never in the file.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from pydicombatch.core.log import printable

WIDEST = 100  # characters of a line that are shown
LEFT_OUT = "…"

_BREAK = re.compile("\r\n|[\n\r\x85\u2028\u2029]")  # as YAML counts lines
_ELEMENT = r"(?:[A-Z]\w*|\([0-9A-Fa-f]{4},\s*[0-9A-Fa-f]{4}\))[\w.\[\]]*"
_SECRETS = r"(?:key\w*|\w*(?:password|passphrase|secret|token|credential|webhook)\w*)"
_HIDDEN = (
    re.compile(r"=(?P<hidden>.+)"),  # the value of an element, wherever it stands
    re.compile(rf"(?:^|[\s{{,])[\"']?(?:{_ELEMENT})[\"']?\s*:\s+(?P<hidden>.+)"),
    re.compile(rf"(?i:(?:^|[\s{{,])[\"']?{_SECRETS}[\"']?\s*:\s*(?P<hidden>.+))"),
    re.compile(r"//(?P<hidden>[^\s/@]+@.*)"),  # a name and a password in a URL
)
_ITEM = re.compile(r"^\s*-\s+(?P<hidden>.+)")
_NUMBER = re.compile(r"(?P<hidden>\d{4,}.*)")


@dataclass(frozen=True, slots=True)
class Spot:
    """A place in the file."""

    line: int  # from 1; 0 is the whole file
    column: int = -1  # from 0; below 0 the whole line
    length: int = 1


def lines_of(text: str) -> tuple[str, ...]:
    """Split a text where YAML does."""
    return tuple(_BREAK.split(text))


def excerpt(lines: Sequence[str], spot: Spot, *, items: bool = False, numbers: bool = False) -> str:
    """Return a line with its number, and a second one that points at the place.

    Parameters
    ----------
    lines
        The file.
    spot
        What is wrong.
    items
        Leave out what stands behind a dash.
    numbers
        Leave out long numbers and what follows them: it is not known what they are.
    """
    if not 1 <= spot.line <= len(lines) or not lines[spot.line - 1].strip():
        return ""
    line = lines[spot.line - 1]
    patterns = (*_HIDDEN, *([_ITEM] if items else []), *([_NUMBER] if numbers else []))
    end = min(
        (found.start("hidden") for one in patterns if (found := one.search(line))), default=-1
    )
    kept = line.rstrip() if end < 0 else line[:end]
    start = max(0, spot.column - WIDEST // 2) if len(kept) > WIDEST else 0
    shown = printable(kept[start : start + WIDEST])
    tail = LEFT_OUT if end >= 0 or len(kept) > start + WIDEST else ""
    margin = f"{spot.line:>6} | "
    first = f"{margin}{LEFT_OUT if start else ''}{shown}{tail}"
    if not 0 <= spot.column <= len(kept):
        return first
    before = len(printable(kept[start : spot.column])) + bool(start)
    length = len(printable(kept[spot.column : spot.column + spot.length])) or 1
    return f"{first}\n{'|':>8} {' ' * before}{'^' * min(length, WIDEST)}"
