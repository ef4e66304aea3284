"""Windows and rates as the archive sees them; the real clock, in coarse bounds."""

import signal
import sqlite3
import time
from contextlib import closing
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from pydicom.dataset import Dataset

from tests.conftest import OrthancFactory
from tests.support.extraction import AET, Job
from tests.support.fake_archive import FakeArchive, Final, Pending, Script
from tests.support.instances import files, specs
from tests.support.orthanc import OrthancServer
from tests.support.ports import free_port

LOCAL_PORT = free_port()
KEY = "StudyInstanceUID"
ELEMENTS = ["QueryRetrieveLevel=STUDY", "StudyDescription"]
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
MATCH = Dataset()
MATCH.StudyDescription = "found"
WORKS = Script([[Pending(match=MATCH), Final()]])


@pytest.fixture(scope="module")
def orthanc(start_orthanc: OrthancFactory) -> OrthancServer:
    server = start_orthanc([(AET, LOCAL_PORT)])
    server.load(files(specs(studies=2, instances=20, rows=128, columns=128)))
    return server


def find(folder: Path, archive: Any, rows: int, **more: Any) -> Job:
    table = [[KEY], *([f"1.2.{number}"] for number in range(1, rows + 1))]
    return Job(
        folder,
        archive,
        LOCAL_PORT,
        "c-find",
        ["QueryRetrieveLevel=STUDY", "StudyDescription"],
        table,
        **more,
    )


def attempts(job: Job) -> list[tuple[datetime, datetime]]:
    """Return when every request left and when it had ended, from the ledger."""
    with closing(sqlite3.connect(job.state / "ledger.sqlite")) as db:
        rows = db.execute("SELECT started, ended FROM attempt ORDER BY started").fetchall()
    return [(datetime.fromisoformat(start), datetime.fromisoformat(end)) for start, end in rows]


def clock(moment: datetime) -> str:
    return f"{moment:%H:%M}"


def daily(start: datetime, end: datetime) -> dict[str, Any]:
    return {
        "enabled": True, "start_time": clock(start), "end_time": clock(end), "timezone": "UTC",
    }  # fmt: skip


def test_outside_the_window_a_run_waits_and_says_until_when(tmp_path: Path) -> None:
    opens = datetime.now(UTC) + timedelta(hours=2)
    with FakeArchive(WORKS) as archive:
        job = find(tmp_path, archive, 2, schedule=daily(opens, opens + timedelta(hours=1)))
        with job.start() as running:
            assert running.says("Extraction PAUSED: outside its window, waiting until ")
            assert clock(opens) in running.text.partition("waiting until ")[2].splitlines()[0]
            time.sleep(1)
            running.signal(signal.SIGINT)
            assert running.wait().code == 130
        assert not archive.associations


def test_outside_the_window_a_run_that_shall_not_wait_ends_with_work_left(tmp_path: Path) -> None:
    opens = datetime.now(UTC) + timedelta(hours=2)
    with FakeArchive(WORKS) as archive:
        job = find(tmp_path, archive, 2, schedule=daily(opens, opens + timedelta(hours=1)))
        ended = job.run("--stop-at-window-end")
        assert ended.code == 4
        assert "its window ended" in ended.out
        assert not archive.associations
        job.change("schedule", enabled=False)
        assert job.run("--stop-at-window-end").code == 0
        assert len(archive.asked) == 2


@pytest.mark.parametrize("shift", [0, 1])
def test_a_window_of_today_is_open_and_one_of_another_weekday_is_not(
    tmp_path: Path, shift: int
) -> None:
    now = datetime.now(UTC)
    day = DAYS[(now + timedelta(days=3 * shift)).weekday()]
    # the window over midnight keeps this true at any time of the day
    windows = [{"days": [day], "start_time": "00:00", "end_time": "24:00"}]
    if not shift:
        following = DAYS[(now + timedelta(days=1)).weekday()]
        windows.append({"days": [following], "start_time": "00:00", "end_time": "24:00"})
    with FakeArchive(WORKS) as archive:
        schedule = {"enabled": True, "timezone": "UTC", "windows": windows}
        job = find(tmp_path, archive, 3, schedule=schedule)
        ended = job.run("--stop-at-window-end")
        assert ended.code == (4 if shift else 0), ended.text
        assert len(archive.asked) == (0 if shift else 3)


