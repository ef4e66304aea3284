"""How a run begins: with the rows of today, and with what decides the result unchanged."""

import os
from pathlib import Path

from pydicombatch.app import unchanged
from pydicombatch.app.composition import Task
from pydicombatch.app.parts import rules
from pydicombatch.app.planning import plan_rules, shown
from pydicombatch.app.selection import selecting
from pydicombatch.config.digest import digests, refuse_changes
from pydicombatch.config.models import Config
from pydicombatch.core.clock import Clock
from pydicombatch.core.errors import Finding as Warned
from pydicombatch.ledger.ledger import Ledger
from pydicombatch.ledger.states import Selection
from pydicombatch.plan import review
from pydicombatch.plan.requests import Plan
from pydicombatch.plan.review import Reviewed
from pydicombatch.runner.selecting import Selecting

PLAN = "plan"  # name of the digest of a reviewed plan


def read_plan(path: Path | None, config: Config, plan: Plan) -> Reviewed | None:
    """Read a plan that was reviewed, if there is one.

    Raises
    ------
    ConfigError
        If it is not one of this configuration.
    """
    if path is None:
        return None
    plan_rules(config)  # there is nothing to plan where nothing is retrieved
    section = config.request
    return review.read(path, config.pacs.aet, section.type, section.model, plan)


def begin(
    ledger: Ledger,
    config: Config,
    plan: Plan,
    clock: Clock,
    reviewed: Reviewed | None = None,
    *,
    checked: tuple[str, tuple[Warned, ...]] = ("", ()),
    accept: bool = False,
) -> int:
    """Record that a run begins, with the rows of today; return its number.

    `checked` is the digest of the batch that was checked, and what was odd about it.

    Raises
    ------
    ConfigError
        If what decides the result has changed, unless `accept`.
    """
    before, now = ledger.digests(), digests(config)
    if reviewed is not None:
        now[PLAN] = reviewed.digest
    refuse_changes(before, now, accept=accept)
    changed = {name for name, value in before.items() if now.get(name) != value}
    number = ledger.begin_run(os.getpid(), clock.now())
    batch = unchanged.digest(config)  # before it is read: a change meanwhile shows later
    if not unchanged.is_loaded(ledger, batch):
        ledger.load(plan)
        unchanged.remember(ledger, batch if batch == checked[0] else "", checked[1])
    if {"select", PLAN} & changed:
        ledger.forget_selections()
    if reviewed is not None:
        ledger.follow(number, reviewed.rows, clock.now())
    ledger.set_digests(now)
    return number


def run_selector(
    config: Config, ledger: Ledger, clock: Clock, reviewed: Reviewed | None
) -> Selecting | None:
    """Make what looks rows up in a run; None when rows are sent as they are."""
    chosen = rules(config) or (plan_rules(config) if reviewed else None)
    return selecting(config, chosen, ledger, clock) if chosen else None


def plan_task(
    config: Config,
    plan: Plan,
    ledger: Ledger,
    clock: Clock,
    stop_at_window_end: bool,  # noqa: FBT001 - passed on
) -> Task:
    """Begin a plan in a ledger of its own, and say what is to be done for it."""
    of = plan_rules(config)
    number = begin(ledger, config, plan, clock)
    count = ledger.select(number, Selection.ALL)
    selector = selecting(config, of, ledger, clock, only_plans=True, shown=shown(of))
    return Task(
        config,
        plan,
        ledger,
        clock,
        number,
        count,
        None,
        stop_at_window_end,
        selector=selector,
        only_plans=True,
    )
