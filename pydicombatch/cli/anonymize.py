"""`pydicombatch anonymize`: the anonymizer alone, on files and folders."""

import secrets
import sys
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import click
from tqdm import tqdm

from pydicombatch.app.anonymizing import Anonymization, Done, Fate, processors, sources
from pydicombatch.cli.say import say
from pydicombatch.cli.signals import handled
from pydicombatch.core.log import printable
from pydicombatch.process.anonymize.profile_table import Option
from pydicombatch.process.anonymize.pseudonyms import Pseudonyms
from pydicombatch.process.recipe import Recipe

FILE = click.Path(path_type=Path, dir_okay=False)


def _pairs(_: click.Context, parameter: click.Parameter, texts: tuple[str, ...]) -> dict[str, str]:
    """Split each text at its first equals sign."""
    found: dict[str, str] = {}
    for text in texts:
        name, sign, value = text.partition("=")
        if not name.strip() or not sign:
            raise click.BadParameter("it is not of the form NAME=VALUE", param=parameter)
        found[name.strip()] = value
    return found


@click.command()
@click.argument("inputs", metavar="IN…", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--output",
    required=True,
    type=click.Path(path_type=Path, file_okay=False),
    help="Where the anonymized files go, under their relative paths.",
)
@click.option("--script", type=FILE, help="Anonymizer script of RSNA CTP.")
@click.option("--lookup-table", type=FILE, help="Lookup table of the script.")
@click.option(
    "--profile", type=click.Choice(["basic"]), help="Profile of PS3.15, before the script."
)
@click.option(
    "--option",
    "options",
    multiple=True,
    type=click.Choice([one.value for one in Option]),
    help="An option of the profile; may be repeated.",
)
@click.option(
    "--mode",
    type=click.Choice(["strict", "compatible"]),
    default="strict",
    show_default=True,
    help="Set aside what could leak, or do as the Java tool does.",
)
@click.option(
    "--set", "parameters", multiple=True, callback=_pairs, help="A parameter of the script."
)
@click.option(
    "--element",
    "elements",
    metavar="ELEMENT=SCRIPT",
    multiple=True,
    callback=_pairs,
    help="The script of one element, in place of the file's.",
)
@click.option("--pixel-script", type=FILE, help="Regions to blank, by image.")
@click.option("--decompress", is_flag=True, help="Decompress images that the pixel script blanks.")
@click.option("--pixel-test", is_flag=True, help="Paint the regions visibly instead of black.")
@click.option(
    "--pixel-risk",
    type=click.Choice(["quarantine", "allow"]),
    help="What happens to images that usually have text burned in.",
)
@click.option("--key-file", type=FILE, help="Key of the pseudonyms of the profile, mode 0600.")
@click.option("--mapping-file", type=FILE, help="Keep old and new identifiers in this CSV.")
@click.option("--workers", type=click.IntRange(1, 64), help="Processes at the same time.")
@click.option("--no-progress", is_flag=True, help="Draw no bar.")
@click.pass_context
def command(
    ctx: click.Context,
    /,
    inputs: tuple[Path, ...],
    output: Path,
    *,
    workers: int | None,
    no_progress: bool,
    key_file: Path | None,
    profile: str | None,
    options: tuple[str, ...],
    **settings: Any,  # noqa: ANN401 - the fields of Recipe
) -> None:
    """Anonymize files and folders.

    Exit codes: 0 all were anonymized, 1 some were quarantined, 2 a script or the call is wrong.
    """
    if options and not profile:
        raise click.UsageError("--option belongs to --profile basic.")
    recipe = _recipe(key_file, options if profile else None, settings)
    for warning in recipe.warnings():
        say(f"Warning: {warning}", err=True)
    if profile and key_file is None:
        click.echo("Without --key-file, pseudonyms and UIDs differ in every call.", err=True)
    found = sources(inputs, output)
    stop = threading.Event()
    with _Report(len(found), bar=sys.stderr.isatty() and not no_progress) as report:
        task = Anonymization(recipe, output, workers or processors(), report, stop)
        with handled(stop.set, stop.set, report.say) as caught:
            task.carry_out(found)
    report.conclude()
    ctx.exit(caught.exit_code if caught.number else report.exit_code)


def _recipe(
    key_file: Path | None, options: tuple[str, ...] | None, settings: dict[str, Any]
) -> Recipe:
    key = Pseudonyms.from_file(key_file) if key_file else None
    if options is not None and key is None:
        key = Pseudonyms.of(secrets.token_hex(32))
    return Recipe(options=options, key=key, **settings)


class _Report:
    """Names what was not anonymized, and counts."""

    def __init__(self, total: int, *, bar: bool) -> None:
        self._bar = tqdm(total=total, unit="file", file=sys.stderr) if bar else None
        self._total = total
        self._counts: Counter[Fate] = Counter()
        self._is_well = True

    def __enter__(self) -> "_Report":  # noqa: PYI034 - private
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def __call__(self, done: Done) -> None:
        self._counts[done.fate] += 1
        self._is_well = self._is_well and done.is_well
        if done.fate is not Fate.ANONYMIZED:
            self.say(f"{done.fate}: {printable(str(done.source.relative))}: {done.reason}")
        if self._bar is not None:
            self._bar.update()

    def say(self, line: str) -> None:
        """Print a line above the bar."""
        if self._bar is not None:
            self._bar.write(line)
        else:
            click.echo(line)

    def conclude(self) -> None:
        """Print how many there were."""
        parts = [f"{self._counts[Fate.ANONYMIZED]} of {self._total} files anonymized"]
        parts += [
            f"{self._counts[fate]} {fate}"
            for fate in Fate
            if fate is not Fate.ANONYMIZED and self._counts[fate]
        ]
        click.echo(", ".join(parts))

    @property
    def exit_code(self) -> int:
        """0 when all were anonymized."""
        return 0 if self._is_well and self._counts[Fate.ANONYMIZED] else 1
