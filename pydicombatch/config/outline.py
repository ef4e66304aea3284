"""The settings there are, read off the models: for suggestions and for the reference."""

from collections.abc import Iterator
from dataclasses import dataclass
from types import NoneType
from typing import Any, get_args, get_origin

from pydantic.fields import FieldInfo

from pydicombatch.config.models import Config
from pydicombatch.config.section import Section

Annotation = Any  # what a type hint is at run time


@dataclass(frozen=True, slots=True)
class Setting:
    """One key of the file."""

    key: str  # dotted; `[]` behind a list of sections
    field: FieldInfo
    section: bool  # whether it holds keys of its own


def settings(model: type[Section] = Config, prefix: str = "") -> Iterator[Setting]:
    """Yield every key of the file, sections before their keys."""
    for name, field in model.model_fields.items():
        inner = section_of(field.annotation)
        key = f"{prefix}{field.alias or name}"
        yield Setting(key, field, inner is not None)
        if inner is not None:
            many = "[]" if is_list(field.annotation) else ""
            yield from settings(inner, f"{key}{many}.")


def is_list(annotation: Annotation) -> bool:
    """Tell whether a hint stands for several values."""
    origin: object = get_origin(annotation)
    return origin is tuple


def section_of(annotation: Annotation) -> type[Section] | None:
    """Return the section that a hint stands for, also inside a tuple or beside None."""
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return annotation
    inner = (section_of(one) for one in get_args(annotation) if one not in {NoneType, Ellipsis})
    return next((one for one in inner if one is not None), None)


def names_in(path: tuple[str | int, ...]) -> list[str]:
    """Return the keys that a section of the file can have."""
    prefix = "".join(f"{one}." for one in path if isinstance(one, str))
    inside = (one.key.replace("[]", "") for one in settings())
    return [one.removeprefix(prefix) for one in inside if _directly_in(one, prefix)]


def _directly_in(key: str, prefix: str) -> bool:
    return key.startswith(prefix) and "." not in key.removeprefix(prefix)
