"""`pydicombatch check`: look before a run."""

import os
from collections.abc import Iterable
from itertools import chain
from pathlib import Path

import click

from pydicombatch.app import Extraction, outside
from pydicombatch.app.notifying import check as notified
from pydicombatch.app.sampling import Sample
from pydicombatch.cli.say import say
from pydicombatch.process.comparing import Change
from pydicombatch.runner.preflight import Check


@click.command()
@click.argument("config", type=click.Path(path_type=Path))
@click.option("--loop", is_flag=True, help="Also retrieve one small series back to us.")
@click.option("--notify", is_flag=True, help="Send a test to those whom `notify` names.")
@click.option(
    "--sample",
    "instances",
    type=click.IntRange(min=1),
    help="Retrieve so many instances, and say what anonymization would do to each element.",
)
@click.option(
    "--paths", is_flag=True, help="Print only what is read and written, a KIND and a path a line."
)
@click.option("--port", is_flag=True, help="Print only the port that is listened on, if any.")
@click.option("--variables", is_flag=True, help="Print only the environment variables in it.")
@click.option("--alive", is_flag=True, help="Look only whether a run goes on and answers.")
@click.pass_context
def command(
    ctx: click.Context,
    config: Path,
    *,
    loop: bool,
    notify: bool,
    instances: int | None,
    paths: bool,
    port: bool,
    variables: bool,
    alive: bool,
) -> None:
    """Look at everything a run of CONFIG needs; nothing is asked but a C-ECHO.

    --paths, --port and --variables are for scripts that start a run elsewhere, in a container for
    instance. They print a word, a tab and a value a line: `read`, `write`, `port` or `variable`.
    """
    if paths or port or variables:
        _say_needs(config, paths=paths, port=port, variables=variables)
        return
    if alive:
        ctx.exit(_say(outside.alive(config)))
    extraction = Extraction.from_file(config)
    for warning in extraction.validate():
        say(f"Warning: {warning}", err=True)
    told = notified(extraction.config, send_test=notify)
    worst = _say(chain(extraction.check(loop=loop), told))
    if instances and not worst:
        worst = _show(extraction.sample(instances))
    ctx.exit(worst)


def _say_needs(config: Path, *, paths: bool, port: bool, variables: bool) -> None:
    needs = [
        *(outside.variables(config) if variables else ()),
        *(outside.port(config, os.environ) if port else ()),
        *(outside.paths(config, os.environ) if paths else ()),
    ]
    for kind, value in needs:
        click.echo(f"{kind}\t{value}")


def _say(checks: Iterable[Check]) -> int:
    worst = 0
    for check in checks:
        if check.is_well:
            say(f"ok    {check.subject}: {check.detail}")
        else:
            say(f"FAIL  {check.subject}: {check.problem}. {check.remedy}.")
            worst = worst or check.exit_code
    return worst


def _show(found: Sample) -> int:
    """Print counts, never a value; return 1 when something would be set aside, or none came."""
    say(f"\n{found.instances} instances were retrieved, anonymized and thrown away")
    for reason, count in found.quarantined:
        say(f"FAIL  {count} would be quarantined: {reason}")
    if found.rows:
        say("".join(f"{change.value:>9}" for change in Change) + "  element")
    for row in found.rows:
        counts = "".join(f"{row.counts.get(change, 0) or '':>9}" for change in Change)
        say(f"{counts}  {row.element}")
    return 0 if found.instances and not found.quarantined else 1
