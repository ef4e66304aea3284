"""Date arithmetic on the text of DA and DT elements, as the Java tool does it."""

import re
from collections.abc import Callable
from typing import Final

from pydicombatch.process.anonymize.calendar import date_of, day_number
from pydicombatch.process.anonymize.javatext import parse_float, parse_int, split

_NOISE: Final = re.compile(r"[@:T\-\s]", re.ASCII)
_SHORTEST: Final = 8
_SECONDS_A_DAY: Final = 86400
_INTERVAL_BASE: Final = re.compile(r"\s*([+-]?\d+)/\s*([+-]?\d+)/\s*([+-]?\d+)", re.ASCII)

# with the dots of ACR-NEMA 2.0, PS3.5 6.2 note on DA
_DAY_AND_TIME: Final = re.compile(
    r"(\d{4})\.?(\d{2})\.?(\d{2})(\d{2,6}(?:\.\d{1,6})?)?(?:[+-]\d{4})?", re.ASCII
)

Change = Callable[[int], int]


class DateError(ValueError):
    """The text is not a date that the tool understands."""


def changed(text: str, change: Change) -> str:
    """Apply a change of the day number to every value of a date or date and time.

    Raises
    ------
    ValueError
        If a value is not a date.
    """
    return "\\".join(_changed(value, change) for value in split(text, "\\"))


def _changed(value: str, change: Change) -> str:
    plain = _NOISE.sub("", value)
    if plain.startswith("00"):
        plain = "19" + plain[2:]
    if len(plain) < _SHORTEST:
        raise DateError("too short for a date")
    number = day_number(parse_int(plain[:4]), parse_int(plain[4:6]), parse_int(plain[6:8]))
    if rest := plain[8:]:
        number += _seconds(rest) // _SECONDS_A_DAY
    dashed = "-" in value
    return dicom_date(change(number), "-" if dashed else "") + value[10 if dashed else 8 :]


def _seconds(rest: str) -> int:
    """Count the seconds of a time of day, which may be more than a day has."""
    if len(rest) < 4:  # noqa: PLR2004 - HHMM
        raise DateError("too short for a time")
    seconds = rest[4:].partition("&")[0]
    whole = int(parse_float(seconds)) if seconds else 0
    return parse_int(rest[:2]) * 3600 + parse_int(rest[2:4]) * 60 + whole


def dicom_date(number: int, separator: str = "") -> str:
    """Write a day number as yyyyMMdd."""
    year, month, day = date_of(number)
    return f"{year:04d}{separator}{month:02d}{separator}{day:02d}"


def day_of(text: str) -> int:
    """Return the day number of the first eight characters, yyyyMMdd; raises `ValueError`."""
    if len(text) < _SHORTEST:
        raise DateError("too short for a date")
    return day_number(parse_int(text[:4]), parse_int(text[4:6]), parse_int(text[6:8]))


def interval_base(text: str) -> int:
    """Return the number of the day M/d/yyyy, read leniently; raises `ValueError`."""
    match = _INTERVAL_BASE.match(text)
    if not match:
        raise DateError("not M/d/yyyy")
    month, day, year = map(int, match.groups())
    return day_number(year, month, day)


def moved(value: str, days: int) -> str:
    """Move a DA or DT (PS3.5 6.2) by days; nothing if it tells no day.

    The time of day stays as it is, without its zone: that would tell where the patient was.
    """
    match = _DAY_AND_TIME.fullmatch(value)
    if not match:
        return ""
    year, month, day = map(int, match.groups()[:3])
    return dicom_date(day_number(year, month, day) + days) + (match[4] or "")


def with_fields(year: int | None, month: int | None, day: int | None) -> Change:
    """Return the change that replaces the given fields, leniently."""

    def change(number: int) -> int:
        y, m, d = date_of(number)
        return day_number(
            y if year is None else year, m if month is None else month, d if day is None else day
        )

    return change
