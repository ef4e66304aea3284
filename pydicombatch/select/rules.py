"""What `select` asks for, and what the keys of a row demand of an answer. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from pydicombatch.core.elements import vr
from pydicombatch.core.matching import Fit, fit, is_universal
from pydicombatch.core.model import Key
from pydicombatch.core.wildcards import wildcard_matches
from pydicombatch.select.dates import widened
from pydicombatch.select.levels import NO_KEYS, level_of
from pydicombatch.select.where import Where

# Identifiers are compared as they are: some archives match them as if `*` stood on both sides.
EXACT = frozenset({"AccessionNumber", "PatientID"})
ANYTHING = Where()
Values = Mapping[str, str]  # canonical path -> text


@dataclass(frozen=True, slots=True)
class Rules:
    """What of the matches of a row is retrieved."""

    level: str = "SERIES"  # a retrieve is for one entity of this level
    where: Where = ANYTHING
    at_most: tuple[tuple[str, int], ...] = ()  # level -> the most entities of a row
    first: int | None = None  # keep only so many
    date_tolerance: int = 0  # days around a date of the row
    instances: bool = False  # whether the number of instances must be known, counted if need be

    def most(self, level: str) -> int | None:
        """Return how many entities of a level a row may match; None: any number."""
        return dict(self.at_most).get(level)


def query_keys(keys: Iterable[Key], rules: Rules) -> tuple[Key, ...]:
    """Return the keys of a row as they are asked: dates widened, the level left out.

    Raises
    ------
    ValueError
        If a date that is to be widened is none.
    """
    return tuple(
        Key(
            key.path,
            widened(key.value, rules.date_tolerance) if vr(key.path) == "DA" else key.value,
        )
        for key in keys
        if key.path != "QueryRetrieveLevel"
    )


def belongs(keys: Iterable[Key], found: Values, model: str, depth_known: Iterable[str]) -> bool:
    """Tell whether an entity has what the keys of the row say.

    Parameters
    ----------
    keys
        The keys of the row.
    found
        What is known of the entity.
    model
        The information model of the query.
    depth_known
        The levels that have been asked; keys of other levels are decided later.
    """
    asked = frozenset(depth_known)
    return all(
        has_value(key, found.get(key.path, ""))
        for key in keys
        if key.path not in NO_KEYS
        and not is_universal(key.value)
        and level_of(key.path, model) in asked
    )


def has_value(key: Key, found: str) -> bool:
    """Tell whether the text of an answer is what a key asks for; a missing one is not."""
    if key.path in EXACT:
        wanted = (one.strip() for one in key.value.split("\\"))
        return any(wildcard_matches(one, found.strip()) for one in wanted)
    return fit(vr(key.path), key.value, found) is Fit.MATCHES
