"""Days as Java's lenient `GregorianCalendar` counts them: Julian before 1582-10-15.

Days are numbered so that 1970-01-01 is 0.
"""

from typing import Final

_CUTOVER_YEAR: Final = 1582
_CUTOVER: Final = -141427  # 1582-10-15
_MONTHS: Final = 12
_EPOCH: Final = 2440588  # Julian day number of 1970-01-01


def day_number(year: int, month: int, day: int) -> int:
    """Count to a day; months and days outside their range roll over."""
    carried, index = divmod(month - 1, _MONTHS)
    normal, month = year + carried, index + 1
    gregorian = _gregorian(normal, month, day)
    julian = _julian(normal, month, day)
    if year > _CUTOVER_YEAR:
        return gregorian if gregorian >= _CUTOVER else julian
    if year < _CUTOVER_YEAR:
        return julian if julian < _CUTOVER else gregorian
    return gregorian if gregorian >= _CUTOVER and julian >= _CUTOVER else julian


def date_of(number: int) -> tuple[int, int, int]:
    """Return year, month and day; a year before 1 counts as the calendar's era does."""
    shifted = number + _EPOCH + 32044
    if number >= _CUTOVER:
        century = (4 * shifted + 3) // 146097
        rest = shifted - 146097 * century // 4
        base = 100 * century
    else:
        rest, base = shifted + 38, 0  # the Julian calendar was days behind
    quad = (4 * rest + 3) // 1461
    rest -= 1461 * quad // 4
    fifth = (5 * rest + 2) // 153
    day = rest - (153 * fifth + 2) // 5 + 1
    month = fifth + 3 - 12 * (fifth // 10)
    year = base + quad - 4800 + fifth // 10
    return (year if year > 0 else 1 - year), month, day


def _gregorian(year: int, month: int, day: int) -> int:
    y, m = _shifted(year, month)
    return day + (153 * m + 2) // 5 + 365 * y + y // 4 - y // 100 + y // 400 - 32045 - _EPOCH


def _julian(year: int, month: int, day: int) -> int:
    y, m = _shifted(year, month)
    return day + (153 * m + 2) // 5 + 365 * y + y // 4 - 32083 - _EPOCH


def _shifted(year: int, month: int) -> tuple[int, int]:
    """Count years and months from March, 4801 BC (Richards, Explanatory Supplement 15.11)."""
    early = (14 - month) // 12
    return year + 4800 - early, month + 12 * early - 3
