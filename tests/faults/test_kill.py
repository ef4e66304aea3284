"""SIGKILL at random moments, then one undisturbed run: nothing is lost and nothing doubled."""

import random
import shutil
import sqlite3
import time
from collections import Counter
from contextlib import closing
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from pydicom.dataset import Dataset

from tests.conftest import DcmqrscpFactory, OrthancFactory
from tests.support.dcmqrscp import DcmqrscpServer
from tests.support.extraction import AET, Job
from tests.support.fake_archive import FakeArchive, Final, Pending, Script, Sleep, Step
from tests.support.instances import files, specs
from tests.support.orthanc import OrthancServer
from tests.support.ports import free_port

LOCAL_PORT = free_port()
SPECS = list(specs(patients=10, studies=2, series=3, instances=5, rows=64, columns=64))  # 300
SIZE = 9_700  # bytes of one of them on the wire, about
SECONDS = 0.6  # between listening and the kill, on the average
KILLS = {"orthanc": (6, 30), "dcmqrscp": (4, 12), "find": (4, 18)}  # normal, --full
MATCHES = 520  # of one query: more than the ledger takes at a time
ROWS = 10

OPEN_ATTEMPTS = """
SELECT count(*) FROM attempt WHERE ended IS NULL AND run = (SELECT max(id) FROM run)
"""


@pytest.fixture(scope="module")
def orthanc(start_orthanc: OrthancFactory) -> OrthancServer:
    server = start_orthanc([(AET, LOCAL_PORT)])
    server.load(files(iter(SPECS)))
    return server


@pytest.fixture(scope="module")
def dcmqrscp(start_dcmqrscp: DcmqrscpFactory) -> DcmqrscpServer:
    server = start_dcmqrscp([(AET, LOCAL_PORT)])
    server.load(files(iter(SPECS)))
    return server


def move(folder: Path, archive: Any, megabytes: float | None = None) -> Job:
    columns = ["StudyInstanceUID", "SeriesInstanceUID"]
    rows = dict.fromkeys((one.study_uid, one.series_uid) for one in SPECS)
    request: dict[str, Any] = {"threads": 2}
    if megabytes:
        request["limits"] = {"megabytes_per_second": megabytes}
    return Job(
        folder, archive, LOCAL_PORT, "c-move", ["QueryRetrieveLevel=SERIES"],
        [columns, *map(list, rows)], request=request,
    )  # fmt: skip


def query(folder: Path, archive: Any) -> Job:
    rows = [["StudyInstanceUID", "SubjectID"], *([f"1.2.{n}", f"S{n}"] for n in range(1, ROWS + 1))]
    elements = ["QueryRetrieveLevel=SERIES", "SeriesInstanceUID"]
    request = {"threads": 2, "carry": ["SubjectID"]}
    return Job(folder, archive, LOCAL_PORT, "c-find", elements, rows, request=request)


def answers() -> list[Step]:
    """A query that is answered in two halves with a pause between them."""
    steps: list[Step] = []
    for number in range(MATCHES):
        match = Dataset()
        match.SeriesInstanceUID = f"1.3.{number}"
        steps.append(Pending(match=match))
        if number == MATCHES - 10:
            steps.append(Sleep(0.2))
    return [*steps, Final()]


class Killer:
    """Starts a job and kills its process group, again and again; remembers what it hit."""

    def __init__(self, job: Job, seed: int) -> None:
        self._job = job
        self._random = random.Random(seed)
        self.hit_work = 0  # kills while a request was under way
        self.came_late = 0  # the job had ended before

    def kill(self, number: int) -> None:
        """Run the job and kill it: mostly while it works, sometimes while it starts."""
        with self._job.start(name=f"kill-{number}") as running:
            if self._random.random() < 0.2:
                time.sleep(self._random.uniform(0.1, 1.5))
            else:
                running.says("To stop extraction", 60)
                time.sleep(self._random.uniform(0, 2 * SECONDS))
            self.came_late += not running.is_running
            if running.is_running:
                running.kill()
        self.hit_work += bool(open_attempts(self._job.state / "ledger.sqlite", number))
        assert "Traceback" not in running.text


