"""`pydicombatch init`: a configuration to begin with."""

import os
import sys
from pathlib import Path
from typing import Any

import click

from pydicombatch.app.starting import write_starter
from pydicombatch.config.starter import LEVELS, TYPES, Answers

PORT = click.IntRange(1, 65535)
KINDS = click.Choice(TYPES)
QUESTIONS: dict[str, tuple[str, Any, Any]] = {  # option -> question, kind, proposal
    "type": ("c-find for a list, c-move or c-get for images, c-echo for a test", KINDS, "c-find"),
    "hostname": ("Host name or address of the archive", str, None),
    "port": ("Its DICOM port", PORT, 104),
    "aet": ("Its AE title", str, None),
    "local_aet": ("Our AE title, as the archive knows it", str, None),
    "local_port": ("Our port, to which the archive sends", PORT, 4006),
}
REQUIRED = ("type", "hostname", "aet", "local_aet")


@click.command()
@click.argument("config", type=click.Path(path_type=Path), default=Path("config.yml"))
@click.option("--type", type=KINDS, help="What to ask for.")
@click.option("--hostname", help="Host name or address of the archive.")
@click.option("--port", type=PORT, help="DICOM port of the archive.  [default: 104]")
@click.option("--aet", help="AE title of the archive.")
@click.option("--local-aet", help="Our AE title, as the archive knows it.")
@click.option("--local-port", type=PORT, help="Our port.  [default: 4006]")
@click.option(
    "--level",
    type=click.Choice(LEVELS, case_sensitive=False),
    default="STUDY",
    show_default=True,
    help="A row is one such.",
)
@click.option("--batch-file", default="batch.csv", show_default=True, help="The rows.")
@click.option("--output", "directory", default="output", show_default=True, help="Where all goes.")
def command(config: Path, *, level: str, batch_file: str, directory: str, **given: Any) -> None:  # noqa: ANN401 - as click hands them over
    """Write a commented configuration into CONFIG; on a terminal, ask for what is not given."""
    # Without somebody who could answer, a question would wait for ever
    answers = _asked(given) if sys.stdin.isatty() and sys.stdout.isatty() else _defaults(given)
    more: dict[str, Any] = {
        "level": level.upper(),
        "batch_file": batch_file,
        "directory": directory,
    }
    for file in write_starter(config, Answers(**answers, **more), os.environ):
        click.echo(f"Written: {file}")
    click.echo(f"Next:    pydicombatch check {config}")


def _asked(given: dict[str, Any]) -> dict[str, Any]:
    return {
        name: given[name]
        if given[name] is not None
        else click.prompt(question, type=kind, default=proposal)
        for name, (question, kind, proposal) in QUESTIONS.items()
    }


def _defaults(given: dict[str, Any]) -> dict[str, Any]:
    lacking = [f"--{name.replace('_', '-')}" for name in REQUIRED if given[name] is None]
    if lacking:
        raise click.UsageError(f"Without a terminal nobody can be asked: give {', '.join(lacking)}")
    return {
        name: proposal if given[name] is None else given[name]
        for name, (_, _, proposal) in QUESTIONS.items()
    }
