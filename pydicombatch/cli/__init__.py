"""The command line: parse, delegate, print, exit. No logic."""

from importlib import import_module

import click
from click.shell_completion import CompletionItem

from pydicombatch import __version__
from pydicombatch.cli.say import say
from pydicombatch.core.errors import FatalError, PydicombatchError, as_fatal

COMMANDS = {  # imported when they are used: help should not wait for pydicom
    "run": "Send every request that is left and store what comes back.",
    "check": "Look at everything a run needs, and send a C-ECHO.",
    "plan": "Ask the archive what a run would retrieve, and how long it would take.",
    "status": "Say what is done, pending and failed, and why.",
    "report": "Write one HTML page: what came, what failed and why.",
    "export": "Write chosen elements of all stored instances into one table.",
    "anonymize": "Anonymize files and folders, without any archive.",
    "verify": "Read every stored file again and compare it with what was recorded.",
    "find": "Send one query and show what matches.",
    "purge": "Remove spool, quarantine and old ledgers: all that is identified.",
    "init": "Write a commented configuration to begin with.",
    "demo": "Run a find and a move against an archive with synthetic patients.",
}
INTERRUPTED = 130


class Commands(click.Group):
    """Takes `pydicombatch CONFIG` for a run of it, and turns errors into a sentence."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - of the base class
        """Return the names in the order in which they are needed."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Import a command."""
        if cmd_name not in COMMANDS:
            return None
        module = import_module(f"pydicombatch.cli.{cmd_name}")
        command: click.Command = module.command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """List the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Offer the commands, and files: a configuration may stand in their place."""
        # A file first: bash's script of click forgets what came before it
        return [CompletionItem(incomplete, type="file"), *super().shell_complete(ctx, incomplete)]

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Take a first word that is no command for the configuration of a run."""
        if args and args[0] not in COMMANDS:
            args = ["run", *args]
        return super().resolve_command(ctx, args)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Take options of `run` in front of the configuration for a run of it."""
        own = {word for param in self.get_params(ctx) for word in param.opts}
        if args and args[0].startswith("-") and args[0] not in own:
            args = ["run", *args]
        return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> None:
        """Run a command; no traceback ever reaches a user, for it may hold values."""
        try:
            super().invoke(ctx)
        except PydicombatchError as exc:
            say(exc, err=True)
            ctx.exit(exc.exit_code)
        except KeyboardInterrupt:
            ctx.exit(INTERRUPTED)
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except Exception as exc:  # noqa: BLE001 - the last line of defence
            say(as_fatal(exc), err=True)
            ctx.exit(FatalError.exit_code)


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="`pydicombatch CONFIG` is short for `pydicombatch run CONFIG`. Exit codes: 0 complete, "
    "1 some requests failed, 2 configuration wrong, 3 fatal error, 4 window ended, 5 held by "
    "another run, 129, 130 and 143 interrupted by SIGHUP, Ctrl-C and SIGTERM.",
)
@click.version_option(__version__, message="%(version)s")
def commands() -> None:
    """Get images out of a PACS in bulk."""
