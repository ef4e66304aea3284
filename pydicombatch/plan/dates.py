"""Dates as people write them, to dates as DICOM wants them (PS3.5 6.2). Pure.

`2020-01-02` is unambiguous, yet an archive takes it for a range, or for nothing. `01/02/2020` is
the first of February or the second of January; nobody guesses here.
"""

import re
from dataclasses import replace
from datetime import date

from pydicombatch.core.elements import vr
from pydicombatch.core.model import Key

_DAY = re.compile(r"(\d{4})([-/.])(\d{1,2})\2(\d{1,2})")
_SENT = re.compile(r"(\d{8})?(-(\d{8})?)?|[*?0-9]*[*?][*?0-9]*")


def normal(key: Key) -> Key:
    """Write the dates of a key as DICOM does; what is not plainly a date stays as it is."""
    if not key.value or vr(key.path) != "DA":
        return key
    changed = "\\".join(map(_normal, key.value.split("\\")))
    return key if changed == key.value else replace(key, value=changed)


def is_date(text: str) -> bool:
    """Whether an archive can take this for dates: days, ranges, lists of them, or wildcards."""
    return all(_SENT.fullmatch(one.strip()) is not None for one in text.split("\\"))


def _normal(text: str) -> str:
    """Turn the days in a value or a range around; spaces around the hyphen go."""
    found = _DAY.sub(_digits, text.strip())
    return re.sub(r"\s*-\s*", "-", found)


def _digits(found: re.Match[str]) -> str:
    try:
        return f"{date(int(found[1]), int(found[3]), int(found[4])):%Y%m%d}".zfill(8)
    except ValueError:  # no such day
        return found[0]
