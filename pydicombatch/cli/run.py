"""`pydicombatch run`: carry out the requests of one configuration."""

from pathlib import Path
from typing import Any

import click

from pydicombatch.receive.process.spawn import prepare


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
def command(ctx: click.Context, /, config: Path, **wishes: Any) -> None:  # noqa: ANN401
    """Send every request of CONFIG that is left and store what comes back."""
    if wishes["only_failed"] and wishes["skip_failed"]:
        raise click.UsageError("Use either --only-failed or --skip-failed, not both.")
    prepare()  # the receiver comes up while all the rest is imported
    from pydicombatch.cli.running import Wishes, carry_out  # noqa: PLC0415 - as said

    ctx.exit(carry_out(config, Wishes(**wishes)))
