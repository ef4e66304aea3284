"""What one entry of a condition says about one value. Pure; `today` is an argument."""

import operator
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from typing import Any, Protocol

from pydicombatch.core.wildcards import wildcard_matches
from pydicombatch.select.dates import Day, Span, value_date
from pydicombatch.select.regex import Regex

DATES = frozenset({"DA", "DT"})
NUMBERS = frozenset({"DS", "FD", "FL", "IS", "SL", "SS", "SV", "UL", "US", "UV"})
OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
    "=": operator.eq,
}
_YEARS = {"Y": 1.0, "M": 1 / 12, "W": 7 / 365.25, "D": 1 / 365.25}  # of VR AS, PS3.5 6.2
_TIME_DIGITS = 12  # HHMMSSFFFFFF


class Test(Protocol):
    """One entry of a condition."""

    def holds(self, value: str, today: date) -> bool:
        """Tell whether a value, which is not empty, is meant."""


@dataclass(frozen=True, slots=True)
class Same:
    """A text, compared whole."""

    text: str

    def holds(self, value: str, today: date) -> bool:  # noqa: ARG002 - as the protocol says
        """Tell whether a value is this text; trailing `^` and spaces mean nothing."""
        return value.rstrip("^ ") == self.text.rstrip("^ ")


@dataclass(frozen=True, slots=True)
class Wildcard:
    """A text in which `*` stands for any characters and `?` for one."""

    text: str

    def holds(self, value: str, today: date) -> bool:  # noqa: ARG002
        """Tell whether a whole value fits, case included."""
        return wildcard_matches(self.text, value)


@dataclass(frozen=True, slots=True)
class Pattern:
    """A regular expression, found anywhere in the value."""

    regex: Regex

    def holds(self, value: str, today: date) -> bool:  # noqa: ARG002
        """Tell whether it occurs."""
        return self.regex.found_in(value)


@dataclass(frozen=True, slots=True)
class Number:
    """A comparison with a number."""

    sign: str  # of OPERATORS
    number: float

    def holds(self, value: str, today: date) -> bool:  # noqa: ARG002
        """Tell whether it holds; what is no number compares with nothing."""
        found = number_of(value)
        return found is not None and OPERATORS[self.sign](found, self.number)


@dataclass(frozen=True, slots=True)
class NumberRange:
    """From one number to another, both included; None is without end."""

    low: float | None
    high: float | None

    def holds(self, value: str, today: date) -> bool:  # noqa: ARG002
        """Tell whether a value lies in it."""
        found = number_of(value)
        if found is None:
            return False
        above = self.low is None or found >= self.low
        return above and (self.high is None or found <= self.high)


@dataclass(frozen=True, slots=True)
class DateIs:
    """A comparison with a day."""

    sign: str
    day: Day

    def holds(self, value: str, today: date) -> bool:
        """Tell whether it holds for the date of a value."""
        found = value_date(value)
        return found is not None and OPERATORS[self.sign](found, self.day.on(today))


@dataclass(frozen=True, slots=True)
class DateRange:
    """A range of days, or a single one."""

    span: Span

    def holds(self, value: str, today: date) -> bool:
        """Tell whether the date of a value lies in it."""
        first, last = self.span.on(today)
        found = value_date(value)
        return found is not None and first <= found <= last


@dataclass(frozen=True, slots=True)
class TimeRange:
    """From one time of the day to another, as digits; "" is without end."""

    low: str
    high: str

    def holds(self, value: str, today: date) -> bool:  # noqa: ARG002
        """Tell whether a time lies in it; 12 as an end includes 12:59."""
        found = time_digits(value)
        if not found:
            return False
        at = found.ljust(_TIME_DIGITS, "0")
        above = at >= self.low.ljust(_TIME_DIGITS, "0")
        return above and (not self.high or at <= self.high.ljust(_TIME_DIGITS, "9"))


def number_of(text: str) -> float | None:
    """Return the number of a value, an age (VR AS) in years; None when it is none."""
    cleaned = text.strip()
    if re.fullmatch(r"[0-9]{3}[YMWD]", cleaned):
        return int(cleaned[:3]) * _YEARS[cleaned[3]]
    if not re.fullmatch(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,3})?", cleaned):
        return None
    return float(cleaned)


def time_digits(text: str) -> str:
    """Return the digits of a time, `HHMMSSFFFFFF` as far as they go; "" when it is none."""
    cleaned = text.strip().replace(":", "").replace(".", "")
    return cleaned if re.fullmatch(r"([0-9]{2}){1,3}[0-9]{0,6}", cleaned) else ""
