"""`pydicombatch run`: carry out the requests of one configuration."""

import sys
from pathlib import Path

import click

from pydicombatch.app import Extraction
from pydicombatch.app.notifying import of_error, of_summary, tell
from pydicombatch.cli.display import BANNER, Display
from pydicombatch.cli.say import say
from pydicombatch.cli.signals import handled
from pydicombatch.cli.table import anonymization, closing
from pydicombatch.core.errors import HeldError, PydicombatchError
from pydicombatch.ledger.states import Selection
from pydicombatch.notify.notice import Notice
from pydicombatch.runner.summary import Ending, Summary


@click.command()
@click.argument("config", type=click.Path(path_type=Path))
@click.option("--restart", is_flag=True, help="Put the ledger away and ask for everything again.")
@click.option("--only-failed", is_flag=True, help="Only what failed before.")
@click.option("--skip-failed", is_flag=True, help="Leave alone what failed before.")
@click.option("--limit", type=click.IntRange(min=1), help="The most requests to carry out.")
@click.option(
    "--plan",
    type=click.Path(path_type=Path),
    help="Retrieve exactly what this CSV of `plan --output` lists.",
)
@click.option("--accept-changes", is_flag=True, help="Go on although the configuration changed.")
@click.option("--no-progress", is_flag=True, help="A line now and then in place of bars.")
@click.option("--stop-at-window-end", is_flag=True, help="End, not wait, outside the window.")
@click.option("--fail-on-empty", is_flag=True, help="Exit with 1 when a request matched nothing.")
@click.pass_context
def command(
    ctx: click.Context,
    config: Path,
    *,
    restart: bool,
    only_failed: bool,
    skip_failed: bool,
    limit: int | None,
    plan: Path | None,
    accept_changes: bool,
    no_progress: bool,
    stop_at_window_end: bool,
    fail_on_empty: bool,
) -> None:
    """Send every request of CONFIG that is left and store what comes back."""
    if only_failed and skip_failed:
        raise click.UsageError("Use either --only-failed or --skip-failed, not both.")
    selection = Selection.ALL
    if only_failed or skip_failed:
        selection = Selection.ONLY_FAILED if only_failed else Selection.SKIP_FAILED
    click.echo(BANNER)
    say(f"Running extraction defined in: {config}")
    extraction = Extraction.from_file(config)
    warnings = extraction.validate()
    say(anonymization(on=extraction.anonymizes))
    for warning in warnings:
        say(f"Warning: {warning}", err=True)
    display = Display(extraction.config.request.type, bars=sys.stderr.isatty() and not no_progress)
    with handled(extraction.stop, extraction.halt, display.say) as caught:
        try:
            summary = extraction.run(
                selection=selection,
                restart=restart,
                accept_changes=accept_changes,
                limit=limit,
                stop_at_window_end=stop_at_window_end,
                plan=plan,
                on_event=display,
            )
        except PydicombatchError as exc:
            if not isinstance(exc, HeldError):  # that one tells how it went itself
                _notify(extraction, of_error(extraction.config, exc))
            raise
        finally:
            display.close()
    _conclude(extraction, summary)
    interrupted = summary.ending is Ending.STOPPED and summary.error is None
    code = summary.exit_code(fail_on_empty=fail_on_empty)
    code = caught.exit_code if interrupted else code
    _notify(extraction, of_summary(extraction.config, summary, code))
    ctx.exit(code)


def _notify(extraction: Extraction, notice: Notice) -> None:
    for failed in tell(extraction.config, notice):
        say(f"Warning: {failed}", err=True)


def _conclude(extraction: Extraction, summary: Summary) -> None:
    for line in closing(summary, extraction.config.request.type):
        say(line)
    for doubt in summary.doubts:
        say(f"Warning: {doubt}", err=True)
    if summary.error is not None:
        say(str(summary.error), err=True)
