"""The way from a row to the entities it means: which levels are asked, with which keys. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date

from pydicombatch.core.matching import is_universal
from pydicombatch.core.model import Key
from pydicombatch.select.levels import (
    DEPTH,
    INSTANCES,
    LEVELS,
    MODALITIES,
    NO_KEYS,
    UNIQUE_KEYS,
    is_derived,
    is_one_value,
    level_of,
)
from pydicombatch.select.rules import Rules, Values

DATE = "StudyDate"  # the one element whose condition may narrow a query (PS3.4 C.6.2.1.2, R)


@dataclass(frozen=True, slots=True)
class Route:
    """How a row is looked up."""

    model: str  # information model of the queries
    levels: tuple[str, ...]  # to be asked, outermost first
    keys: tuple[Key, ...]  # of the row, as they are asked
    wanted: tuple[str, ...]  # elements that conditions or reports need
    narrowed: str = ""  # range of StudyDate, when only a condition gives one

    def query(self, level: str, above: Values) -> tuple[Key, ...]:
        """Make a hierarchical identifier (PS3.4 C.4.1.2): one value for each level above."""
        found = {"QueryRetrieveLevel": level, **self._charset()}
        for outer in LEVELS[self.model][: LEVELS[self.model].index(level)]:
            found[UNIQUE_KEYS[outer]] = above.get(UNIQUE_KEYS[outer], "")
        return _as_keys({**found, **self._of(level)})

    def relational(self) -> tuple[Key, ...]:
        """Make one identifier at the deepest level with the keys of all (PS3.4 C.4.1.2.2.2)."""
        found = {"QueryRetrieveLevel": self.levels[-1], **self._charset()}
        for level in self.levels:
            found |= self._of(level)
        return _as_keys({**found, **self.context})

    @property
    def context(self) -> dict[str, str]:
        """The unique keys that the row gives of the levels above the first one asked."""
        levels = LEVELS[self.model]
        above = {UNIQUE_KEYS[one] for one in levels[: levels.index(self.levels[0])]}
        return {key.path: key.value.strip() for key in self.keys if key.path in above}

    def _charset(self) -> dict[str, str]:
        return {key.path: key.value for key in self.keys if key.path == "SpecificCharacterSet"}

    def _of(self, level: str) -> dict[str, str]:
        """Return what is asked at a level: its unique key, the row's keys, what is wanted."""
        found = {UNIQUE_KEYS[level]: ""}
        if level == "STUDY" and self.model == "study":
            found["PatientID"] = ""
        mine = [path for path in self.wanted if level_of(path, self.model) == level]
        found |= dict.fromkeys(mine, "")
        if self.narrowed and level_of(DATE, self.model) == level:
            found[DATE] = self.narrowed
        for key in self.keys:
            if key.path not in NO_KEYS and level_of(key.path, self.model) == level:
                found[key.path] = key.value
        return found

    def asks_for_everything(self) -> bool:
        """Whether nothing restricts the first query."""
        return not self.narrowed and not restricts(self.keys)


def restricts(keys: Iterable[Key]) -> bool:
    """Whether one key at least has a value that names something."""
    return any(key.path not in NO_KEYS and any(map(str.isalnum, key.value)) for key in keys)


def make_route(
    keys: tuple[Key, ...], model: str, rules: Rules, today: date, shown: Iterable[str] = ()
) -> Route:
    """Decide how a row is looked up.

    Parameters
    ----------
    keys
        Keys of the row, as `rules.query_keys` made them.
    model
        `request.model`. A row without anything about the patient is looked up in Study Root: the
        hierarchy of Patient Root would begin with a list of all patients.
    rules
        What is selected.
    today
        What relative dates count from.
    shown
        More elements that a report wants to show.
    """
    asked = _model(keys, model)
    wanted = dict.fromkeys([*rules.where.paths, *shown, *_described(rules, asked)])
    paths = [one.path for one in keys if one.path not in NO_KEYS and not is_universal(one.value)]
    narrowed = ""
    if DATE not in paths:
        narrowed = rules.where.date_key(DATE, today)
    deepest = _deepest(rules, asked, paths, wanted)
    levels = LEVELS[asked][: LEVELS[asked].index(deepest) + 1]
    start = _start(levels, keys, asked, [*paths, *rules.where.paths], rules)
    return Route(asked, levels[start:], keys, tuple(wanted), narrowed)


def _model(keys: Iterable[Key], model: str) -> str:
    of_patient = [
        key
        for key in keys
        if level_of(key.path, "patient") == "PATIENT" and any(map(str.isalnum, key.value))
    ]
    return "study" if model == "patient" and not of_patient else model


def _described(rules: Rules, model: str) -> list[str]:
    """Return what is asked about the entities themselves: modality, number of instances."""
    level = rules.level if rules.level in LEVELS[model] else LEVELS[model][0]
    return [names[level] for names in (MODALITIES, INSTANCES) if level in names]


def _deepest(rules: Rules, model: str, paths: Iterable[str], wanted: Iterable[str]) -> str:
    """Return the lowest level that something has to be known of."""
    needed = [rules.level, *(level for level, _ in rules.at_most if level in DEPTH)]
    needed += [
        level_of(path, model) for path in [*paths, *rules.where.paths] if not is_derived(path)
    ]
    needed += [level_of(path, model) for path in wanted if not is_derived(path)]
    known = [level if level in LEVELS[model] else LEVELS[model][0] for level in needed]
    return max(known, key=DEPTH.__getitem__)


def _start(
    levels: tuple[str, ...], keys: Iterable[Key], model: str, paths: Iterable[str], rules: Rules
) -> int:
    """Skip the levels of which the row names the entity and nothing else has to be known."""
    value = {key.path: key.value for key in keys}
    about = list(paths)
    for number, level in enumerate(levels[:-1]):
        own = UNIQUE_KEYS[level]
        others = [path for path in about if path != own and level_of(path, model) == level]
        if others or not is_one_value(value.get(own, "")) or level == rules.level:
            return number
    return len(levels) - 1


def references(
    keys: tuple[Key, ...], model: str, rules: Rules, today: date
) -> list[dict[str, str]] | None:
    """Return the entities that a row names by itself; None when the archive has to be asked.

    It must give the unique key of every level down to the selected one, and nothing else; the
    conditions must be about these keys. The last may be a list.
    """
    if rules.instances or rules.level not in LEVELS[model]:
        return None
    levels = LEVELS[model][: LEVELS[model].index(rules.level) + 1]
    unique = [UNIQUE_KEYS[level] for level in levels]
    given = {k.path: k.value for k in keys if k.path not in NO_KEYS and not is_universal(k.value)}
    about = [*rules.where.paths, *(UNIQUE_KEYS.get(level, level) for level, _ in rules.at_most)]
    if set(given) != set(unique) or set(about) - set(unique):
        return None
    *outer, own = unique
    if not all(is_one_value(given[path]) for path in outer) or {"*", "?"} & set(given[own]):
        return None
    context = {path: given[path].strip() for path in outer}
    listed = dict.fromkeys(one for part in given[own].split("\\") if (one := part.strip()))
    found = [{**context, own: one} for one in listed]
    return [one for one in found if rules.where.may_hold(one, today, lambda _: True)]


def _as_keys(found: Mapping[str, str]) -> tuple[Key, ...]:
    return tuple(Key(path, value) for path, value in found.items())
