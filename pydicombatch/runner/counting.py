"""Counts what an archive does not tell, by asking for what lies below (PS3.4 C.3.4)."""

from collections.abc import Callable, Iterable, Mapping

from pydicombatch.core.model import Key
from pydicombatch.select.levels import COLLECTED, COUNTS, INSTANCES, LEVELS, UNIQUE_KEYS

Entity = dict[str, str]
Ask = Callable[[str, tuple[Key, ...]], list[Entity]]  # model, identifier -> answers


class Counting:
    """Completes entities of one information model.

    Parameters
    ----------
    ask
        Sends a query and returns all its answers.
    model
        Information model of the queries.
    """

    def __init__(self, ask: Ask, model: str) -> None:
        self._ask = ask
        self._model = model
        self._last = ("", "")  # level and unique key of the entity that was counted last
        self._cache: dict[tuple[str, str], list[Entity]] = {}  # what was asked for it

    def complete(
        self, entity: Mapping[str, str], level: str, paths: Iterable[str]
    ) -> dict[str, str]:
        """Count what is missing of an entity.

        Parameters
        ----------
        entity
            What is known of it; its unique key and those of the levels above are needed.
        level
            Its level.
        paths
            What is wanted; what is no count, or is there already, costs nothing.

        Returns
        -------
        dict[str, str]
            The values that were missing.
        """
        found: dict[str, str] = {}
        cache = self._cached(level, entity.get(UNIQUE_KEYS[level], ""))
        for path in paths:
            of, below, *_ = COUNTS.get(path) or COLLECTED.get(path) or ("", "")
            if entity.get(path, "").strip() or not self._can_count(entity, level, of, below):
                continue
            if path in COUNTS:
                found[path] = str(self._count(entity, of, below, cache))
            else:
                values = self._values(entity, of, below, COLLECTED[path][2], cache)
                found[path] = "\\".join(sorted(values))
        return found

    def _cached(self, level: str, unique: str) -> dict[tuple[str, str], list[Entity]]:
        if (level, unique) != self._last:
            self._last, self._cache = (level, unique), {}
        return self._cache

    def _can_count(self, entity: Mapping[str, str], level: str, of: str, below: str) -> bool:
        """Tell whether it is about this level; Study Root has the patient's at its own."""
        levels = LEVELS[self._model]
        here = of == level or (of == "PATIENT" and self._model == "study" and level == "STUDY")
        return here and below in levels and bool(entity.get(UNIQUE_KEYS[of], "").strip())

    def _count(
        self,
        entity: Mapping[str, str],
        level: str,
        below: str,
        cache: dict[tuple[str, str], list[Entity]],
    ) -> int:
        """Count the entities of a level that lie below one, trusting no count but a number."""
        children = self._children(entity, level, cache)
        inner = self._next(level)
        if inner == below:
            return len(children)
        total = 0
        for child in children:
            told = child.get(INSTANCES.get(inner, ""), "").strip() if below == "IMAGE" else ""
            total += int(told) if told.isdecimal() else self._count(child, inner, below, cache)
        return total

    def _values(
        self,
        entity: Mapping[str, str],
        level: str,
        below: str,
        path: str,
        cache: dict[tuple[str, str], list[Entity]],
    ) -> set[str]:
        children = self._children(entity, level, cache)
        inner = self._next(level)
        if inner == below:
            return {value for child in children if (value := child.get(path, "").strip())}
        deeper = (self._values(child, inner, below, path, cache) for child in children)
        return set().union(*deeper)

    def _children(
        self, entity: Mapping[str, str], level: str, cache: dict[tuple[str, str], list[Entity]]
    ) -> list[Entity]:
        """Ask for what lies directly below an entity, once."""
        name = (level, entity.get(UNIQUE_KEYS[level], ""))
        if name not in cache:
            cache[name] = self._below(entity, level)
        return cache[name]

    def _below(self, entity: Mapping[str, str], level: str) -> list[Entity]:
        inner = self._next(level)
        levels = LEVELS[self._model]
        above = [UNIQUE_KEYS[one] for one in levels[: levels.index(inner)]] or [UNIQUE_KEYS[level]]
        context = {path: entity.get(path, "").strip() for path in above}
        own = UNIQUE_KEYS[inner]
        more = {"STUDY": (INSTANCES["STUDY"],), "SERIES": ("Modality", INSTANCES["SERIES"])}
        asked = {"QueryRetrieveLevel": inner, **context, own: ""}
        asked |= dict.fromkeys(more.get(inner, ("SOPClassUID",)), "")
        keys = tuple(Key(path, value) for path, value in asked.items())
        found = {
            answer.get(own, "").strip(): {**answer, **context}
            for answer in self._ask(self._model, keys)
            if all(answer.get(path, "").strip() in {"", value} for path, value in context.items())
        }
        found.pop("", None)
        return list(found.values())

    def _next(self, level: str) -> str:
        levels = LEVELS[self._model]
        return levels[levels.index(level) + 1] if level in levels else levels[0]
