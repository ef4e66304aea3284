"""How much memory a long run takes, and whether it grows.

    python -m benchmarks.memory find [--rows 100000] [--matches 1]
    python -m benchmarks.memory move [--rows 100000] [--instances 1000]
    python -m benchmarks.memory imports

Ends with 1 when a bar is missed: 400 MB in all, 50 MB of growth. See benchmarks/README.md.
"""

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from benchmarks.support import (
    MEGABYTE,
    Usage,
    WrongResult,
    free_port,
    machine,
    measure,
    orthanc,
    our_program,
    series_rows,
    slices,
    stored,
    write_config,
)

MOST = 400 * MEGABYTE  # sum of PSS over all our processes
MOST_GROWTH = 50 * MEGABYTE
STEPS = 10
HEAVY = frozenset({"pandas", "gdcm", "openpyxl", "PIL"})  # imported only where they are used
FORBIDDEN = frozenset({"pandas"})

rows_option = click.option("--rows", type=click.IntRange(1), default=100_000, show_default=True)
output_option = click.option(
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    help="Where files go; else a temporary directory.",
)


@click.group()
def main() -> None:
    """Measure memory."""


@main.command()
@rows_option
@click.option("--matches", type=click.IntRange(0), default=1, show_default=True, help="A row.")
@click.option("--threads", type=click.IntRange(1, 64), default=4, show_default=True)
@output_option
def find(*, rows: int, matches: int, threads: int, output: Path | None) -> None:
    """Send a C-FIND for every row to an archive that answers at once."""
    elements = ["QueryRetrieveLevel=STUDY", "StudyDate", "StudyInstanceUID", "StudyDescription"]
    request: dict[str, object] = {
        "type": "c-find",
        "model": "study",
        "threads": threads,
        "elements": elements,
    }
    lines = ["PatientID", *(f"{number:08}" for number in range(1, rows + 1))]
    with tempfile.TemporaryDirectory(dir=output) as place, fast_archive(matches) as port:
        folder = Path(place)
        config = write_config(folder, ("ARCHIVE", port), free_port(), request, lines)
        usage = measure(our_program("run", config, "--no-progress"))
        with (folder / "out" / "library.csv").open("rb") as file:
            found = sum(1 for _ in file) - 1
        if found != rows * matches:
            raise WrongResult(f"{found} rows in the results instead of {rows * matches}")
        seconds = usage.seconds - usage.loaded
        rates = f"{rows / seconds:.1f} requests/s, {found / seconds:.0f} matches/s"
        click.echo(f"C-FIND of {rows} rows, {matches} matches each: {rates}")
        _status(config)
        report(usage)


@main.command()
@rows_option
@click.option("--instances", type=click.IntRange(1), default=1000, show_default=True)
@click.option("--edge", type=click.IntRange(8), default=512, show_default=True, help="Pixels.")
@click.option("--threads", type=click.IntRange(1, 64), default=4, show_default=True)
@output_option
def move(*, rows: int, instances: int, edge: int, threads: int, output: Path | None) -> None:
    """Retrieve CT slices, which the first rows of a long batch file name."""
    named, port = slices(instances, edge), free_port()
    lines = series_rows(named)
    hits = len(lines) - 1
    lines += (f"1.2.3.{number},1.2.3.{number}.1" for number in range(hits, rows))
    request: dict[str, object] = {
        "type": "c-move",
        "model": "study",
        "threads": threads,
        "elements": ["QueryRetrieveLevel=SERIES"],
    }
    with tempfile.TemporaryDirectory() as archive, tempfile.TemporaryDirectory(dir=output) as place:
        folder = Path(place)
        with orthanc(Path(archive), port, named, nodelay=False) as server:
            config = write_config(folder, (server.aet, server.port), port, request, lines)
            command = our_program("run", config, "--no-progress", "--limit", str(hits))
            usage = measure(command, accept=(0, 1))  # 1: rows are left
        files, size = stored(folder / "out")
        if files != instances:
            raise WrongResult(f"{files} files instead of {instances}")
        rate = files / (usage.seconds - usage.loaded)
        click.echo(f"C-MOVE of {files} instances, {size / MEGABYTE:.0f} MB: {rate:.0f} files/s")
        _status(config)
        report(usage)


@main.command()
def imports() -> None:
    """List the heavy libraries that a run imports before it needs them."""
    code = (
        "import sys; sys.argv[1:] = ['run', 'missing.yml']\n"
        "import pydicombatch.__main__ as program\n"
        "try: program.main()\n"
        "except SystemExit: print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.splitlines()[-1].split())
    for name in sorted(HEAVY):
        click.echo(f"{name:10} {'imported' if name in loaded else 'not imported'}")
    if found := FORBIDDEN & loaded:
        raise click.ClickException(f"A run imports {', '.join(found)}.")


@contextmanager
def fast_archive(matches: int) -> Iterator[int]:
    """Run `benchmarks.archive` in a process of its own; give its port."""
    command = [sys.executable, "-m", "benchmarks.archive", "--matches", str(matches)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield int(process.stdout.readline())
        finally:
            process.terminate()


def _status(config: Path) -> None:
    """Say how long `status` takes with that many rows."""
    begin = time.monotonic()
    subprocess.run(our_program("status", config), stdout=subprocess.DEVNULL, check=True)
    click.echo(f"status: {time.monotonic() - begin:.1f} s")


def report(usage: Usage) -> None:
    """Print the curve, and end with 1 when a bar is missed."""
    running = usage.running
    curve = [running[at * (len(running) - 1) // STEPS] for at in range(STEPS + 1)]
    growth = max(running) - running[0]
    click.echo(f"{machine()}; until the first request: {usage.loaded:.1f} s; CPU {usage.cpu:.0f} s")
    for step, size in enumerate(curve):
        click.echo(f"{step * 100 // STEPS:>5} %  {size / MEGABYTE:7.1f} MB")
    click.echo(f"   peak  {usage.peak / MEGABYTE:7.1f} MB, of {MOST / MEGABYTE:.0f}")
    click.echo(f" growth  {growth / MEGABYTE:7.1f} MB, of {MOST_GROWTH / MEGABYTE:.0f}")
    if usage.peak > MOST or growth > MOST_GROWTH:
        raise click.ClickException("A run takes too much memory.")


if __name__ == "__main__":
    main()
