"""C-MOVE and C-GET end to end: files and megabytes a second, memory and CPU, from a real Orthanc.

    python -m benchmarks.extract [--instances 2000] [--nodelay] [--output DIRECTORY] [--peer getscu]
                                 [--verb c-get]

See benchmarks/README.md for what the figures mean.
"""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import click

from benchmarks.support import (
    LOOPBACK,
    MEGABYTE,
    Usage,
    WrongResult,
    cpu_of,
    empty,
    environment,
    free_port,
    machine,
    measure,
    middle,
    orthanc,
    our_program,
    series_rows,
    slices,
    stored,
    table,
    write_config,
)
from tests.support.instances import Spec
from tests.support.orthanc import OrthancServer
from tests.support.servers import program

HEADER = ("", "seconds", "files/s", "MB/s", "peak MB", "CPU ours", "CPU Orthanc", "times getscu")
GETSCU = "getscu"
SELDOM = 0.5  # seconds between two looks at the memory: here the time matters
VERBS = ("c-move", "c-get")


@dataclass(frozen=True, slots=True)
class Cell:
    """One retrieval of everything."""

    usage: Usage
    archive_cpu: float  # seconds
    files: int
    size: int  # bytes

    @property
    def files_per_second(self) -> float:
        """The rate over the whole life of the process."""
        return self.files / self.usage.seconds


@dataclass(frozen=True, slots=True)
class Bench:
    """What all cells share."""

    server: OrthancServer
    named: list[Spec]
    output: Path
    local_port: int
    nodelay: bool
    fresh: bool

    def ours(self, verb: str, threads: int) -> Cell:
        """Retrieve with `pydicombatch run`, one row a series."""
        folder = self._folder(f"{verb}-{threads}")
        request: dict[str, object] = {
            "type": verb,
            "model": "study",
            "threads": threads,
            "elements": ["QueryRetrieveLevel=SERIES"],
        }
        archive = (self.server.aet, self.server.port)
        rows = series_rows(self.named)
        config = write_config(folder, archive, self.local_port, request, rows)
        return self._cell(our_program("run", config, "--no-progress"), folder / "out")

    def getscu(self) -> Cell:
        """Retrieve with DCMTK's C-GET, the whole study in one request."""
        folder = self._folder(GETSCU)
        folder.mkdir(parents=True)
        command = [
            program(GETSCU), "-S", "+B", "-aec", self.server.aet,
            "-k", "QueryRetrieveLevel=STUDY", "-k", f"StudyInstanceUID={self.named[0].study_uid}",
            "-od", str(folder), LOOPBACK, str(self.server.port),
        ]  # fmt: skip
        with environment(nodelay=self.nodelay):
            return self._cell(command, folder)

    def _folder(self, name: str) -> Path:
        """Return a folder without files: the last one's place, or a new one."""
        if self.fresh:
            return self.output / f"{name}-{len(list(self.output.iterdir()))}"
        empty(self.output / name)
        return self.output / name

    def _cell(self, command: list[str], folder: Path) -> Cell:
        before = cpu_of(self.server.pid)
        usage = measure(command, interval=SELDOM)
        archive_cpu = cpu_of(self.server.pid) - before
        files, size = stored(folder)
        if files != len(self.named):
            raise WrongResult(f"{files} files instead of {len(self.named)}")
        return Cell(usage, archive_cpu, files, size)


def line(name: str, cells: list[Cell], peers: list[Cell]) -> tuple[str, ...]:
    """Write the medians of one kind of cell."""
    pairs = zip(cells, peers, strict=False)
    ratios = [one.files_per_second / peer.files_per_second for one, peer in pairs]
    return (
        name,
        middle([one.usage.seconds for one in cells], 2),
        middle([one.files_per_second for one in cells], 0),
        middle([one.size / MEGABYTE / one.usage.seconds for one in cells], 0),
        f"{median([one.usage.peak for one in cells]) / MEGABYTE:.0f}",
        middle([one.usage.cpu for one in cells]),
        middle([one.archive_cpu for one in cells]),
        middle(ratios) if ratios else "",
    )


@click.command()
@click.option("--instances", type=click.IntRange(1), default=2000, show_default=True)
@click.option("--edge", type=click.IntRange(8), default=512, show_default=True, help="Pixels.")
@click.option("--threads", type=click.IntRange(1, 64), multiple=True, default=(1, 4, 8))
@click.option("--verb", type=click.Choice(VERBS), multiple=True, default=VERBS[:1])
@click.option("--pairs", type=click.IntRange(1), default=3, show_default=True, help="Repetitions.")
@click.option("--fresh", is_flag=True, help="Delete nothing before the end, as an extraction.")
@click.option("--nodelay", is_flag=True, help="TCP_NODELAY=1 for Orthanc and getscu.")
@click.option("--peer", type=click.Choice([GETSCU]), help="Also measure this one, in turns.")
@click.option(
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    help="Where files go: a directory on tmpfs or on a disk; else a temporary one.",
)
def main(
    *,
    instances: int,
    edge: int,
    threads: tuple[int, ...],
    verb: tuple[str, ...],
    pairs: int,
    nodelay: bool,
    fresh: bool,
    peer: str | None,
    output: Path | None,
) -> None:
    """Measure `pydicombatch run` on an Orthanc that holds CT slices."""
    named = slices(instances, edge)
    port = free_port()
    with tempfile.TemporaryDirectory() as archive, tempfile.TemporaryDirectory(dir=output) as place:
        click.echo(f"{machine()}; loading {instances} slices of {edge} x {edge} x 16 bit")
        with orthanc(Path(archive), port, named, nodelay=nodelay) as server:
            bench = Bench(server, named, Path(place), port, nodelay, fresh)
            kinds: dict[str, Callable[[], Cell]] = {GETSCU: bench.getscu} if peer else {}
            kinds |= {f"{one}, {n} threads": _ours(bench, one, n) for one in verb for n in threads}
            found: dict[str, list[Cell]] = {name: [] for name in kinds}
            for number in range(pairs):
                for name, carry_out in kinds.items():
                    found[name].append(carry_out())
                    rate = found[name][-1].files_per_second
                    click.echo(f"  {number + 1} of {pairs}, {name}: {rate:.0f} files/s", err=True)
    peers = found.get(GETSCU, [])
    click.echo(f"Orthanc {'with TCP_NODELAY=1' if nodelay else 'as shipped (Nagle on)'}; {place}")
    click.echo(table(HEADER, [line(name, cells, peers) for name, cells in found.items()]))


def _ours(bench: Bench, verb: str, threads: int) -> Callable[[], Cell]:
    return lambda: bench.ours(verb, threads)


if __name__ == "__main__":
    main()
