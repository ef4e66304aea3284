"""`pydicombatch check`: look before a run."""

from itertools import chain
from pathlib import Path

import click

from pydicombatch.app import Extraction
from pydicombatch.app.notifying import check as notified


@click.command()
@click.argument("config", type=click.Path(path_type=Path))
@click.option("--notify", is_flag=True, help="Send a test to those whom `notify` names.")
@click.pass_context
def command(ctx: click.Context, config: Path, *, notify: bool) -> None:
    """Look at everything a run of CONFIG needs; the archive is sent nothing but a C-ECHO."""
    extraction = Extraction.from_file(config)
    for warning in extraction.validate():
        click.echo(f"Warning: {warning}", err=True)
    worst = 0
    for check in chain(extraction.check(), notified(extraction.config, send_test=notify)):
        if check.is_well:
            click.echo(f"ok    {check.subject}: {check.detail}")
        else:
            click.echo(f"FAIL  {check.subject}: {check.problem}. {check.remedy}.")
            worst = worst or check.exit_code
    ctx.exit(worst)
