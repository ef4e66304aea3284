"""What the benchmarks share: an archive with CT slices, our program as a subprocess, its costs."""

import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import click
import psutil
import yaml

from tests.support.instances import Spec, file, specs
from tests.support.orthanc import OrthancServer
from tests.support.ports import LOOPBACK, free_port

MEGABYTE = 1_000_000
OURS = "BENCH_STORE"
LOADED = "To stop extraction"  # what a run prints once its batch is in the ledger
INTERVAL = 0.2  # seconds between two looks at the memory; each costs some 15 ms of CPU
SERIES = 50  # slices each
LOADS_FAST = {"SynchronousMode": False, "SyncStorageArea": False}  # of Orthanc; writing only


class WrongResult(click.ClickException):
    """A run did not do what is measured, so its time means nothing."""


@dataclass(frozen=True, slots=True)
class Usage:
    """What a command cost."""

    seconds: float  # from its start to its end, the interpreter's start included
    cpu: float  # seconds, user and system, its children included
    memory: tuple[tuple[float, int], ...]  # seconds since the start, sum of PSS in bytes
    loaded: float  # seconds until the first request could leave
    output: str

    @property
    def peak(self) -> int:
        """The largest sum of PSS that was seen, in bytes."""
        return max((size for _, size in self.memory), default=0)

    @property
    def running(self) -> list[int]:
        """The sums of PSS while requests were carried out, in bytes."""
        return [size for moment, size in self.memory if moment >= self.loaded]


def pss(pid: int) -> int:
    """Add up the proportional set sizes of a process and all below it, in bytes."""
    total = 0
    with suppress(psutil.Error):
        process = psutil.Process(pid)
        for one in [process, *process.children(recursive=True)]:
            with suppress(OSError):  # it has just ended
                rollup = Path(f"/proc/{one.pid}/smaps_rollup").read_text()
                total += sum(
                    int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:")
                )
    return total * 1024


def cpu_of(pid: int) -> float:
    """Return the CPU seconds of a process that runs, user and system."""
    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system)


def measure(
    command: Sequence[str], *, accept: Iterable[int] = (0,), interval: float = INTERVAL
) -> Usage:
    """Run a command to its end, and look at its memory now and then.

    Raises
    ------
    WrongResult
        If it ends with another code than those to `accept`; with the last it said.
    """
    begin = time.monotonic()
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
    )
    said: list[tuple[float, str]] = []

    def listen() -> None:
        assert process.stdout is not None
        said.extend((time.monotonic() - begin, line) for line in process.stdout)

    memory: list[tuple[float, int]] = []
    ended = threading.Event()

    threads = [
        threading.Thread(target=listen, daemon=True),
        threading.Thread(
            target=_look, args=(process.pid, begin, interval, memory, ended), daemon=True
        ),
    ]
    for one in threads:
        one.start()
    # it stays a zombie meanwhile, so that nothing of another process is looked at
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    seconds = time.monotonic() - begin
    ended.set()
    for one in threads:
        one.join()
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    text = "".join(line for _, line in said)
    if process.returncode not in set(accept):
        raise WrongResult(f"{command[0]} ended with {process.returncode}:\n{text[-2000:]}")
    loaded = next((moment for moment, line in said if line.startswith(LOADED)), 0.0)
    cpu = used.ru_utime + used.ru_stime
    return Usage(seconds, cpu, tuple(memory), loaded, text)


def _look(
    pid: int,
    begin: float,
    interval: float,
    memory: list[tuple[float, int]],
    ended: threading.Event,
) -> None:
    while not ended.wait(interval):
        if size := pss(pid):
            memory.append((time.monotonic() - begin, size))


