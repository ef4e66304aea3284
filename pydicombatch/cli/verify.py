"""`pydicombatch verify`: compare what lies there with what was stored."""

from collections import Counter
from contextlib import closing
from pathlib import Path

import click

from pydicombatch.app import Extraction
from pydicombatch.store.verify import Finding

WORDS = {
    Finding.MISSING: "not there any more",
    Finding.CHANGED: "with other content than was stored",
    Finding.UNREADABLE: "not readable by this user",
    Finding.UNKNOWN: "not stored by this extraction",
}


@click.command()
@click.argument("config", type=click.Path(path_type=Path))
@click.option("--list", "paths", is_flag=True, help="Print the paths; they may hold identifiers.")
@click.pass_context
def command(ctx: click.Context, config: Path, *, paths: bool) -> None:
    """Read every stored file of CONFIG again and compare it with its recorded SHA-256."""
    extraction = Extraction.from_file(config)
    found: Counter[Finding | None] = Counter()
    with closing(extraction.ledger()) as ledger:
        for path, finding in extraction.verify(ledger):
            found[finding] += 1
            if paths and finding is not None:
                click.echo(f"{finding}: {path}")
    click.echo(f"{found[None]} files as they were stored")
    for kind, words in WORDS.items():
        if found[kind]:
            click.echo(f"{found[kind]} files {words}")
    if found.total() > found[None] and not paths:
        click.echo("`--list` names them.")
    if found[Finding.MISSING] + found[Finding.CHANGED]:
        click.echo("`pydicombatch run CONFIG --restart` fetches them again.")
    lost = found[Finding.MISSING] + found[Finding.CHANGED] + found[Finding.UNREADABLE]
    ctx.exit(1 if lost else 0)
