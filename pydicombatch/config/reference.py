"""The table of all settings for the README, made from the models."""

from enum import Enum
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

from pydantic.fields import FieldInfo

from pydicombatch.config.outline import is_list, settings
from pydicombatch.config.section import Section
from pydicombatch.config.types import Kind

_PLAIN = {bool: "true or false", int: "number", float: "number", str: "text"}


def describe() -> str:
    """Render every key with its kind, its default and its meaning as a Markdown table."""
    rows = ["| key | value | default | meaning |", "| --- | --- | --- | --- |"]
    for one in settings():
        kind = "section" if one.section else _kind(one.field.annotation, one.field.metadata)
        if one.section and is_list(one.field.annotation):
            kind = "list of sections"
        meaning = (one.field.description or "").replace("|", "\\|")
        rows.append(f"| `{one.key}` | {kind} | {_default(one.field)} | {meaning} |")
    return "\n".join(rows) + "\n"


def _kind(annotation: Any, metadata: list[Any]) -> str:  # noqa: ANN401 - a hint can be anything
    named = [one.name for one in metadata if isinstance(one, Kind)]
    if named:
        return named[-1]
    if hasattr(annotation, "__metadata__"):
        return _kind(annotation.__origin__, list(annotation.__metadata__))
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin in {Union, UnionType}:
        return next(_kind(one, []) for one in inner if one is not NoneType)
    if origin is tuple:
        return f"list of {_kind(inner[0], [])}s"
    words = inner if origin is Literal else _members(annotation)
    return ", ".join(f"`{one}`" for one in words) or _PLAIN.get(annotation, "text")


def _members(annotation: Any) -> list[str]:  # noqa: ANN401
    known = isinstance(annotation, type) and issubclass(annotation, Enum)
    return [one.value for one in annotation] if known else []


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.default
    if isinstance(value, Section) or value in (None, "", ()):
        return ""
    if any(isinstance(one, Kind) and one.name.startswith("duration") for one in field.metadata):
        return f"`{_span(float(value))}`"
    return f"`{_shown(value)}`"


def _span(seconds: float) -> str:
    """Write a duration in the largest unit that gives a whole number."""
    units = ((3600, "h"), (60, "m"))
    size, unit = next(((s, u) for s, u in units if seconds and seconds % s == 0), (1, "s"))
    return f"{seconds / size:g}{unit}"


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, tuple):
        return "/".join(map(str, value))
    return "mon-sun" if isinstance(value, frozenset) else str(value)