def slices(count: int, edge: int) -> list[Spec]:
    """Name CT slices of `edge` x `edge` x 16 bit in one study, in series of 50."""
    several = -(-count // SERIES)
    found = specs(series=several, instances=SERIES, rows=edge, columns=edge)
    return list(found)[:count]


@contextmanager
def orthanc(
    directory: Path, local_port: int, named: Iterable[Spec], *, nodelay: bool
) -> Iterator[OrthancServer]:
    """Start an Orthanc that holds these slices and knows us; as shipped, it has Nagle on."""
    with environment(nodelay=nodelay):
        server = OrthancServer(directory, [(OURS, local_port)], LOADS_FAST)
        server.start()
    try:
        server.load(file(spec) for spec in named)
        os.sync()  # what it writes late should not be measured
        yield server
    finally:
        server.stop()


@contextmanager
def environment(*, nodelay: bool) -> Iterator[None]:
    """Set what DCMTK looks at when it opens a connection, for the processes started meanwhile."""
    before = os.environ.pop("TCP_NODELAY", None)
    if nodelay:
        os.environ["TCP_NODELAY"] = "1"
    try:
        yield
    finally:
        os.environ.pop("TCP_NODELAY", None)
        if before is not None:
            os.environ["TCP_NODELAY"] = before


def write_config(
    directory: Path,
    archive: tuple[str, int],
    local_port: int,
    request: dict[str, object],
    rows: Iterable[str],
    timeouts: dict[str, object] | None = None,
) -> Path:
    """Write a configuration with its batch file (`rows`, the header first); return its path."""
    directory.mkdir(parents=True, exist_ok=True)
    batch = directory / "batch.csv"
    with batch.open("w", encoding="utf-8") as file:
        file.writelines(f"{row}\n" for row in rows)
    aet, port = archive
    pacs = {"hostname": LOOPBACK, "port": port, "aet": aet, "timeouts": timeouts or {}}
    config = {
        "pacs": pacs,
        "local": {"port": local_port, "aet": OURS, "bind": LOOPBACK},
        "request": {**request, "elements_batch_file": str(batch)},
        "output": {"directory": str(directory / "out")},
    }
    path = directory / "config.yml"
    path.write_text(yaml.safe_dump(config), encoding="utf-8")
    return path


def series_rows(named: Iterable[Spec]) -> list[str]:
    """Make the rows of a C-MOVE at SERIES level, the header first."""
    rows = dict.fromkeys(f"{spec.study_uid},{spec.series_uid}" for spec in named)
    return ["StudyInstanceUID,SeriesInstanceUID", *rows]


def our_program(*arguments: str | Path) -> list[str]:
    """Return the command that runs this checkout's program."""
    return [sys.executable, "-m", "pydicombatch", *map(str, arguments)]


def stored(directory: Path) -> tuple[int, int]:
    """Count files and their bytes below a directory, the state directory left out."""
    found = [
        path.stat().st_size
        for path in directory.rglob("*")
        if path.is_file() and ".pydicombatch" not in path.parts and path.suffix != ".csv"
    ]
    return len(found), sum(found)


def middle(values: Sequence[float], digits: int = 1) -> str:
    """Write the median, and the range where there are several values."""
    text = f"{median(values):.{digits}f}"
    if len(values) == 1:
        return text
    return f"{text} ({min(values):.{digits}f}-{max(values):.{digits}f})"


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Lay out a table, the first column to the left, the others to the right."""
    lines = [list(header), *map(list, rows)]
    widths = [max(len(line[at]) for line in lines) for at in range(len(header))]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if at else cell.ljust(width)
            for at, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def machine() -> str:
    """Say what was measured on, for figures are nothing without it."""
    load = os.getloadavg()[0]
    version = ".".join(map(str, sys.version_info[:3]))
    return f"{os.cpu_count()} cores, load {load:.1f} at the start, Python {version}"


def empty(directory: Path) -> None:
    """Remove a directory with all that is in it, if it is there."""
    shutil.rmtree(directory, ignore_errors=True)


__all__ = [
    "LOADED",
    "LOOPBACK",
    "MEGABYTE",
    "OURS",
    "Usage",
    "WrongResult",
    "cpu_of",
    "empty",
    "environment",
    "free_port",
    "machine",
    "measure",
    "middle",
    "orthanc",
    "our_program",
    "pss",
    "series_rows",
    "slices",
    "stored",
    "table",
    "write_config",
]
