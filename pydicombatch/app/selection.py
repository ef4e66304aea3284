"""Makes what looks rows up, from a configuration and a ledger."""

from datetime import date
from functools import partial

from pydicombatch.config.models import Config
from pydicombatch.core.clock import Clock
from pydicombatch.core.model import Key
from pydicombatch.ledger.ledger import Ledger
from pydicombatch.plan.requests import retrieve_identity
from pydicombatch.runner.abilities import Abilities, Manner
from pydicombatch.runner.selecting import Selecting
from pydicombatch.runner.wall_clock import wall
from pydicombatch.select.choice import Chosen
from pydicombatch.select.rules import Rules

ABILITIES = "queries"  # name in the ledger


def selecting(
    config: Config,
    rules: Rules,
    ledger: Ledger,
    clock: Clock,
    *,
    only_plans: bool = False,
    shown: tuple[str, ...] = (),
) -> Selecting:
    """Make the object that looks rows up.

    Parameters
    ----------
    config, rules, ledger, clock
        What is asked, what of it fits, where it is written down, and the time.
    only_plans
        Whether nothing is retrieved.
    shown
        Elements that a plan shows.
    """
    name = f"{ABILITIES} {config.pacs.aet}"
    manner = Manner(config.select.queries) if config.select else Manner.AUTO
    abilities = Abilities(manner, ledger.meta(name), partial(ledger.set_meta, name))
    return Selecting(
        rules,
        ledger,
        partial(_identity, config),
        partial(today, config, clock),
        abilities,
        only_plans,
        shown,
    )


def today(config: Config, clock: Clock) -> date:
    """Return the date in the time zone of the schedule."""
    return wall(config.schedule.timezone, clock.now()).date()


def identity(config: Config, keys: tuple[Key, ...]) -> str:
    """Name a retrieve."""
    return retrieve_identity(config.pacs.aet, config.request.type, config.request.model, keys)


def _identity(config: Config, chosen: Chosen) -> str:
    return identity(config, chosen.keys)
