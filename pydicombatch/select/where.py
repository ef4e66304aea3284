"""The whole of `where`: alternatives of conditions, decided as far as elements are known. Pure."""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import date

from pydicombatch.core.elements import ElementError, parse_path, vr
from pydicombatch.select.comparison import DateIs, DateRange
from pydicombatch.select.condition import Condition, ConditionError, parse_condition
from pydicombatch.select.dates import FIRST, LAST, matching, plus

Location = tuple[str | int, ...]  # below `where`
Conditions = tuple[tuple[str, Condition], ...]  # canonical path of an element, what it must be


@dataclass(frozen=True, slots=True)
class Where:
    """Alternatives, of which one must hold as a whole; none at all hold always."""

    alternatives: tuple[Conditions, ...] = ()
    source: str = "[]"  # as it was written, for a digest

    @property
    def paths(self) -> tuple[str, ...]:
        """The elements that conditions are about."""
        return tuple(dict.fromkeys(path for one in self.alternatives for path, _ in one))

    def may_hold(
        self, values: Mapping[str, str], today: date, is_known: Callable[[str], bool]
    ) -> bool:
        """Tell whether an alternative holds, as far as its elements are known already."""
        if not self.alternatives:
            return True
        return any(
            all(not is_known(p) or c.holds(values.get(p, ""), today) for p, c in one)
            for one in self.alternatives
        )

    def culprits(self, values: Mapping[str, str], today: date) -> tuple[str, ...]:
        """Return the elements of the alternatives that do not fit, for a sentence about it."""
        failed = (
            path
            for one in self.alternatives
            for path, condition in one
            if not condition.holds(values.get(path, ""), today)
        )
        return tuple(dict.fromkeys(failed))

    def date_key(self, path: str, today: date) -> str:
        """Return a value of range matching that cuts off nothing that could fit; "" if none.

        It spares the archive from listing everything; the condition itself is still decided here.
        """
        if len(self.alternatives) != 1:
            return ""
        condition = dict(self.alternatives[0]).get(path)
        if condition is None or condition.keeps_missing:
            return ""
        spans = [_span(test, today) for test in condition.any_of]
        if not spans or None in spans:
            return ""
        known = [span for span in spans if span is not None]
        return matching(min(first for first, _ in known), max(last for _, last in known))


def _span(test: object, today: date) -> tuple[date, date] | None:
    if isinstance(test, DateRange):
        return test.span.on(today)
    if not isinstance(test, DateIs):
        return None
    day = test.day.on(today)
    ends = {
        ">=": (day, LAST), ">": (plus(day, 1), LAST), "=": (day, day),
        "<=": (FIRST, day), "<": (FIRST, plus(day, -1)),
    }  # fmt: skip
    return ends[test.sign]


@dataclass(frozen=True, slots=True)
class Wrong:
    """One thing that is wrong in `where`, and where."""

    location: Location
    problem: str  # a predicate
    remedy: str
    about_element: bool = False  # the problem is a sentence of its own


def parse_where(raw: object) -> tuple[Where, tuple[Wrong, ...]]:
    """Read a map of conditions, or a list of such maps; return what is wrong, too, all of it."""
    listed = isinstance(raw, list | tuple)
    maps = list(raw) if isinstance(raw, list | tuple) else [raw]
    wrong: list[Wrong] = []
    alternatives: list[Conditions] = []
    for number, one in enumerate(maps):
        place: Location = (number,) if listed else ()
        if not isinstance(one, Mapping) or not one:
            remedy = "Write an element and its condition a line, as Modality: [MG, CT]"
            wrong.append(Wrong(place, "is not a map of conditions", remedy))
            continue
        alternatives.append(tuple(_conditions(one.items(), place, wrong)))
    return Where(tuple(alternatives), json.dumps(raw, default=str)), tuple(wrong)


def _conditions(
    pairs: Iterable[tuple[object, object]], place: Location, wrong: list[Wrong]
) -> Iterable[tuple[str, Condition]]:
    seen: set[str] = set()
    for name, raw in pairs:
        here = (*place, str(name))
        try:
            path = _path(str(name), seen)
            yield path, parse_condition(vr(path), raw)
        except ElementError as exc:
            wrong.append(Wrong(here, exc.problem, exc.remedy, about_element=True))
        except ConditionError as exc:
            wrong.append(Wrong(here, exc.problem, exc.remedy))


def _path(name: str, seen: set[str]) -> str:
    path = parse_path(name)
    if vr(path) == "SQ":
        problem = f"{path} is a sequence, which has no value"
        raise ElementError(problem, "Name an element of its item, as in Sequence[0].Name")
    if path in seen:
        raise ElementError(f"{path} is given twice", "Join the two into a list")
    seen.add(path)
    return path
