"""`pydicombatch check`: look before a run."""

from pathlib import Path

import click

from pydicombatch.app import Extraction


@click.command()
@click.argument("config", type=click.Path(path_type=Path))
@click.option("--loop", is_flag=True, help="Also retrieve one small series back to us.")
@click.pass_context
def command(ctx: click.Context, config: Path, *, loop: bool) -> None:
    """Look at everything a run of CONFIG needs; nothing is sent but a C-ECHO."""
    extraction = Extraction.from_file(config)
    for warning in extraction.validate():
        click.echo(f"Warning: {warning}", err=True)
    worst = 0
    for check in extraction.check(loop=loop):
        if check.is_well:
            click.echo(f"ok    {check.subject}: {check.detail}")
        else:
            click.echo(f"FAIL  {check.subject}: {check.problem}. {check.remedy}.")
            worst = worst or check.exit_code
    ctx.exit(worst)
