"""`pydicombatch plan`: ask the archive what a run would retrieve, and retrieve nothing."""

import sys
from collections.abc import Iterator
from pathlib import Path

import click

from pydicombatch.app import Extraction
from pydicombatch.app.planning import Forecast
from pydicombatch.cli.display import Display
from pydicombatch.cli.say import say
from pydicombatch.cli.signals import handled
from pydicombatch.core.model import RequestType
from pydicombatch.runner.summary import Ending

WIDTH = 24


@click.command()
@click.argument("config", type=click.Path(path_type=Path))
@click.option(
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write the retrieves to this CSV, to delete lines from and give to `run --plan`.",
)
@click.option("--no-progress", is_flag=True, help="A line now and then in place of bars.")
@click.option("--stop-at-window-end", is_flag=True, help="End, not wait, outside the window.")
@click.option("--fail-on-empty", is_flag=True, help="Exit with 1 when a request matched nothing.")
@click.pass_context
def command(
    ctx: click.Context,
    config: Path,
    *,
    output: Path | None,
    no_progress: bool,
    stop_at_window_end: bool,
    fail_on_empty: bool,
) -> None:
    """Ask what the rows of CONFIG mean, and say what retrieving it would take."""
    extraction = Extraction.from_file(config)
    for warning in extraction.validate():
        say(f"Warning: {warning}", err=True)
    display = Display(RequestType.FIND, bars=sys.stderr.isatty() and not no_progress)
    with handled(extraction.stop, extraction.halt, display.say) as caught:
        try:
            summary, forecast = extraction.look_ahead(
                output=output, stop_at_window_end=stop_at_window_end, on_event=display
            )
        finally:
            display.close()
    for line in lines(forecast, output):
        click.echo(line)
    if summary.error is not None:
        say(summary.error, err=True)
    interrupted = summary.ending is Ending.STOPPED and summary.error is None
    code = summary.exit_code(fail_on_empty=fail_on_empty)
    ctx.exit(caught.exit_code if interrupted else code)


def lines(forecast: Forecast, output: Path | None) -> Iterator[str]:
    """Make the table that a plan ends with."""
    what, counts = forecast.volume, forecast.counts
    yield ""
    names = {"complete": "matched"}
    for name, count in sorted(counts.outcomes, key=lambda pair: (-pair[1], pair[0])):
        yield _row(f"Rows {names.get(name, name)}", str(count))
    yield _row("Retrieves", str(what.retrieves))
    yield _row("Studies", str(what.studies))
    yield _row("Series", "not known" if what.series is None else str(what.series))
    least = "at least " if what.unknown else ""  # what is not known is in none of the sums
    yield _row("Instances", f"{least}{what.instances}")
    if what.unknown:
        yield _row("Retrieves of unknown size", str(what.unknown))
    yield _row("Estimated size", f"{least}{_size(what.bytes)}")
    yield _row("Estimated time", f"{least}{_duration(forecast.seconds)}")
    yield _row("Done, if begun now", forecast.finish_text)
    if forecast.stores_here:
        yield _row("Free on the disk", f"{_size(forecast.free)}, {_room(forecast)}")
    if output is not None:
        yield _row("Plan", str(output))
    if counts.pending:
        yield "The plan is not complete; start it again to go on where it was."


def _room(forecast: Forecast) -> str:
    if not forecast.fits:
        return "NOT ENOUGH"
    return "not known whether enough" if forecast.volume.unknown else "enough"


def _row(name: str, value: str) -> str:
    return f"{name:<{WIDTH + 4}}{value}"


def _size(number: int) -> str:
    return f"{number / 1e9:.1f} GB" if number >= 10**9 else f"{number / 1e6:.1f} MB"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}"
