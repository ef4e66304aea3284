"""`pydicombatch check`: look before a run."""

import os
from collections.abc import Iterable
from pathlib import Path

import click

from pydicombatch.app import Extraction, outside
from pydicombatch.runner.preflight import Check


@click.command()
@click.argument("config", type=click.Path(path_type=Path))
@click.option(
    "--paths", is_flag=True, help="Print only what is read and written, a KIND and a path a line."
)
@click.option("--port", is_flag=True, help="Print only the port that is listened on, if any.")
@click.option("--variables", is_flag=True, help="Print only the environment variables in it.")
@click.option("--alive", is_flag=True, help="Look only whether a run goes on and answers.")
@click.pass_context
def command(
    ctx: click.Context, config: Path, *, paths: bool, port: bool, variables: bool, alive: bool
) -> None:
    """Look at everything a run of CONFIG needs; nothing is sent but a C-ECHO.

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
        click.echo(f"Warning: {warning}", err=True)
    ctx.exit(_say(extraction.check()))


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
            click.echo(f"ok    {check.subject}: {check.detail}")
        else:
            click.echo(f"FAIL  {check.subject}: {check.problem}. {check.remedy}.")
            worst = worst or check.exit_code
    return worst
