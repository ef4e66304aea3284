"""A small C-MOVE from a real Orthanc, its undisturbed result, and comparisons with it."""

import os
import sqlite3
import subprocess
import sys
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.extraction import AET, ROOT, Ended, Job
from tests.support.instances import Spec, files
from tests.support.orthanc import OrthancServer
from tests.support.shim import Shim

Result = tuple[list[tuple[str, ...]], dict[str, str]]
LEDGER = "out/.pydicombatch/ledger.sqlite"


@dataclass(frozen=True)
class Scene:
    """An archive that holds `specs` and sends them to `local_port`."""

    archive: OrthancServer
    local_port: int
    specs: Sequence[Spec]

    def load(self) -> None:
        """Put the instances into the archive."""
        self.archive.load(files(iter(self.specs)))

    def job(self, folder: Path, archive: Any = None, **more: Any) -> Job:
        """Make a C-MOVE of each study, its output directory in an empty directory `disk`."""
        (folder / "disk").mkdir(parents=True, exist_ok=True)
        output = {"directory": str(folder / "disk" / "out"), **more.pop("output", {})}
        rows = [["StudyInstanceUID"], *([uid] for uid in self.studies())]
        return Job(
            folder,
            archive or self.archive,
            self.local_port,
            "c-move",
            ["QueryRetrieveLevel=STUDY"],
            rows,
            output=output,
            **more,
        )

    def studies(self) -> list[str]:
        """Return the Study Instance UIDs."""
        return list(dict.fromkeys(one.study_uid for one in self.specs))

    def uids(self) -> set[str]:
        """Return the SOP Instance UIDs."""
        return {one.sop_uid for one in self.specs}


def modality(local_port: int) -> tuple[str, int]:
    """Return what an Orthanc must know to send to a port of ours."""
    return AET, local_port


def run_under(shim: Shim, job: Job, limit: float = 120) -> Ended:
    """Run a job under the shim, in a process group of its own: a kill may be meant for that."""
    done = subprocess.run(
        [sys.executable, "-m", "pydicombatch", "run", str(job.config)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        cwd=job.folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), **shim.environment()},
        timeout=limit,
        start_new_session=True,
        text=True,
    )
    ended = Ended(done.returncode, done.stdout, done.stderr)
    assert "Traceback" not in ended.text, ended.text
    return ended


def state_of(job: Job) -> Path:
    """Return the state directory, wherever it is configured to be."""
    return Path(job.sections.get("state", {}).get("directory", job.state))


def result(job: Job) -> Result:
    """Return the rows of the CSV and the digest of every file; nothing else may lie around."""
    rows = sorted(tuple(row.values()) for row in job.results())
    found = {one.path.relative_to(job.out).as_posix(): one.digest for one in job.stored().values()}
    lying = [path for path in job.out.rglob("*") if path.suffix == ".part"]
    assert not lying, "unfinished files are left behind"
    assert not list((state_of(job) / "spool").glob("*")), "the spool is not empty"
    assert not list((state_of(job) / "quarantine").glob("*"))
    check_ledger(job)
    return rows, found


def check_ledger(job: Job) -> None:
    """Check that the ledger is sound and holds every instance once, at the path where it lies."""
    with closing(sqlite3.connect(state_of(job) / "ledger.sqlite")) as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        paths = [path for (path,) in db.execute("SELECT path FROM instance")]
    lie = {one.path.relative_to(job.out).as_posix() for one in job.stored().values()}
    assert len(paths) == len(set(paths))
    assert set(paths) == lie
