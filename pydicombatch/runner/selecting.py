"""A row is first a query: what it means is found out, written down, and only then retrieved."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from typing import Protocol

from pydicombatch.core.errors import RequestError, TransientError, Unreachable
from pydicombatch.core.log import EventLog
from pydicombatch.core.model import Outcome
from pydicombatch.core.ports import Archive
from pydicombatch.core.records import Folded, Pending, Result, Retrieve
from pydicombatch.runner import judge
from pydicombatch.runner.abilities import Abilities, Manner
from pydicombatch.runner.asking import Asking, UnansweredError
from pydicombatch.runner.drilling import Drill, may_be_relational
from pydicombatch.runner.executors import Surroundings
from pydicombatch.runner.gate import NoTurnError
from pydicombatch.runner.judge import Judgement
from pydicombatch.select.choice import Choice, Chosen, Decision
from pydicombatch.select.route import Route, make_route, references
from pydicombatch.select.rules import Rules, query_keys

log = EventLog(__name__)
EVERYTHING = "The row has no key with a value, which would ask for everything the archive holds"
NARROW = "Give it a key with a value, or add a range of StudyDate to select.where"


class SelectionLedger(Protocol):
    """What looking up needs of the ledger."""

    def retrieves(self, row: int) -> tuple[Pending, ...] | None:
        """Return the retrieves of a row that are not decided; None if it was not looked up."""

    def choose(
        self,
        run: int,
        row: int,
        attempt: int | None,
        retrieves: Sequence[Retrieve],
        now: datetime,
    ) -> Sequence[Folded]:
        """Record what a row means, with the retrieves that gives, in one step."""

    def decide(self, row: int, now: datetime) -> Sequence[Folded]:
        """Decide a row that was looked up, if none of its retrieves is pending."""


@dataclass
class Selecting:
    """Looks rows up for a run; one object for all threads.

    Parameters
    ----------
    rules
        What of the matches is retrieved.
    ledger
        Keeps what was found.
    identity
        Names a retrieve.
    today
        The date that relative dates count from.
    abilities
        How the archive can be asked.
    only_plans
        Whether rows end here, for a plan, with nothing retrieved.
    shown
        More elements that a plan shows.
    """

    rules: Rules
    ledger: SelectionLedger
    identity: Callable[[Chosen], str]
    today: Callable[[], date]
    abilities: Abilities = field(default_factory=Abilities)
    only_plans: bool = False
    shown: tuple[str, ...] = ()
    _counts: bool = True  # whether the archive lets us count what it does not tell
    _claimed: set[int] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def look_up(
        self, around: Surroundings, archive: Archive, pending: Pending
    ) -> tuple[int, Judgement]:
        """Ask the archive what a row means, unless that is known; the judgement says what next."""
        known = self.ledger.retrieves(pending.id)
        if known is not None and not self.only_plans:
            return 0, self._go_on(around, pending, (), is_new=False)
        attempt = around.ledger.start_attempt(around.run, pending.id, around.clock.now())
        try:
            decision = self._decide(around, archive, pending)
        except Unreachable:
            reason = "The archive could not be reached"
            around.ledger.interrupt(attempt, around.clock.now(), reason)
            raise
        except NoTurnError:  # between two queries of the row
            reason = "Nothing more may be sent for now"
            around.ledger.interrupt(attempt, around.clock.now(), reason)
            raise
        except UnansweredError as exc:
            return attempt, _nothing_retrieved(exc.judgement)
        except (TransientError, RequestError) as exc:
            return attempt, judge.failure(exc, again=isinstance(exc, TransientError))
        return attempt, self._judged(around, pending, attempt, decision)

    def _judged(
        self, around: Surroundings, pending: Pending, attempt: int, decision: Decision
    ) -> Judgement:
        if decision.outcome is not Outcome.COMPLETE:
            result = Result(decision.outcome, reason=decision.reason, remedy=decision.remedy)
            return Judgement(result)
        retrieves = [self._retrieve(one) for one in decision.chosen]
        rows = self.ledger.choose(around.run, pending.id, attempt, retrieves, around.clock.now())
        log.info("row.selected", request=pending.id, row=pending.line, matches=len(retrieves))
        if self.only_plans:
            return Judgement(Result(Outcome.COMPLETE, matches=len(retrieves)))
        return self._go_on(around, pending, tuple(rows), is_new=True)

    def _go_on(
        self, around: Surroundings, pending: Pending, rows: tuple[Folded, ...], *, is_new: bool
    ) -> Judgement:
        """Hand the retrieves out that no other row has handed out already.

        Counts of instances go along if they are new: those of an earlier run, or of a plan that
        somebody may have edited, are no evidence.
        """
        left = self.ledger.retrieves(pending.id) or ()
        if not left and not rows:
            rows = tuple(self.ledger.decide(pending.id, around.clock.now()))
        with self._lock:
            mine = tuple(one for one in left if one.id not in self._claimed)
            self._claimed.update(one.id for one in mine)
        if not is_new:
            mine = tuple(replace(one, instances=None) for one in mine)
        return Judgement(Result(Outcome.COMPLETE), retrieves=mine, rows=rows)

    def _decide(self, around: Surroundings, archive: Archive, pending: Pending) -> Decision:
        today = self.today()
        try:
            keys = query_keys(pending.keys, self.rules)
        except ValueError as exc:
            raise RequestError(
                "A date of the row is none, so select.date_tolerance has nothing to count from",
                "Write it as 20200131",
            ) from exc
        choice = Choice(self.rules, around.model)
        named = references(keys, around.model, self.rules, today)
        if named is not None:
            for one in named:
                choice.add(one)
            return choice.decide()
        route = make_route(keys, around.model, self.rules, today, self.shown)
        if route.asks_for_everything():
            raise RequestError(EVERYTHING, NARROW)
        asking = Asking(around.means, archive, pending, today, around.turn)
        return self._drill(asking, route, around.model, today)

    def _drill(self, asking: Asking, route: Route, model: str, today: date) -> Decision:
        """Ask in the way the archive can; find that out when nobody knows."""
        manner = self.abilities.of(route.model)
        several = may_be_relational(route, self.rules)
        if manner is Manner.AUTO and several and asking.archive.is_relational():
            self.abilities.learn(route.model, Manner.RELATIONAL)
            manner = Manner.RELATIONAL
        if manner is Manner.RELATIONAL and several:
            decision = self._at_once(asking, route, model, today)
            if decision is not None:
                return decision
        choice = Choice(self.rules, model)
        drill = Drill(asking, route, self.rules, today, choice, counts=self._counts)
        found = drill.hierarchical()
        self._counts = self._counts and drill.counts
        if manner is Manner.RELATIONAL and found:  # at once it had found nothing
            self.abilities.learn(route.model, Manner.HIERARCHICAL)
        if several and found and not choice.is_full and self.abilities.may_try(route.model):
            self._try_at_once(asking, route, model, today, found)
        if choice.nameless:
            log.warning("row.nameless", request=asking.pending.id, matches=choice.nameless)
        return choice.decide()

    def _at_once(self, asking: Asking, route: Route, model: str, today: date) -> Decision | None:
        """Ask with one relational query; None when the archive seems not to understand it."""
        choice = Choice(self.rules, model)
        try:
            found = Drill(asking, route, self.rules, today, choice).relational()
        except UnansweredError as exc:
            if exc.judgement.again:
                raise
            return None
        # nothing found may mean that it takes the keys of other levels for none of its own
        return choice.decide() if found or choice.has_answers else None

    def _try_at_once(
        self, asking: Asking, route: Route, model: str, today: date, found: list[dict[str, str]]
    ) -> None:
        """Compare one relational query with what was found level by level."""
        choice = Choice(self.rules, model)
        try:
            other = Drill(asking, route, self.rules, today, choice).relational()
        except UnansweredError:
            other = None
        except (TransientError, NoTurnError):
            self.abilities.give_up(route.model)
            raise
        same = other is not None and _as_set(other) == _as_set(found)
        self.abilities.learn(route.model, Manner.RELATIONAL if same else Manner.HIERARCHICAL)

    def _retrieve(self, chosen: Chosen) -> Retrieve:
        level = self.rules.level
        asked = {key.path for key in chosen.keys}
        shown = tuple((p, chosen.values.get(p, "")) for p in self.shown if p not in asked)
        return Retrieve(
            self.identity(chosen),
            chosen.keys,
            chosen.modality(level),
            chosen.instances(level),
            shown,
        )


def _as_set(found: list[dict[str, str]]) -> set[tuple[tuple[str, str], ...]]:
    ignored = {"QueryRetrieveLevel", "SpecificCharacterSet"}
    return {
        tuple(sorted((path, text) for path, text in one.items() if text and path not in ignored))
        for one in found
    }


def _nothing_retrieved(judgement: Judgement) -> Judgement:
    """Count no matches: what a query brought that was cut short was not looked at."""
    result = replace(judgement.result, matches=0)
    if result.outcome is Outcome.REFUSED:
        result = replace(result, remedy=f"{result.remedy}, or choose another select.level")
    return replace(judgement, result=result)
