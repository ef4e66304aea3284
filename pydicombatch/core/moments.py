"""Dates and times of an identifier as intervals (PS3.4 C.2.2.2.5). Pure.

A value stands for all it leaves open: `2024` in a DT is the whole year, `10` in a TM the whole
hour. Values compare as digits, so that a date which no calendar has does not raise.
"""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta

RANGED = frozenset({"DA", "TM", "DT"})
_DIGITS = 20  # YYYYMMDDHHMMSSFFFFFF, PS3.5 6.2
_OFFSET = re.compile(r"[+-]\d{4}$")
_LATEST_WEST = 1200  # no offset lies further west, and no year that early is asked for
_EARLIEST = "00010101000000000000"  # pads what a DT leaves open
_LATEST = "99991231235959999999"


@dataclass(frozen=True, slots=True)
class Interval:
    """From `low` to `high`, both included: digits of a moment padded to full precision."""

    low: str
    high: str

    def holds(self, moment: "Interval") -> bool:
        """Whether a moment begins within this interval."""
        return self.low <= moment.low <= self.high


def interval(vr: str, key: str) -> Interval:
    """Turn a key, a single value or a range `a-b`, `a-`, `-b`, into what it covers."""
    first, second = _ends(vr, key.strip())
    if second is None:
        return _moment(vr, first)
    low = _moment(vr, first).low if first else ""
    high = _moment(vr, second).high if second else "9" * _DIGITS
    return Interval(low, high)


def moment(vr: str, value: str) -> Interval:
    """Turn the value of an instance into the time it stands for."""
    return _moment(vr, value.strip())


def _ends(vr: str, key: str) -> tuple[str, str | None]:
    separator = _separator(vr, key)
    if separator < 0:
        return key, None
    return key[:separator].strip(), key[separator + 1 :].strip()


def _separator(vr: str, key: str) -> int:
    if vr != "DT":
        return key.find("-")
    for hyphen in re.finditer("-", key):
        if not _is_offset(key, hyphen.start()):
            return hyphen.start()
    return -1


def _is_offset(key: str, position: int) -> bool:
    """Whether the hyphen begins a UTC offset: four digits, and no plausible year (PS3.5 6.2)."""
    found = re.match(r"-(\d{4})(?=-|$)", key[position:])
    return position > 0 and found is not None and int(found[1]) <= _LATEST_WEST


def _moment(vr: str, value: str) -> Interval:
    if vr == "DT":
        return _date_time(value)
    digits = re.sub(r"[^0-9]", "", value)  # also 2024.01.31 and 10:20:30 of ACR-NEMA
    return Interval(digits.ljust(_DIGITS, "0"), digits.ljust(_DIGITS, "9"))


def _date_time(value: str) -> Interval:
    """Move a DT that has an offset to UTC; one without is taken as it stands."""
    offset = _OFFSET.search(value)
    digits = re.sub(r"[^0-9]", "", value[: offset.start()] if offset else value)[:_DIGITS]
    west = _minutes_west(offset[0]) if offset else 0
    return Interval(
        _shifted(digits + _EARLIEST[len(digits) :], west),
        _shifted(digits + _LATEST[len(digits) :], west),
    )


def _minutes_west(offset: str) -> int:
    minutes = int(offset[1:3]) * 60 + int(offset[3:5])
    return minutes if offset[0] == "-" else -minutes


def _shifted(digits: str, minutes: int) -> str:
    if not minutes:
        return digits
    try:
        when = datetime.strptime(digits[:12], "%Y%m%d%H%M")  # noqa: DTZ007 - UTC is what we add
        when += timedelta(minutes=minutes)
    except (ValueError, OverflowError):
        return digits  # no such day: compared as it stands
    return f"{when:%Y%m%d%H%M}".zfill(12) + digits[12:]
