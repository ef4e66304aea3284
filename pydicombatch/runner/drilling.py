"""Walks down an archive from a row to the entities it means, one query after the other."""

from collections.abc import Callable, Iterator
from datetime import date

from pydicombatch.core.model import Key
from pydicombatch.runner.asking import UnansweredError
from pydicombatch.runner.counting import Counting
from pydicombatch.select.choice import Choice
from pydicombatch.select.levels import INSTANCES, UNIQUE_KEYS, is_derived, level_of
from pydicombatch.select.route import Route
from pydicombatch.select.rules import Rules, Values, belongs

Entity = dict[str, str]
Ask = Callable[[str, tuple[Key, ...]], list[Entity]]  # model, identifier -> answers


class Drill:
    """One way through the levels of an archive; every answer is decided here.

    Parameters
    ----------
    ask
        Sends a query and returns all its answers.
    route, rules
        What is asked, and what of it fits.
    today
        What relative dates count from.
    choice
        Takes what fits, and hears of what does not.
    counts
        Whether what decides nothing, but is good to know, is counted where it is not told.
    """

    def __init__(
        self,
        ask: Ask,
        route: Route,
        rules: Rules,
        today: date,
        choice: Choice,
        *,
        counts: bool = True,
    ) -> None:
        self._ask = ask
        self._route = route
        self._rules = rules
        self._today = today
        self._choice = choice
        self._counting = Counting(ask, route.model)
        self.counts = counts  # False when the archive refuses the queries that takes

    def hierarchical(self) -> list[Entity]:
        """Ask level by level; return what was found at the lowest one and fits."""
        return list(self._taken(self._walk(0, self._route.context)))

    def relational(self) -> list[Entity] | None:
        """Ask once, at the lowest level; None when the answers lack a unique key."""
        route = self._route
        found: list[Entity] = []
        for answer in self._ask(route.model, route.relational()):
            entity = _joined(route.context, answer)
            if entity is None:
                continue
            if not all(entity.get(UNIQUE_KEYS[level]) for level in route.levels):
                return None
            if self._fits(entity, len(route.levels)):
                found.append(entity)
        return list(self._taken(iter(found)))

    def _taken(self, entities: Iterator[Entity]) -> Iterator[Entity]:
        for entity in entities:
            yield entity
            if not self._choice.add(entity):
                return

    def _walk(self, depth: int, above: Entity) -> Iterator[Entity]:
        route = self._route
        level = route.levels[depth]
        seen: set[str] = set()
        for answer in self._ask(route.model, route.query(level, above)):
            entity = _joined(above, answer)
            own = answer.get(UNIQUE_KEYS[level], "").strip()
            if entity is None or (own and own in seen):
                continue
            seen.add(own)
            if not self._fits(entity, depth + 1):
                continue
            if not own:
                self._choice.skip()
            elif depth + 1 == len(route.levels):
                yield entity
            else:
                yield from self._walk(depth + 1, entity)

    def _fits(self, entity: Entity, depth: int) -> bool:
        """Decide an entity as far as it is known, counting what has to be counted."""
        route, where = self._route, self._rules.where
        known = frozenset(route.levels[:depth])
        if not belongs(route.keys, entity, route.model, known):
            self._choice.drop((), entity)
            return False

        def is_plain(path: str) -> bool:
            return not is_derived(path) and level_of(path, route.model) in known

        def is_known(path: str) -> bool:
            return level_of(path, route.model) in known or path in route.context

        decided = is_plain
        if where.may_hold(entity, self._today, is_plain):
            decided = is_known
            level = route.levels[depth - 1]
            entity |= self._counting.complete(entity, level, self._decisive(level))
            if where.may_hold(entity, self._today, is_known):
                entity |= self._counted(entity, level)
                return True
        culprits = (path for path in where.culprits(entity, self._today) if decided(path))
        self._choice.drop(tuple(culprits), entity)
        return False

    def _decisive(self, level: str) -> list[str]:
        """Return what has to be counted of an entity that fits so far."""
        paths = [path for path in self._rules.where.paths if is_derived(path)]
        if level == self._rules.level and self._rules.most("INSTANCES") is not None:
            paths.append(INSTANCES.get(level, ""))
        return paths

    def _counted(self, entity: Entity, level: str) -> Entity:
        """Count what a plan shows; an archive that refuses to be asked for it need not tell."""
        if not (self.counts and self._rules.instances and level == self._rules.level):
            return {}
        paths = [path for path in self._route.wanted if is_derived(path)]
        try:
            return self._counting.complete(entity, level, paths)
        except UnansweredError as exc:
            if exc.judgement.again:
                raise
            self.counts = False
            return {}


def may_be_relational(route: Route, rules: Rules) -> bool:
    """Whether one query at the lowest level could tell all that several would."""
    deepest = route.levels[-1]
    counted = [path for path in rules.where.paths if is_derived(path)]
    return (
        len(route.levels) > 1
        and not rules.instances
        and all(level_of(path, route.model) == deepest for path in counted)
    )


def _joined(above: Values, answer: Values) -> Entity | None:
    """Add what an answer says; None when it is about something else than was asked."""
    for path, value in above.items():
        found = answer.get(path, "").strip()
        if path in UNIQUE_KEYS.values() and found and found != value.strip():
            return None
    return {**above, **{path: text for path, text in answer.items() if text or path not in above}}