def open_attempts(ledger: Path, kill: int) -> int:
    """Count the attempts of the last run that have not ended, in a copy of the ledger."""
    with TemporaryDirectory() as folder:
        for file in ledger.parent.glob("ledger.sqlite*"):
            shutil.copy(file, folder)
        copy = Path(folder) / ledger.name
        if not copy.is_file() or not copy.stat().st_size:
            return 0
        with closing(sqlite3.connect(copy)) as db:
            assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",), kill
            try:
                return int(db.execute(OPEN_ATTEMPTS).fetchone()[0])
            except sqlite3.OperationalError:  # killed before the tables were made
                return 0


def harass(job: Job, kills: int, seed: int) -> None:
    """Kill a job so often, then let it end."""
    killer = Killer(job, seed)
    for number in range(kills):
        killer.kill(number)
    ended = job.run()
    assert ended.code == 0, ended.text
    assert killer.hit_work >= kills // 3, "the kills did not hit the work"
    assert killer.came_late <= kills // 3, "the job was over too soon"


def files_of(job: Job) -> dict[str, tuple[str, str]]:
    """Return name and digest of the data set of everything stored, by SOP Instance UID."""
    return {
        uid: (str(one.path.relative_to(job.out)), one.digest) for uid, one in job.stored().items()
    }


def assert_sound(job: Job, instances: int) -> None:
    """Hold the ledger against the files, and look for what should not be left."""
    with closing(sqlite3.connect(job.state / "ledger.sqlite")) as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert not db.execute("PRAGMA foreign_key_check").fetchall()
        known = dict(db.execute("SELECT path, sha256 FROM instance").fetchall())
    assert len(known) == instances
    for path, digest in known.items():
        assert sha256((job.out / path).read_bytes()).digest() == digest
    for name in ("spool", "quarantine", "work"):
        assert not [*(job.state / name).glob("*")], name
    assert not [*job.out.rglob("*.part")]


@pytest.mark.parametrize("name", ["orthanc", "dcmqrscp"])
@pytest.mark.timeout(1200)
def test_a_move_killed_again_and_again_leaves_what_an_undisturbed_one_leaves(
    tmp_path: Path, request: pytest.FixtureRequest, full: bool, name: str
) -> None:
    """F30."""
    server = request.getfixturevalue(name)
    kills = KILLS[name][full]
    calm = move(tmp_path / "calm", server)
    assert calm.run().code == 0
    expected = files_of(calm)
    assert set(expected) == {one.sop_uid for one in SPECS}
    job = move(tmp_path / "killed", server, len(SPECS) * SIZE / 1e6 / (kills * SECONDS))
    harass(job, kills, seed=20260105)
    assert files_of(job) == expected
    assert job.results() == calm.results()
    assert job.results_file.read_bytes() == calm.results_file.read_bytes()
    assert_sound(job, len(SPECS))


@pytest.mark.timeout(1200)
def test_a_query_killed_again_and_again_leaves_the_rows_of_an_undisturbed_one(
    tmp_path: Path, full: bool
) -> None:
    with FakeArchive(Script([answers()])) as archive:
        calm = query(tmp_path / "calm", archive)
        assert calm.run().code == 0
        expected = Counter(tuple(row.items()) for row in calm.results())
        assert len(expected) == sum(expected.values()) == ROWS * MATCHES
        job = query(tmp_path / "killed", archive)
        harass(job, KILLS["find"][full], seed=20260106)
    assert Counter(tuple(row.items()) for row in job.results()) == expected
    assert job.results_file.read_bytes() == calm.results_file.read_bytes()
    assert_sound(job, 0)


def test_results_are_whole_after_a_kill_and_a_run_that_has_nothing_to_do(tmp_path: Path) -> None:
    with FakeArchive(Script([answers()])) as archive:
        job = query(tmp_path, archive)
        assert job.run().code == 0
        whole = job.results_file.read_bytes()
        job.results_file.write_bytes(whole[:-700] + b"1.3.99,half a ro")  # as a power loss may
        assert job.run().code == 0
        assert job.results_file.read_bytes() == whole
        job.results_file.unlink()
        assert job.run().code == 0
        assert job.results_file.read_bytes() == whole
        assert len(archive.asked) == ROWS
