"""What `pydicombatch run` does; apart from its options, since it takes long to import."""

import sys
from dataclasses import dataclass
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """The options of `run`."""

    only_failed: bool
    skip_failed: bool
    restart: bool
    accept_changes: bool
    limit: int | None
    plan: Path | None
    no_progress: bool
    stop_at_window_end: bool
    fail_on_empty: bool


def carry_out(config: Path, wishes: Wishes) -> int:
    """Run to the end; return the exit code."""
    selection = Selection.ALL
    if wishes.only_failed or wishes.skip_failed:
        selection = Selection.ONLY_FAILED if wishes.only_failed else Selection.SKIP_FAILED
    click.echo(BANNER)
    say(f"Running extraction defined in: {config}")
    extraction = Extraction.from_file(config)
    warnings = extraction.validate()
    say(anonymization(on=extraction.anonymizes))
    for warning in warnings:
        say(f"Warning: {warning}", err=True)
    display = Display(
        extraction.config.request.type, bars=sys.stderr.isatty() and not wishes.no_progress
    )
    with handled(extraction.stop, extraction.halt, display.say) as caught:
        try:
            summary = extraction.run(
                selection=selection,
                restart=wishes.restart,
                accept_changes=wishes.accept_changes,
                limit=wishes.limit,
                stop_at_window_end=wishes.stop_at_window_end,
                plan=wishes.plan,
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
    code = summary.exit_code(fail_on_empty=wishes.fail_on_empty)
    code = caught.exit_code if interrupted else code
    _notify(extraction, of_summary(extraction.config, summary, code))
    return code


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
