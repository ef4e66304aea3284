"""`pydicombatch purge`: the end of identified data."""

from pathlib import Path

import click

from pydicombatch.app import Extraction


@click.command()
@click.argument("config", type=click.Path(path_type=Path))
@click.option(
    "--all",
    "everything",
    is_flag=True,
    help="The ledger, the log and the key of the pseudonyms, too: nothing can be resumed then.",
)
def command(config: Path, *, everything: bool) -> None:
    """Remove the spool, the quarantine and old ledgers of CONFIG, and say what was removed.

    Stored instances and the CSV of results stay.
    """
    extraction = Extraction.from_file(config)
    total = 0
    for what, removed in extraction.purge(everything=everything):
        if removed.files:
            click.echo(f"Removed {removed.files} {what}, {removed.bytes / 1e6:.1f} MB")
        total += removed.files
    if not total:
        click.echo("There was nothing to remove")
    if not everything and (extraction.config.state_directory / "ledger.sqlite").exists():
        click.echo("The ledger of this extraction stays; it holds identifiers (`--all` removes it)")
