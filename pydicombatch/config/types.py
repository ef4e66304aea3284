"""The kinds of values a setting can have: what is accepted, and what is said when it is not."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated

import pytz
from pydantic import AfterValidator, BeforeValidator, Field
from pydantic_core import PydanticCustomError

from pydicombatch.core.elements import (
    ElementError,
    check_key,
    is_charset,
    parse_key,
    parse_path,
    vr,
)

SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}


@dataclass(frozen=True, slots=True)
class Kind:
    """What the reference calls this kind of value."""

    name: str


def wrong(predicate: str, remedy: str) -> PydanticCustomError:
    """Make the error of a value; the setting's name is put in front of the predicate."""
    return PydanticCustomError("wrong", "{problem}", {"problem": predicate, "remedy": remedy})


def _element_wrong(error: ElementError) -> PydanticCustomError:
    context = {"problem": error.problem, "remedy": error.remedy}
    return PydanticCustomError("element", "{problem}", context)


def lowered(value: object) -> object:
    """Make words independent of upper and lower case."""
    return value.strip().lower() if isinstance(value, str) else value


def listed(separator: str) -> Callable[[object], object]:
    """Accept a single text where a list is expected; its parts are separated so."""

    def split(value: object) -> object:
        if not isinstance(value, str):
            return value
        return tuple(part.strip() for part in value.split(separator) if part.strip())

    return split


def _ae_title(text: str) -> str:
    title = text.strip(" ")
    if not title or not title.isascii() or not title.isprintable() or "\\" in title:
        raise wrong(
            "is not an AE title",
            "Use letters, digits, spaces and signs of ASCII, but no backslash (PS3.5 6.2)",
        )
    if len(title) > 16:  # noqa: PLR2004 - PS3.5 6.2
        raise wrong(
            f"has {len(title)} characters, but an AE title has 16 at most",
            "Use the title under which the application entity is registered",
        )
    return title


def _host(text: str) -> str:
    name = text.strip()
    if not name or not name.isprintable() or " " in name or len(name) > 253:  # noqa: PLR2004
        raise wrong("is not a host name or an address", "Write one such as pacs.example.org")
    return name


def _path(path: Path) -> Path:
    if "\0" in str(path):
        raise wrong("is not a path", "Remove the control character")
    try:
        return path.expanduser()
    except RuntimeError as exc:
        raise wrong("begins with a user name that nobody has", "Write the path in full") from exc


def _charset(text: str) -> str:
    if not is_charset(text):
        raise wrong("is not a DICOM character set", "Write a term such as ISO_IR 192 or ISO_IR 100")
    return "\\".join(part.strip() for part in text.split("\\"))


def _element(text: str) -> str:
    try:
        check_key(parse_key(text))
    except ElementError as error:
        raise _element_wrong(error) from error
    return text


def _template(text: str) -> str:
    try:
        path = parse_path(text)
        kind = vr(path)
    except ElementError as error:
        raise _element_wrong(error) from error
    if kind == "SQ":
        raise wrong("names a sequence, which has no text", "Name an element of its first item")
    return path


def _zone(text: str) -> str:
    known = {name.lower(): name for name in pytz.all_timezones}
    name = known.get(text.strip().lower())
    if name is None:
        close = get_close_matches(text.strip().lower(), known, n=1)
        remedy = f"Did you mean {known[close[0]]}" if close else "Write a name such as UTC"
        raise wrong("is not a time zone", remedy)
    return name


def _duration(value: object) -> object:
    if not isinstance(value, str):
        return value
    found = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)\s*([smhd]?)", value.strip().lower())
    if found is None:
        raise wrong("is not a duration", "Write it as 24h, 90m or 3600s")
    return float(found[1]) * SECONDS[found[2]]


def _date(value: object) -> object:
    try:
        return date.fromisoformat(value.strip()) if isinstance(value, str) else value
    except ValueError as exc:
        raise wrong("is not a date", "Write it as 2026-12-25") from exc


AeTitle = Annotated[str, AfterValidator(_ae_title), Kind("AE title")]
Host = Annotated[str, AfterValidator(_host), Kind("host")]
Port = Annotated[int, Field(ge=1, le=65535), Kind("port")]
Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False), Kind("seconds")]
Rate = Annotated[float, Field(gt=0, allow_inf_nan=False), Kind("number above 0")]
Megabytes = Annotated[float, Field(ge=0, allow_inf_nan=False), Kind("megabytes")]
FilePath = Annotated[Path, AfterValidator(_path), Kind("path")]
Charset = Annotated[str, AfterValidator(_charset), Kind("character set")]
Element = Annotated[str, AfterValidator(_element), Kind("element")]
SomeDuration = Annotated[
    float, BeforeValidator(_duration), Field(gt=0, allow_inf_nan=False), Kind("duration above 0")
]
Duration = Annotated[
    float, BeforeValidator(_duration), Field(ge=0, allow_inf_nan=False), Kind("duration")
]
Template = Annotated[str, AfterValidator(_template), Kind("element")]
Templates = Annotated[
    tuple[Template, ...], BeforeValidator(listed("/")), Kind("elements separated by /")
]
Names = Annotated[tuple[str, ...], BeforeValidator(listed(",")), Kind("list of names")]
TimeZone = Annotated[str, AfterValidator(_zone), Kind("time zone")]
Day = Annotated[date, BeforeValidator(_date), Kind("date")]
