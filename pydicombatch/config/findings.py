"""What a failed validation means to the person who wrote the file."""

from collections.abc import Callable, Mapping
from difflib import get_close_matches
from typing import Any

from pydantic import ValidationError

from pydicombatch.config.outline import names_in, settings
from pydicombatch.config.source import Path, dotted
from pydicombatch.config.text import Tree
from pydicombatch.core.errors import Finding

Context = Mapping[str, Any]
Said = tuple[str, str]  # predicate and remedy

_SHOULD: dict[str, tuple[str, str]] = {
    "int": ("is not a whole number", "Write digits only"),
    "float": ("is not a number", "Write digits, with a point for decimals"),
    "finite_number": ("is not a number", "Write digits, with a point for decimals"),
    "bool": ("is neither true nor false", "Write true or false"),
    "string": ("is not a single value", "Write one value behind the colon"),
    "path": ("is not a path", "Write one path behind the colon"),
    "tuple": ("is not a list", "Write one entry a line, each behind a dash"),
    "frozen_set": ("is not a list", "Write one entry a line, each behind a dash"),
    "model": ("is not a section", "Write its keys below it, indented"),
    "is_instance_of": ("is not a single value", "Write one value behind the colon"),
    "dataclass": ("is not a time of day", "Write it as 19:00"),
    "date": ("is not a date", "Write it as 2026-12-25"),
}
_BOUNDS = {
    "greater_than_equal": ("is below {ge}", "Write a number from {ge} on"),
    "greater_than": ("is not above {gt}", "Write a number above {gt}"),
    "less_than_equal": ("is above {le}", "Write a number up to {le}"),
}


def findings(error: ValidationError, tree: Tree) -> list[Finding]:
    """Translate every error, in the order of the file. No value of a setting is repeated."""
    details = error.errors(include_url=False, include_input=False)
    found = [
        _finding(one["type"], one["loc"], one.get("ctx", {}), tree)
        for one in details
        if one["loc"] not in tree.broken
    ]
    return sorted(found, key=lambda one: one.line)


def _finding(kind: str, path: Path, context: Context, tree: Tree) -> Finding:
    name = dotted(path) or "The file"
    if kind == "element":
        problem, remedy = f"{name}: {context['problem']}", str(context["remedy"])
        if path in tree.filled:  # the name may come from the environment: do not show it
            problem, remedy = f"{name} names no element", "Check the environment variable in it"
        return tree.source.finding(path, problem, remedy)
    predicate, remedy = _special(kind, path, context) or _usual(kind, context)
    at_key = kind == "extra_forbidden"
    return tree.source.finding(path, f"{name} {predicate}", remedy, at_key=at_key)


def _special(kind: str, path: Path, context: Context) -> Said | None:
    speakers: dict[str, Callable[[], Said]] = {
        "wrong": lambda: (str(context["problem"]), str(context["remedy"])),
        "missing": lambda: ("is missing", f"Add {path[-1]} {_below(path)}"),
        "extra_forbidden": lambda: ("is not a known setting", _suggestion(path)),
        "enum": lambda: _choice(context),
        "literal_error": lambda: _choice(context),
    }
    speak = speakers.get(kind)
    return speak() if speak else None


def _usual(kind: str, context: Context) -> Said:
    if kind in _BOUNDS:
        predicate, remedy = _BOUNDS[kind]
        return predicate.format(**context), remedy.format(**context)
    for prefix, said in _SHOULD.items():
        if kind.startswith(prefix):
            return said
    return "has a value that does not fit", "See the configuration reference in the README"


def _choice(context: Context) -> Said:
    return "is none of the known words", f"Write {context['expected']}".replace("'", "")


def _below(path: Path) -> str:
    return f"below {dotted(path[:-1])}:" if len(path) > 1 else "at the beginning of a line"


def _suggestion(path: Path) -> str:
    name = str(path[-1])
    here = names_in(path[:-1])
    close = get_close_matches(name.lower(), here, n=1)
    if close:
        return f"Did you mean {close[0]}"
    elsewhere = [one.key for one in settings() if one.key.rpartition(".")[2] == name.lower()]
    if elsewhere:
        return f"It is known as {elsewhere[0]}: move it there"
    return f"Remove it; known here: {', '.join(here)}" if here else "Remove it"
