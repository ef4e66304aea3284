"""`pydicombatch status`: how an extraction stands."""

import json
from contextlib import closing
from pathlib import Path

import click

from pydicombatch.app import Extraction
from pydicombatch.cli.say import say
from pydicombatch.report import lines, status
from pydicombatch.report.spreadsheet import guarded


@click.command()
@click.argument("config", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option(
    "--failed-csv",
    type=click.Path(path_type=Path),
    help="Write the lines that failed into a batch file of the same columns.",
)
@click.option(
    "--missing-csv",
    type=click.Path(path_type=Path),
    help="Write the SOP Instance UIDs that the archive lists and has not sent.",
)
@click.option(
    "--csv",
    "all_csv",
    type=click.Path(path_type=Path),
    help="Write every line with what became of it.",
)
def command(
    config: Path,
    *,
    as_json: bool,
    failed_csv: Path | None,
    missing_csv: Path | None,
    all_csv: Path | None,
) -> None:
    """Say what of CONFIG is done, pending and failed, and why."""
    extraction = Extraction.from_file(config)
    with closing(extraction.ledger()) as ledger:
        counts = ledger.counts()
        if as_json:
            failed = status.unfinished(ledger.unfinished())
            click.echo(json.dumps(status.as_json(counts, failed, ledger.evidence()), indent=2))
        else:
            for text in status.as_text(counts, status.unfinished(ledger.unfinished())):
                say(text)
        columns = extraction.columns
        names = [name for name, _ in columns]
        if failed_csv:
            status.write_csv(failed_csv, names, lines.failed(columns, ledger.unfinished()))
        if missing_csv:
            lacking = ((str(line), uid) for line, uid in ledger.missing())
            status.write_csv(missing_csv, ["Line", "SOPInstanceUID"], lacking)
        if all_csv:
            rows = lines.with_fate(columns, ledger.lines())
            heads: tuple[str, ...] = (*names, *lines.FATE)
            if extraction.config.output.excel_safe:
                heads, rows = guarded(heads), map(guarded, rows)
            status.write_csv(all_csv, heads, rows)
