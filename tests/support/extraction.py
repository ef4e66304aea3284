"""The command line run as an operator runs it."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import yaml
from click.testing import CliRunner

from pydicombatch.cli import commands
from tests.support.ports import LOOPBACK
from tests.support.written import File, data_set_of, rows_of, stored, write_csv

__all__ = ["AET", "ROOT", "Archive", "Ended", "Job", "Running", "command", "data_set_of", "within"]
ROOT = Path(__file__).parents[2]
AET = "SAMPLE_AE"
LIMIT = 120.0  # seconds that a command may take
Sections = Mapping[str, Mapping[str, object]]


@dataclass(frozen=True)
class Archive:
    """Where an archive listens."""

    port: int
    aet: str


@dataclass(frozen=True)
class Ended:
    """A command that has ended."""

    code: int
    out: str
    err: str

    @property
    def text(self) -> str:
        """All it printed."""
        return self.out + self.err


def configuration(
    folder: Path, archive: Any, local_port: int, kind: str, elements: Sequence[str], **more: Any
) -> dict[str, Any]:
    """Make a configuration with absolute paths below `folder`; `more` are sections to merge in."""
    base: dict[str, dict[str, Any]] = {
        "pacs": {
            "hostname": LOOPBACK,
            "port": archive.port,
            "aet": archive.aet,
            "timeouts": {"quiet": 1, "grace": 10, "response": 60},
        },
        "local": {"port": local_port, "aet": AET, "bind": LOOPBACK},
        "request": {"type": kind, "model": "study", "elements": list(elements)},
        "retry": {"wait": 0.1, "longest_wait": 0.5},
        "output": {"directory": str(folder / "out")},
    }
    for section, values in more.items():
        base[section] = {**base.get(section, {}), **values}
    return base


class Job:
    """One configuration in a folder of its own, run by the command line.

    Parameters
    ----------
    folder
        Holds `config.yml`, `batch.csv` and, if not configured otherwise, `out`.
    archive
        Anything with `port` and `aet`.
    local_port
        Port of the storage SCP.
    kind, elements
        `request.type` and `request.elements`.
    rows
        Rows of the batch file, the header first; none for no batch file.
    more
        Sections merged into the configuration.
    """

    def __init__(
        self,
        folder: Path,
        archive: Any,
        local_port: int,
        kind: str,
        elements: Sequence[str],
        rows: Iterable[Sequence[str]] = (),
        **more: Any,
    ) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.config = folder / "config.yml"
        self.batch = folder / "batch.csv"
        self.sections = configuration(folder, archive, local_port, kind, elements, **more)
        table = [list(row) for row in rows]
        if table:
            write_csv(self.batch, table)
            self.sections["request"].setdefault("elements_batch_file", str(self.batch))
        self.write()

    @property
    def out(self) -> Path:
        """`output.directory`."""
        return Path(self.sections["output"]["directory"])

    @property
    def state(self) -> Path:
        """The state directory."""
        return self.out / ".pydicombatch"

    def write(self) -> None:
        """Write the configuration as it is in `sections`."""
        self.config.write_text(yaml.safe_dump(self.sections, sort_keys=False), encoding="utf-8")

    def change(self, section: str, **values: object) -> None:
        """Change keys of a section and write the configuration."""
        self.sections[section] = {**self.sections.get(section, {}), **values}
        self.write()

    def run(self, *options: str, limit: float = LIMIT) -> Ended:
        """Run it to its end."""
        return command("run", str(self.config), *options, cwd=self.folder, limit=limit)

    def start(self, *options: str, name: str = "run") -> "Running":
        """Run it in the background, its output in files, no terminal, standard input closed."""
        return Running(("run", str(self.config), *options), self.folder, name)

    def command(self, name: str, *options: str) -> Ended:
        """Run another command on the configuration."""
        return command(name, str(self.config), *options, cwd=self.folder)

    def results(self) -> list[dict[str, str]]:
        """Read the CSV of results."""
        return rows_of(self.results_file)

    @property
    def results_file(self) -> Path:
        """The CSV of results."""
        output = self.sections["output"]
        default = "library.csv" if self.sections["request"]["type"] == "c-find" else "database.csv"
        return self.out / str(output.get("library_file", output.get("database_file", default)))

    def stored(self) -> dict[str, File]:
        """Read the stored instances by SOP Instance UID."""
        return stored(self.out)

    def log(self) -> str:
        """Read `run.log`."""
        return (self.state / "run.log").read_text(encoding="utf-8")


class Running:
    """A command in the background, in a process group of its own; a context manager."""

    def __init__(self, arguments: Sequence[str], folder: Path, name: str) -> None:
        self._out, self._err = folder / f"{name}.out", folder / f"{name}.err"
        with self._out.open("wb") as out, self._err.open("wb") as err:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "pydicombatch", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                cwd=folder,
                env=_environment(),
                start_new_session=True,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self.kill()

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    @property
    def text(self) -> str:
        """All it printed so far."""
        return self._out.read_text("utf-8", "replace") + self._err.read_text("utf-8", "replace")

    @property
    def is_running(self) -> bool:
        """Whether it has not ended yet."""
        return self._process.poll() is None

    def says(self, text: str, limit: float = 30.0) -> bool:
        """Wait until it has printed a text; False when it ends or the time is over before."""
        deadline = time.monotonic() + limit
        while text not in self.text:
            if not self.is_running or time.monotonic() > deadline:
                return text in self.text
            time.sleep(0.02)
        return True

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal, to the process alone."""
        self._process.send_signal(number)

    def kill(self) -> None:
        """End the whole process group without warning."""
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(30)

    def wait(self, limit: float = LIMIT) -> Ended:
        """Wait for its end."""
        code = self._process.wait(limit)
        out, err = self._out.read_text("utf-8"), self._err.read_text("utf-8")
        return _checked(Ended(code, out, err))


def command(
    *arguments: str,
    cwd: Path,
    limit: float = LIMIT,
    environ: Mapping[str, str] | None = None,
) -> Ended:
    """Run `pydicombatch` with a time limit; a traceback is a failure whatever the test is about."""
    done = subprocess.run(
        [sys.executable, "-m", "pydicombatch", *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        cwd=cwd,
        env={**_environment(), **(environ or {})},
        timeout=limit,
    )
    out, err = done.stdout.decode("utf-8"), done.stderr.decode("utf-8")
    return _checked(Ended(done.returncode, out, err))


def within(*arguments: str) -> Ended:
    """Run `pydicombatch` in this process, for what ends before anything is sent."""
    done = CliRunner().invoke(commands, arguments)
    return _checked(Ended(done.exit_code, done.stdout, done.stderr))


def _environment() -> dict[str, str]:
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
    return {**os.environ, "PYTHONPATH": path, "PYTHONUNBUFFERED": "1"}


def _checked(ended: Ended) -> Ended:
    assert "Traceback" not in ended.text, ended.text
    assert "failed unexpectedly" not in ended.text, ended.text
    return ended