def test_an_excepted_day_is_closed(tmp_path: Path) -> None:
    today = datetime.now(UTC)
    days = [f"{today + timedelta(days=back):%Y-%m-%d}" for back in (-1, 0, 1)]
    windows = [{"start_time": "00:00", "end_time": "24:00"}]
    schedule = {"enabled": True, "timezone": "UTC", "windows": windows, "except": days}
    with FakeArchive(WORKS) as archive:
        job = find(tmp_path, archive, 1, schedule=schedule)
        assert job.run("--stop-at-window-end").code == 4
        assert not archive.associations


def test_no_request_leaves_after_the_end_of_the_window(tmp_path: Path) -> None:
    """F37."""
    now = datetime.now(UTC)
    end = now.replace(second=0, microsecond=0) + timedelta(minutes=1)
    if end - now < timedelta(seconds=8):  # time enough to start
        end += timedelta(minutes=1)
    with FakeArchive(WORKS) as archive:
        job = find(
            tmp_path, archive, 2000, schedule=daily(now - timedelta(hours=1), end),
            request={"threads": 3, "throttle_time": 0.2},
        )  # fmt: skip
        ended = job.run("--stop-at-window-end")
        assert ended.code == 4, ended.text
        count = len(archive.asked)
    times = attempts(job)
    assert len(times) == count
    assert 0 < count < 2000
    assert max(start for start, _ in times) < end
    assert end - max(start for start, _ in times) < timedelta(seconds=5)  # it did use the window
    assert len(job.results()) == count
    status = job.command("status").out
    assert f"{2000 - count}  pending" in status


def test_requests_a_minute_are_never_exceeded_whatever_the_threads(tmp_path: Path) -> None:
    with FakeArchive(WORKS) as archive:
        limits = {"requests_per_minute": 120}
        job = find(tmp_path, archive, 7, request={"threads": 4, "limits": limits})
        assert job.run().code == 0
    starts = [start for start, _ in attempts(job)]
    assert (starts[-1] - starts[0]).total_seconds() >= 6 * 0.5 - 0.1
    assert min((later - one).total_seconds() for one, later in pairwise(starts)) >= 0.4


def test_a_thread_rests_between_two_requests(tmp_path: Path) -> None:
    with FakeArchive(WORKS) as archive:
        job = find(tmp_path, archive, 4, request={"throttle_time": 0.4})
        assert job.run().code == 0
    times = attempts(job)
    pauses = [(later[0] - one[1]).total_seconds() for one, later in pairwise(times)]
    assert min(pauses) >= 0.39


def test_the_archive_is_slowed_down_to_the_agreed_rate(
    tmp_path: Path, orthanc: OrthancServer
) -> None:
    rows = [[KEY], *([uid] for uid in sorted({one.study_uid for one in specs(studies=2)}))]
    job = Job(
        tmp_path, orthanc, LOCAL_PORT, "c-move", ["QueryRetrieveLevel=STUDY"], rows,
        request={"threads": 2, "limits": {"megabytes_per_second": 0.4}},
    )  # fmt: skip
    assert job.run().code == 0
    stored = job.stored()
    assert len(stored) == 40
    megabytes = sum(len(one.data) for one in stored.values()) / 1e6
    times = attempts(job)
    seconds = (max(end for _, end in times) - min(start for start, _ in times)).total_seconds()
    assert megabytes > 1.2
    assert seconds >= 0.9 * megabytes / 0.4
