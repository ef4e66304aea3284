"""The condition on one element: any of its entries, none of the negated ones. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date

from pydicombatch.select.comparison import (
    DATES,
    NUMBERS,
    OPERATORS,
    DateIs,
    DateRange,
    Number,
    NumberRange,
    Pattern,
    Same,
    Test,
    TimeRange,
    Wildcard,
    number_of,
    time_digits,
)
from pydicombatch.select.dates import parse_day, parse_span
from pydicombatch.select.regex import compile_regex

RANGE = ".."
REMEDY = "See the table of conditions in docs/select.md"


@dataclass(frozen=True, slots=True)
class Condition:
    """What a value must be."""

    any_of: tuple[Test, ...] = ()  # one at least, if there is any
    none_of: tuple[Test, ...] = ()
    keeps_missing: bool = False

    def holds(self, text: str, today: date) -> bool:
        r"""Tell whether an element fits.

        Parameters
        ----------
        text
            Its text, several values joined by a backslash; "" when it is missing. One of the
            values, or the whole text, must be any of the entries; none may be a negated one.
        today
            What relative dates count from.
        """
        if not text.strip():
            return self.keeps_missing
        values = dict.fromkeys(
            [text.strip(), *(one for part in text.split("\\") if (one := part.strip()))]
        )
        if any(test.holds(value, today) for test in self.none_of for value in values):
            return False
        return not self.any_of or any(t.holds(v, today) for t in self.any_of for v in values)


class ConditionError(Exception):
    """A condition that cannot be read: a predicate for the name of its setting, and a remedy."""

    def __init__(self, problem: str, remedy: str = REMEDY) -> None:
        super().__init__(problem, remedy)
        self.problem = problem
        self.remedy = remedy


def parse_condition(vr: str, raw: object) -> Condition:
    """Read a condition: an entry, a list of them, or a map with `any` and `missing`.

    Parameters
    ----------
    vr
        Value representation of the element: it decides what a range and an order are.
    raw
        What YAML holds there, every scalar a text.

    Raises
    ------
    ConditionError
        If it cannot be read.
    """
    missing = None
    if isinstance(raw, Mapping):
        raw, missing = _parts(raw)
    entries = list(raw) if isinstance(raw, list | tuple) else [raw]
    if not entries:
        raise ConditionError("is an empty list, which nothing can fit")
    return _condition(vr, entries, missing)


def _parts(raw: Mapping[object, object]) -> tuple[object, str | None]:
    unknown = [str(name) for name in raw if name not in {"any", "missing"}]
    if unknown or "any" not in raw:
        raise ConditionError(
            "is a map that is not made of any and missing", "Write {any: [CHEST], missing: keep}"
        )
    missing = raw.get("missing")
    if missing not in {None, "keep", "drop"}:
        raise ConditionError("has a missing that is neither keep nor drop", "Write keep or drop")
    return raw["any"], None if missing is None else str(missing)


def _condition(vr: str, entries: Iterable[object], missing: str | None) -> Condition:
    any_of: list[Test] = []
    none_of: list[Test] = []
    for entry in entries:
        if not isinstance(entry, str):
            raise ConditionError("has an entry that is not a single value")
        negated = entry.strip().startswith("!")
        test = _test(vr, entry.strip().removeprefix("!").strip())
        (none_of if negated else any_of).append(test)
    # what is not there is none of the negated ones
    keeps = missing == "keep" if missing else not any_of
    return Condition(tuple(any_of), tuple(none_of), keeps)


def _test(vr: str, text: str) -> Test:
    if not text:
        raise ConditionError("has an entry without a value")
    if text.startswith("/") and text.rfind("/") > 0:
        return _pattern(text)
    for sign in OPERATORS:
        if text.startswith(sign):
            return _ordered(vr, sign, text.removeprefix(sign).strip())
    if "*" in text or "?" in text:
        return Wildcard(text)
    kinds = {
        **dict.fromkeys(DATES, _dates), **dict.fromkeys(NUMBERS, _numbers),
        "TM": _times, "AS": _ages,
    }  # fmt: skip
    kind = kinds.get(vr)
    return kind(text) if kind else Same(text)


def _pattern(text: str) -> Test:
    source, _, flags = text[1:].rpartition("/")
    if flags not in {"", "i"}:
        raise ConditionError(
            "is a regular expression with unknown letters behind it", "Only i is known: /text/i"
        )
    try:
        return Pattern(compile_regex(source, ignore_case=bool(flags)))
    except ValueError as exc:
        raise ConditionError(f"is not a regular expression we can follow: {exc}") from exc


def _ordered(vr: str, sign: str, text: str) -> Test:
    if vr == "TM":
        return _time_is(sign, text)
    if vr in DATES or "today" in text.lower():
        try:
            return DateIs(sign, parse_day(text))
        except ValueError as exc:
            raise ConditionError(
                "compares with something that is no date", "Write one as 20200131 or today-2"
            ) from exc
    number = number_of(text)
    if number is None:
        raise ConditionError("compares with something that is no number", "Write >= 10")
    return Number(sign, number)


def _time_is(sign: str, text: str) -> Test:
    digits = time_digits(text)
    if not digits or sign not in {">=", "<="}:
        raise ConditionError("is no comparison of times", "Write >= 0800, <= 1730 or 0800-1730")
    return TimeRange(digits, "") if sign == ">=" else TimeRange("", digits)


def _dates(text: str) -> Test:
    try:
        return DateRange(parse_span(text))
    except ValueError as exc:
        raise ConditionError(
            f"is neither a date nor a range of dates: {exc}",
            "Write 20200131, 20200101-20201231 or today-2..today",
        ) from exc


def _numbers(text: str) -> Test:
    low, range_, high = text.partition(RANGE)
    ends = [number_of(one) if one.strip() else None for one in (low, high)]
    if not range_:
        if ends[0] is None:
            raise ConditionError("is not a number", "Write 10, >= 10 or 10..20")
        return Number("=", ends[0])
    unread = any(end is None and one.strip() for end, one in zip(ends, (low, high), strict=True))
    if unread or ends == [None, None]:
        raise ConditionError("is not a range of numbers", "Write 10..20, 10.. or ..20")
    return NumberRange(ends[0], ends[1])


def _ages(text: str) -> Test:
    """Read 018Y, which is compared whole, or years as a number or a range of them."""
    is_age = RANGE not in text and text[-1].isalpha()
    return Same(text) if is_age else _numbers(text)


def _times(text: str) -> Test:
    separator = RANGE if RANGE in text else "-"
    low, range_, high = text.partition(separator)
    ends = [time_digits(one) for one in (low, high)]
    unread = any(one.strip() and not end for one, end in zip((low, high), ends, strict=True))
    if unread or not any(ends):
        raise ConditionError("is not a time or a range of times", "Write 0800-1730")
    return TimeRange(ends[0], ends[1] if range_ else ends[0])
