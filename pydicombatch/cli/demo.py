"""`pydicombatch demo`: the ordinary run path against an archive with synthetic patients."""

import csv
import socket
import sys
from pathlib import Path

import click

from pydicombatch.app import Extraction
from pydicombatch.cli.display import BANNER, Display
from pydicombatch.cli.signals import handled
from pydicombatch.cli.table import anonymization, closing
from pydicombatch.demo.archive import DemoArchive
from pydicombatch.demo.configs import write_configs
from pydicombatch.demo.patients import synthetic_instances
from pydicombatch.runner.summary import Ending, Summary

SHOWN = ("PatientName", "StudyDate", "Modality", "SeriesDescription")
FILES = 5  # paths that are shown


@click.command()
@click.option(
    "--directory",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("pydicombatch-demo"),
    show_default=True,
    help="Where configurations and results go.",
)
@click.pass_context
def command(ctx: click.Context, directory: Path) -> None:
    """Find and move synthetic patients; nothing leaves this machine."""
    click.echo(BANNER)
    patients = synthetic_instances()
    with DemoArchive(patients) as archive:
        local_port = _free_port()
        click.echo(f"An archive with {len(patients)} synthetic instances listens on port")
        click.echo(
            f"{archive.port} of this machine; it knows us as DEMO_STORE on port {local_port}."
        )
        archive.register("DEMO_STORE", "127.0.0.1", local_port)
        find, move = write_configs(directory, archive.port, local_port, instances=patients)
        worst = 0
        for config in (find, move):
            worst = worst or _carry_out(config)
    _show(directory.absolute())
    ctx.exit(worst)


def _carry_out(config: Path) -> int:
    click.echo(f"\nRunning extraction defined in: {config}")
    extraction = Extraction.from_file(config)
    click.echo(anonymization(on=extraction.anonymizes))
    kind = extraction.config.request.type
    display = Display(kind, bars=sys.stderr.isatty())
    with handled(extraction.stop, extraction.halt, display.say) as caught:
        try:
            summary = extraction.run(restart=True, on_event=display)
        finally:
            display.close()
    for line in closing(summary, kind):
        click.echo(line)
    if summary.error is not None:
        click.echo(str(summary.error), err=True)
    return _code(summary, caught.exit_code)


def _code(summary: Summary, interrupted: int) -> int:
    return interrupted if summary.ending is Ending.STOPPED else summary.exit_code()


def _show(directory: Path) -> None:
    found = directory / "found" / "library.csv"
    images = directory / "images"
    click.echo(f"\nWhat was found ({found}):")
    with found.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            click.echo("  " + " | ".join(row[name] for name in SHOWN))
    stored = sorted(images.rglob("*.dcm"))
    click.echo(f"\nWhat was stored ({len(stored)} files below {images}):")
    for path in stored[:FILES]:
        click.echo(f"  {path.relative_to(images)}")
    if len(stored) > FILES:
        click.echo(f"  … and {len(stored) - FILES} more")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
