"""A query whose matches get the counts that the archive did not give (`request.complete`)."""

from collections.abc import Callable, Iterable
from dataclasses import replace

from pydicombatch.core.model import Key, Match
from pydicombatch.core.records import Pending
from pydicombatch.runner.answers import LEVEL
from pydicombatch.runner.asking import Asking, UnansweredError
from pydicombatch.runner.counting import Counting
from pydicombatch.runner.judge import Judgement
from pydicombatch.select.levels import LEVELS, UNIQUE_KEYS, is_derived, is_one_value

Keep = Callable[[Match], None]


def needed_keys(keys: Iterable[Key], model: str) -> tuple[Key, ...]:
    """Add the unique keys by which a match can be looked into, when a count is asked for."""
    given = tuple(keys)
    level = next((key.value.strip().upper() for key in given if key.path == LEVEL), "")
    if level not in LEVELS[model] or not any(is_derived(key.path) for key in given):
        return given
    levels = LEVELS[model][: LEVELS[model].index(level) + 1]
    wanted = [UNIQUE_KEYS[one] for one in levels]
    if any(key.path.startswith("NumberOfPatient") for key in given):
        wanted.insert(0, UNIQUE_KEYS["PATIENT"])
    present = {key.path for key in given}
    return (*given, *(Key(path) for path in dict.fromkeys(wanted) if path not in present))


def complete(
    asking: Asking,
    pending: Pending,
    model: str,
    matches: Iterable[Match],
    keep: Keep,
) -> Judgement | None:
    """Count what matches lack and hand them on, as they were asked for.

    Returns
    -------
    Judgement | None
        Why a count could not be made; None: all is well.
    """
    level = next((k.value.strip().upper() for k in pending.keys if k.path == LEVEL), "")
    counting = Counting(asking, model)
    paths = [key.path for key in pending.keys]
    single = {k.path: k.value.strip() for k in pending.keys if is_one_value(k.value)}
    for match in matches:
        found = dict(match.values)
        named = {path: found.get(path) or single.get(path, "") for path in UNIQUE_KEYS.values()}
        try:
            counted = counting.complete({**found, **named}, level, paths)
        except UnansweredError as exc:
            return exc.judgement
        values = tuple((path, counted.get(path) or found.get(path, "")) for path in paths)
        keep(replace(match, values=values))
    return None
