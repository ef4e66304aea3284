"""F30: SIGKILL at every call that changes the disk or answers the archive, then a second run.

The shim counts the calls of a run (create, write, truncate, fsync, rename, link, unlink, mkdir,
and every DIMSE message that leaves) and kills the program in front of one of them, or, at a
write, when half of it is done.
"""

import sqlite3
from contextlib import closing
from pathlib import Path
from random import Random
from shutil import copy
from tempfile import TemporaryDirectory

import pytest

from tests.conftest import OrthancFactory
from tests.support.acknowledged import acknowledged
from tests.support.extraction import Job
from tests.support.instances import specs
from tests.support.ports import free_port
from tests.support.scene import Result, Scene, modality, result, run_under
from tests.support.shim import Call, Shim

KILLED = -9
QUICK = 9  # points in the normal run
TORN = 60  # half written writes in the full one
SEED = 30
DECIDED = "SELECT id FROM request WHERE outcome IS NOT NULL"
ASKED_LAST = "SELECT request FROM attempt WHERE run = (SELECT max(id) FROM run)"


@pytest.fixture(scope="module")
def scene(start_orthanc: OrthancFactory) -> Scene:
    port = free_port()
    made = Scene(start_orthanc([modality(port)]), port, list(specs(patients=2, instances=3)))
    made.load()
    return made


def watched(job: Job, kill: str = "") -> Shim:
    return Shim(job.folder / "disk", job.folder, kill=kill)


@pytest.fixture(scope="module")
def reference(scene: Scene, tmp_path_factory: pytest.TempPathFactory) -> tuple[Result, list[Call]]:
    """The result of an undisturbed run, and the calls that can be its last."""
    job = scene.job(tmp_path_factory.mktemp("undisturbed"))
    shim = watched(job)
    assert run_under(shim, job).code == 0
    calls = [event.call for event in sorted(shim.events(), key=lambda one: one.start)]
    assert shim.calls() >= len(calls) > 100
    return result(job), calls


def points(calls: list[Call], full: bool) -> list[str]:
    """Return every call, and some writes half done; in the quick test some of each kind."""
    every = [str(number) for number, _ in enumerate(calls, start=1)]
    torn = [f"{n}:torn" for n, call in enumerate(calls, start=1) if call is Call.WRITE]
    random = Random(SEED)
    if full:
        return every + random.sample(torn, TORN)
    kinds = (Call.SYNC, Call.RENAME, Call.LINK, Call.UNLINK, Call.SEND, Call.CREATE, Call.WRITE)
    some = [
        random.choice([n for n, call in enumerate(calls, start=1) if call is kind])
        for kind in kinds
    ]
    return [*map(str, some), *random.sample(torn, QUICK - len(some))]


@pytest.mark.timeout(7200)
def test_f30_a_run_killed_at_any_call_is_finished_by_the_next_one(
    scene: Scene, reference: tuple[Result, list[Call]], tmp_path: Path, full: bool
) -> None:
    expected, calls = reference
    for point in points(calls, full):
        job = scene.job(tmp_path / point.replace(":", "-"))
        shim = watched(job, point)
        assert run_under(shim, job).code in {KILLED, 0}, point  # a shorter run does not come so far
        before = decided(job)
        promised = {uid for event in shim.events() if (uid := acknowledged(event))}
        again = job.run()
        assert again.code == 0, (point, again.text)
        assert result(job) == expected, point
        assert promised <= set(job.stored()), point
        assert not before & asked(job.state / "ledger.sqlite", ASKED_LAST), point


def decided(job: Job) -> set[int]:
    """Return the requests that have their outcome, without touching what the next run finds."""
    with TemporaryDirectory() as folder:
        for path in job.state.glob("ledger.sqlite*"):
            if not path.name.endswith("-shm"):
                copy(path, folder)
        return asked(Path(folder) / "ledger.sqlite", DECIDED)


def asked(ledger: Path, sql: str) -> set[int]:
    """Return what a statement finds; nothing in a ledger that was never begun."""
    with closing(sqlite3.connect(ledger)) as db:
        try:
            return {number for (number,) in db.execute(sql)}
        except sqlite3.OperationalError:  # no such table
            return set()


@pytest.mark.timeout(3600)
def test_f30_a_run_that_is_killed_again_and_again_gets_to_the_end(
    scene: Scene, reference: tuple[Result, list[Call]], tmp_path: Path, full: bool
) -> None:
    expected, _ = reference
    random = Random(SEED + 1)
    job = scene.job(tmp_path)
    for _ in range(40 if full else 4):
        code = run_under(watched(job, f"{random.randint(1, 150)}:group"), job).code
        assert code in {KILLED, 0}
    again = job.run()
    assert again.code == 0, again.text
    assert result(job) == expected
