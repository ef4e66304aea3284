"""`pydicombatch check`: look before a run."""

from pathlib import Path

import click

from pydicombatch.app import Extraction
from pydicombatch.app.sampling import Sample
from pydicombatch.cli.say import say
from pydicombatch.process.comparing import Change


@click.command()
@click.argument("config", type=click.Path(path_type=Path))
@click.option(
    "--sample",
    "instances",
    type=click.IntRange(min=1),
    help="Retrieve so many instances, and say what anonymization would do to each element.",
)
@click.pass_context
def command(ctx: click.Context, config: Path, *, instances: int | None) -> None:
    """Look at everything a run of CONFIG needs; nothing is sent but a C-ECHO."""
    extraction = Extraction.from_file(config)
    for warning in extraction.validate():
        say(f"Warning: {warning}", err=True)
    worst = 0
    for check in extraction.check():
        if check.is_well:
            say(f"ok    {check.subject}: {check.detail}")
        else:
            say(f"FAIL  {check.subject}: {check.problem}. {check.remedy}.")
            worst = worst or check.exit_code
    if instances and not worst:
        worst = _show(extraction.sample(instances))
    ctx.exit(worst)


def _show(found: Sample) -> int:
    """Print counts, never a value; return 1 when something would be set aside, or none came."""
    say(f"\n{found.instances} instances were retrieved, anonymized and thrown away")
    for reason, count in found.quarantined:
        say(f"FAIL  {count} would be quarantined: {reason}")
    if found.rows:
        say("".join(f"{change.value:>9}" for change in Change) + "  element")
    for row in found.rows:
        counts = "".join(f"{row.counts.get(change, 0) or '':>9}" for change in Change)
        say(f"{counts}  {row.element}")
    return 0 if found.instances and not found.quarantined else 1
