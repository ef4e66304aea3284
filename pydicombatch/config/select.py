"""What is asked before anything is retrieved: the `select` section."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, InstanceOf, ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError

from pydicombatch.config.section import Section
from pydicombatch.config.types import Kind, lowered, wrong
from pydicombatch.select.dates import parse_days
from pydicombatch.select.where import Where, Wrong, parse_where

COUNT = Kind("number above 0")


def _upper(value: object) -> object:
    return value.strip().upper() if isinstance(value, str) else value


def _days(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        return parse_days(value)
    except ValueError as exc:
        raise wrong("is not a number of days", "Write it as 3 days") from exc


def _type(value: object) -> object:
    if isinstance(value, str) and value.strip().lower() != "c-find":
        raise wrong(
            "is a protocol that select cannot use yet",
            "Write c-find, or leave it out; the retrieve may use another protocol",
        )
    return lowered(value)


def _where(value: object) -> object:
    """Read the conditions; every one that is wrong gets its own finding and line."""
    if isinstance(value, Where):
        return value
    where, wrongs = parse_where(value)
    if wrongs:
        raise ValidationError.from_exception_data("where", [_error(one) for one in wrongs])
    return where


def _error(one: Wrong) -> InitErrorDetails:
    kind = "element" if one.about_element else "wrong"
    context: dict[str, Any] = {"problem": one.problem, "remedy": one.remedy}
    error = PydanticCustomError(kind, "{problem}", context)
    return InitErrorDetails(type=error, loc=one.location, input=None)


Count = Annotated[int, Field(ge=1), COUNT]


class AtMost(Section):
    """How much a row may match."""

    patients: Count | None = Field(default=None, description="patients a row may match")
    studies: Count | None = Field(default=None, description="studies a row may match")
    series: Count | None = Field(default=None, description="series a row may match")
    instances: Count | None = Field(
        default=None, description="instances a row may match, as the archive says or as counted"
    )

    @property
    def by_level(self) -> tuple[tuple[str, int], ...]:
        """The limits that are set, by level; INSTANCES for instances."""
        limits = {
            "PATIENT": self.patients,
            "STUDY": self.studies,
            "SERIES": self.series,
            "INSTANCES": self.instances,
        }
        return tuple((level, most) for level, most in limits.items() if most is not None)


class Select(Section):
    """What is asked before anything is retrieved; see [docs/select.md](select.md)."""

    type: Annotated[Literal["c-find"], BeforeValidator(_type)] = Field(
        default="c-find", description="protocol of the queries"
    )
    level: Annotated[Literal["PATIENT", "STUDY", "SERIES", "IMAGE"], BeforeValidator(_upper)] = (
        Field(default="SERIES", description="what one retrieve is for")
    )
    where: Annotated[InstanceOf[Where], BeforeValidator(_where), Kind("conditions")] = Field(
        default=Where(),
        description="what a match must be, an element and its condition a line; a list of such "
        "maps: any of them",
    )
    at_most: AtMost = Field(
        default=AtMost(),
        description="more than that, and a row is `ambiguous`: nothing is retrieved",
    )
    first: Count | None = Field(
        default=None, description="keep only so many matches of a row, after `where`"
    )
    date_tolerance: Annotated[int, BeforeValidator(_days), Field(ge=0, le=36_500), Kind("days")] = (
        Field(default=0, description="days around a date of the row, as `3 days`")
    )
    queries: Annotated[Literal["auto", "hierarchical", "relational"], BeforeValidator(lowered)] = (
        Field(
            default="auto",
            description="level by level, or at once; `auto` learns what the archive can",
        )
    )
