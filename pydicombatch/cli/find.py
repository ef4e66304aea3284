"""`pydicombatch find`: one query from the command line."""

import sys
from pathlib import Path
from typing import TextIO

import click

from pydicombatch.app.question import IGNORED, Connection, Question, ask, question
from pydicombatch.cli.say import say
from pydicombatch.core.found import Found
from pydicombatch.report import answers

MODELS = ("patient", "study", "psonly", "worklist")
LEVELS = ("PATIENT", "STUDY", "SERIES", "IMAGE")
FORMATS = ("table", "csv", "json", "dicom")


@click.command()
@click.argument("query", required=False, type=click.Path(path_type=Path))
@click.option("-k", "--key", "keys", multiple=True, help="Keyword=value; overrides QUERY.")
@click.option("--config", type=click.Path(path_type=Path), help="Whom to ask, from its pacs.")
@click.option("--hostname", help="The archive.")
@click.option("--port", type=click.IntRange(1, 65535), help="Its port; 104 if not given.")
@click.option("--aet", help="Its AE title; ANY-SCP if not given.")
@click.option("--calling-aet", help="Our AE title; PYDICOMBATCH if not given.")
@click.option("--model", type=click.Choice(MODELS), help="Information model; study if not given.")
@click.option("--level", type=click.Choice(LEVELS, case_sensitive=False), help="STUDY by default.")
@click.option("--limit", type=click.IntRange(min=1), help="The most matches; cancels the rest.")
@click.option("--charset", help="Character set of text outside ASCII, as ISO_IR 100.")
@click.option("--format", "form", type=click.Choice(FORMATS), default="table", show_default=True)
@click.option("--output", type=click.Path(path_type=Path), help="File, or folder for dicom.")
@click.option("--fail-on-empty", is_flag=True, help="Exit with 1 when nothing matched.")
@click.pass_context
def command(
    ctx: click.Context,
    query: Path | None,
    *,
    keys: tuple[str, ...],
    config: Path | None,
    hostname: str | None,
    port: int | None,
    aet: str | None,
    calling_aet: str | None,
    model: str | None,
    level: str | None,
    limit: int | None,
    charset: str | None,
    form: str,
    output: Path | None,
    fail_on_empty: bool,
) -> None:
    """Send one C-FIND and show what matches; QUERY is a DICOM file, DICOM JSON or YAML."""
    connection = Connection(hostname, port, aet, calling_aet, charset, config)
    one = question(keys, connection, query=query, model=model, level=level or "", limit=limit)
    for warning in one.warnings:
        say(f"Warning: {warning}", err=True)
    if form == "dicom" and output is None:
        raise click.UsageError("--format dicom needs --output FOLDER.")
    count = _send(one, form, output)
    ctx.exit(1 if fail_on_empty and not count else 0)


def _send(one: Question, form: str, output: Path | None) -> int:
    """Write what matches; return how many."""
    opened: list[TextIO] = []

    def stream() -> TextIO:
        if output is None:
            return sys.stdout
        opened.append(answers.private(output))
        return opened[0]

    writer = _writer(one, form, output, stream)
    count, ignored = 0, False

    def on_found(found: Found) -> None:
        nonlocal count, ignored
        count += 1
        ignored = ignored or found.ignores_keys
        writer.add(found)

    try:
        ask(one, on_found)
    finally:
        if count or sys.exc_info()[0] is None:
            writer.end()
        for file in opened:
            file.close()
    if ignored:
        click.echo(f"Warning: {IGNORED}.", err=True)
    full = ", as many as --limit allows" if count == one.limit else ""
    click.echo(f"{count} {'match' if count == 1 else 'matches'}{full}", err=True)
    return count


def _writer(one: Question, form: str, output: Path | None, stream: answers.Open) -> answers.Writer:
    if form == "dicom" and output is not None:
        return answers.Files(output, one.sop_class_uid)
    if form == "json":
        return answers.Json(stream, one.charset)
    kind = answers.Csv if form == "csv" else answers.Table
    return kind(stream, one.columns, one.charset)
