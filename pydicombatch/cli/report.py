"""`pydicombatch report`: one HTML page about an extraction."""

from datetime import UTC, datetime
from pathlib import Path

import click

from pydicombatch.app import Extraction
from pydicombatch.app.reporting import report


@click.command()
@click.argument("config", type=click.Path(path_type=Path))
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    default=Path("report.html"),
    show_default=True,
    help="The file to write.",
)
@click.option("--identified", is_flag=True, help="Show the keys of the requests: patients.")
def command(config: Path, *, output: Path, identified: bool) -> None:
    """Write one HTML page about CONFIG: what came, what failed and why."""
    extraction = Extraction.from_file(config)
    report(extraction, output, datetime.now(UTC), identified=identified)
    click.echo(f"Report written to {output}")
    if identified:
        click.echo("It names patients: keep it as you keep the images.", err=True)
