"""`pydicombatch export`: elements of all stored instances as a table."""

import os
import sys
from pathlib import Path

import click
from tqdm import tqdm

from pydicombatch.app.exporting import export
from pydicombatch.config.load import load

WORDS = {
    "missing": "not there any more",
    "changed": "with other content than was stored",
    "unreadable": "not readable by this user",
}


@click.command()
@click.argument("config", type=click.Path(path_type=Path))
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    required=True,
    help="The table to write, a name in .csv or .parquet.",
)
@click.option("--element", "elements", multiple=True, help="An element; may be repeated.")
@click.option("--list", "paths", is_flag=True, help="Print the paths of files without a row.")
@click.pass_context
def command(
    ctx: click.Context, config: Path, *, output: Path, elements: tuple[str, ...], paths: bool
) -> None:
    """Write chosen elements of all stored instances of CONFIG into one table."""
    loaded = load(config, os.environ)

    def name(finding: str, path: str) -> None:
        if paths:
            click.echo(f"{finding}: {path}")

    with tqdm(unit="inst", desc="Reading headers", disable=not sys.stderr.isatty()) as bar:
        done = export(loaded.config, output, elements, bar.update, name)
    if done.resumed:
        click.echo(f"{done.resumed} instances had been read before")
    click.echo(f"{done.rows} instances written to {output}")
    for finding, count in sorted(done.findings.items()):
        click.echo(f"{count} files {WORDS[finding]}")
    if done.findings and not paths:
        click.echo("`--list` names them.")
    ctx.exit(1 if done.findings else 0)
