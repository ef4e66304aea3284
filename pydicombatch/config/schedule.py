"""When requests may be sent: the `schedule` section."""

import re
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator

from pydicombatch.config.section import Section
from pydicombatch.config.types import Day, Kind, TimeZone, lowered, wrong

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
EVERY_DAY = frozenset(range(7))
MIDNIGHT = 24 * 60

Span = tuple[frozenset[int], int, int]  # days from 0 = Monday, start and end in minutes of the day


@dataclass(frozen=True, slots=True)
class TimeOfDay:
    """A time on the wall clock; 24:00 is the end of the day."""

    hour: int
    minute: int

    @property
    def minutes(self) -> int:
        """Minutes since midnight, 0 to 1440."""
        return self.hour * 60 + self.minute

    def __str__(self) -> str:
        return f"{self.hour:02}:{self.minute:02}"


def _time(value: object) -> object:
    if not isinstance(value, str):
        return value
    found = re.fullmatch(r"([0-9]{1,2}):([0-9]{1,2})", value.strip())
    hour, minute = (int(found[1]), int(found[2])) if found else (99, 0)
    if hour * 60 + minute > MIDNIGHT or minute >= 60:  # noqa: PLR2004
        raise wrong("is not a time of day", "Write it as 19:00")
    return TimeOfDay(hour, minute)


def _days(value: object) -> object:
    if isinstance(value, str):
        value = value.split(",")
    if not isinstance(value, list | tuple):
        return value
    return frozenset(day for part in value for day in _range(part))


def _range(part: object) -> frozenset[int]:
    if isinstance(part, int):
        return frozenset({part})
    names = str(part).strip().lower().split("-")
    known = [DAYS.index(name.strip()[:3]) for name in names if _is_day(name.strip())]
    if len(known) != len(names) or len(names) > 2:  # noqa: PLR2004
        raise wrong("is not a day of the week", "Write days as mon, tue or mon-fri")
    first, last = known[0], known[-1]
    # sat-mon goes over the end of the week
    return frozenset((first + step) % 7 for step in range((last - first) % 7 + 1))


def _is_day(name: str) -> bool:
    full = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
    return name in DAYS or name in full


Time = Annotated[TimeOfDay, BeforeValidator(_time), Kind("time of day")]
Days = Annotated[
    frozenset[Annotated[int, Field(ge=0, le=6)]], BeforeValidator(_days), Kind("days of the week")
]


def _check(start: TimeOfDay) -> None:
    if start.minutes == MIDNIGHT:
        raise wrong("has 24:00 as its start_time", "Write 00:00, the start of a day")


class Window(Section):
    """A part of the week in which requests may be sent."""

    days: Days = Field(default=EVERY_DAY, description="the days on which it starts, as `mon-fri`")
    start_time: Time = Field(description="when it opens")
    end_time: Time = Field(
        description="when it closes, on the next day if not later than the start; 24:00 is allowed"
    )

    @model_validator(mode="after")
    def _has_length(self) -> "Window":
        _check(self.start_time)
        if not self.days:
            raise wrong("has no days", "Name the days, as mon-fri, or leave days out for all")
        return self

    @property
    def span(self) -> Span:
        """The window as plain numbers."""
        return self.days, self.start_time.minutes, self.end_time.minutes


class Schedule(Section):
    """When requests may be sent; without it, at any time."""

    enabled: bool = Field(default=False, description="true: send requests only inside the windows")
    start_time: Time | None = Field(default=None, description="when the window opens, every day")
    end_time: Time | None = Field(
        default=None, description="when it closes, on the next day if not later than the start"
    )
    timezone: TimeZone = Field(
        default="UTC", description="the zone of all times here; UTC wherever the program runs"
    )
    windows: tuple[Window, ...] = Field(
        default=(), description="several windows, in place of `start_time` and `end_time`"
    )
    excepted: tuple[Day, ...] = Field(
        default=(), alias="except", description="dates on which no window opens"
    )
    at_end: Annotated[Literal["finish", "cancel"], BeforeValidator(lowered)] = Field(
        default="finish", description="what happens at the end to the requests that run"
    )

    @model_validator(mode="after")
    def _is_complete(self) -> "Schedule":
        if not self.enabled:
            return self
        if self.windows:
            if self.start_time or self.end_time:
                raise wrong(
                    "has windows as well as start_time or end_time", "Keep one of the two forms"
                )
            return self
        if self.excepted and self.start_time is None and self.end_time is None:
            return self  # every day but these
        if self.start_time is None or self.end_time is None:
            missing = "start_time" if self.start_time is None else "end_time"
            raise wrong(
                f"is enabled but has no {missing}", "Give start_time and end_time, or windows"
            )
        _check(self.start_time)
        return self

    @property
    def spans(self) -> tuple[Span, ...]:
        """The windows as plain numbers; none when the schedule is off, which is always open."""
        if not self.enabled:
            return ()
        if self.windows:
            return tuple(window.span for window in self.windows)
        if self.start_time is None or self.end_time is None:
            return ((EVERY_DAY, 0, MIDNIGHT),)  # only some dates are excepted
        return ((EVERY_DAY, self.start_time.minutes, self.end_time.minutes),)
