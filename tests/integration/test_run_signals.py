"""Interrupted: the first signal drains, the second stops at once, both can be resumed."""

import fcntl
import os
import pty
import signal
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest
from pydicom.dataset import Dataset

from tests.conftest import OrthancFactory
from tests.support.extraction import AET, ROOT, Job
from tests.support.fake_archive import FakeArchive, Final, Pending, Script, Sleep, Step
from tests.support.instances import files, specs
from tests.support.orthanc import OrthancServer
from tests.support.ports import free_port

KEY = "StudyInstanceUID"
LOCAL_PORT = free_port()
ELEMENTS = ["QueryRetrieveLevel=STUDY", "StudyDescription"]
UIDS = [f"1.2.{number}" for number in range(1, 5)]
ROWS = [[KEY, "Row"], *([uid, uid] for uid in UIDS)]
MATCH = Dataset()
MATCH.StudyDescription = "found"
SLOW: list[Step] = [Sleep(2), Pending(match=MATCH), Final()]
QUICK: list[Step] = [Pending(match=MATCH), Final()]
STUCK: list[Step] = [Sleep(60), Final()]
CODES = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 129}


@pytest.fixture(scope="module")
def orthanc(start_orthanc: OrthancFactory) -> OrthancServer:
    server = start_orthanc([(AET, LOCAL_PORT)])
    server.load(files(specs(studies=10, instances=10, rows=64, columns=64)))
    return server


def find(folder: Path, archive: FakeArchive) -> Job:
    request = {"carry": ["Row"]}
    return Job(folder, archive, LOCAL_PORT, "c-find", ELEMENTS, ROWS, request=request)


def found(job: Job) -> list[str]:
    return [row["Row"] for row in job.results()]


def wait_until_asked(archive: FakeArchive) -> None:
    deadline = time.monotonic() + 30
    while not archive.asked and time.monotonic() < deadline:
        time.sleep(0.02)
    assert archive.asked


@pytest.mark.parametrize("number", CODES, ids=lambda number: number.name)
def test_a_signal_lets_what_runs_finish_and_sends_nothing_more(
    tmp_path: Path, number: signal.Signals
) -> None:
    """F31."""
    with FakeArchive(Script([SLOW, QUICK])) as archive:
        job = find(tmp_path, archive)
        with job.start() as running:
            wait_until_asked(archive)
            running.signal(number)
            ended = running.wait()
        assert ended.code == CODES[number]
        assert "Stopping: what runs may finish. Once more stops at once." in ended.out
        assert "it was interrupted" in ended.out
        assert "Run it again to go on where it was." in ended.out
        assert len(archive.asked) == 1
        assert found(job) == UIDS[:1]
        assert job.run().code == 0
        assert len(archive.asked) == 4
    assert found(job) == UIDS


def test_a_second_signal_stops_at_once_and_the_next_run_goes_on(tmp_path: Path) -> None:
    """F31."""
    with FakeArchive(Script([STUCK, QUICK])) as archive:
        job = find(tmp_path, archive)
        with job.start() as running:
            wait_until_asked(archive)
            running.signal(signal.SIGINT)
            assert running.says("Stopping: what runs may finish")
            begun = time.monotonic()
            running.signal(signal.SIGINT)
            ended = running.wait(30)
            assert time.monotonic() - begun < 8
        assert ended.code == 130
        assert "Stopping at once." in ended.out
        assert job.results() == []
        assert job.run().code == 0
    assert found(job) == UIDS


def test_what_outlasts_the_grace_time_is_cancelled_and_stays_pending(tmp_path: Path) -> None:
    """F31."""
    with FakeArchive(Script([STUCK, QUICK])) as archive:
        job = find(tmp_path, archive)
        job.sections["pacs"]["timeouts"]["grace"] = 0.5
        job.write()
        with job.start() as running:
            wait_until_asked(archive)
            running.signal(signal.SIGTERM)
            ended = running.wait(40)  # the archive ignores C-CANCEL for ten seconds more
        assert ended.code == 143
        assert job.command("status").out.splitlines()[1].split() == ["4", "pending"]


def test_a_move_that_is_interrupted_again_and_again_ends_whole(
    tmp_path: Path, orthanc: OrthancServer
) -> None:
    expected = {one.sop_uid: one for one in specs(studies=10, instances=10)}
    rows = [[KEY], *([uid] for uid in sorted({one.study_uid for one in expected.values()}))]
    job = Job(
        tmp_path, orthanc, LOCAL_PORT, "c-move", ELEMENTS[:1], rows,
        request={"threads": 2, "limits": {"megabytes_per_second": 0.4}},
    )  # fmt: skip
    codes: list[int] = []
    for number, twice in ((signal.SIGINT, False), (signal.SIGTERM, True), (signal.SIGINT, True)):
        with job.start(name=f"run{len(codes)}") as running:
            if running.says("Starting local storage SCP"):
                time.sleep(0.5)
                running.signal(number)
                if twice:
                    time.sleep(0.1)
                    running.signal(number)
            codes.append(running.wait().code)
    assert set(codes) <= {130, 143, 0}
    assert codes[0] == 130
    ended = job.run()
    assert ended.code == 0, ended.text
    assert set(job.stored()) == set(expected)
    assert [(row["Outcome"], row["Stored"]) for row in job.results()] == [("complete", "10")] * 10


def test_without_a_terminal_there_are_lines_and_no_bars(tmp_path: Path) -> None:
    with FakeArchive(Script([QUICK, [Final(0xA900)], QUICK])) as archive:
        job = find(tmp_path, archive)
        with job.start() as running:
            ended = running.wait()
    assert ended.code == 1
    assert not any(mark in ended.text for mark in ("\r", "\x1b", "it/s", "rqst/s"))
    assert "Line 3: refused: The keys do not fit the archive's information model" in ended.out
    assert "Requests finished in this run     4" in ended.out
    log = job.log()
    assert log.count("request.done") == 4
    assert "row=3" in log
    assert "outcome=refused" in log


def test_a_run_needs_neither_standard_input_nor_output(tmp_path: Path) -> None:
    with FakeArchive(Script([QUICK])) as archive:
        job = find(tmp_path, archive)
        done = subprocess.run(
            ["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", sys.executable, "-m", "pydicombatch",
             str(job.config)],
            cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}, timeout=60,
        )  # fmt: skip
    assert done.returncode == 0
    assert len(job.results()) == 4


def test_on_a_terminal_there_are_bars(tmp_path: Path) -> None:
    with FakeArchive(Script([QUICK])) as archive:
        job = find(tmp_path, archive)
        ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
        process = subprocess.Popen(
            [sys.executable, "-m", "pydicombatch", str(job.config)],
            stdin=theirs, stdout=theirs, stderr=theirs, cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )  # fmt: skip
        os.close(theirs)
        shown = _read_all(ours)
        assert process.wait(60) == 0
    assert "Sending c-find requests" in shown
    assert "4/4" in shown
    assert "Requests finished in this run     4" in shown


def _read_all(descriptor: int) -> str:
    pieces: list[bytes] = []
    while True:
        try:
            piece = os.read(descriptor, 4096)
        except OSError:  # EIO: the other side is closed
            piece = b""
        if not piece:
            os.close(descriptor)
            return b"".join(pieces).decode("utf-8", "replace")
        pieces.append(piece)
