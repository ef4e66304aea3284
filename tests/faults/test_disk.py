"""F32 disk full and back, F33 read-only and back, and a directory that vanishes and comes back.

On small tmpfs mounts of its own, so the user must be root; a machine that does not allow it fails
these tests, because nobody would notice a skipped one.
"""

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.conftest import OrthancFactory
from tests.support.extraction import Ended, Job, Running
from tests.support.instances import specs
from tests.support.ports import free_port
from tests.support.scene import Result, Scene, modality, result
from tests.support.written import data_set_of

FATAL = 3
RIGHTS = "these tests mount file systems: run them as root (CAP_SYS_ADMIN)"
SMALL = "size=1m"
BIG = "size=64m"
Mount = Callable[[str, Path], None]


@pytest.fixture(scope="module")
def scene(start_orthanc: OrthancFactory) -> Scene:
    port = free_port()
    many = list(specs(patients=6, instances=3, rows=256, columns=256))  # 128 KiB each
    made = Scene(start_orthanc([modality(port)]), port, many)
    made.load()
    return made


@pytest.fixture(scope="module")
def undisturbed(scene: Scene, tmp_path_factory: pytest.TempPathFactory) -> Result:
    job = scene.job(tmp_path_factory.mktemp("undisturbed"))
    ended = job.run()
    assert ended.code == 0, ended.text
    return result(job)


@pytest.fixture
def mount(tmp_path: Path) -> Iterator[Mount]:
    """Mount a tmpfs on a directory; all are gone after the test."""
    with ExitStack() as stack:

        def on(options: str, where: Path) -> None:
            where.mkdir(parents=True, exist_ok=True)
            privileged("mount", "-t", "tmpfs", "-o", options, "tmpfs", str(where))
            stack.callback(subprocess.run, ["umount", "-l", str(where)], capture_output=True)

        yield on


def privileged(*arguments: str) -> None:
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=30)
    if done.returncode:
        pytest.fail(f"{' '.join(arguments[:2])} failed ({done.stderr.strip()}); {RIGHTS}")


def remount(where: Path, options: str) -> None:
    """Remount as soon as no file is open for writing there."""
    deadline = time.monotonic() + 20
    arguments = ["mount", "-o", f"remount,{options}", str(where)]
    while subprocess.run(arguments, capture_output=True, timeout=30).returncode:
        if time.monotonic() > deadline:
            privileged(*arguments)
        time.sleep(0.02)


def slow_job(scene: Scene, folder: Path, **more: object) -> Job:
    """Make a job that gives time to break its disk, its state on another one than its output."""
    sections = {"request": {"throttle_time": 0.4}, "state": {"directory": str(folder / "state")}}
    return scene.job(folder, **{**sections, **more})


def wait_for_stored(job: Job, running: Running, count: int) -> None:
    deadline = time.monotonic() + 60
    while len(list(job.out.rglob("*.dcm"))) < count:
        assert running.is_running, running.text
        assert time.monotonic() < deadline
        time.sleep(0.02)


def stopped_with(ended: Ended, *words: str) -> None:
    """Check a stop by itself: the exit code, and a sentence that says what is wrong."""
    assert ended.code == FATAL, ended.text
    assert any(word in ended.text for word in words), ended.text


def nothing_is_half(job: Job, scene: Scene) -> None:
    """Check that every stored file is whole, as the archive has it."""
    for uid, found in job.stored().items():
        assert found.data == data_set_of(scene.archive.file(uid))


@pytest.mark.parametrize("where", ["output", "state", "both"])
def test_f32_a_full_disk_stops_the_run_and_it_goes_on_after_space_is_made(
    scene: Scene, undisturbed: Result, tmp_path: Path, mount: Mount, where: str
) -> None:
    job = full_disk_job(scene, tmp_path, where)
    disk = tmp_path / {"output": "disk", "state": "state", "both": "disk"}[where]
    mount(SMALL, disk)
    ended = job.run()
    stopped_with(ended, "full disk", "is full", "free space", "refus", "A700", "OutOfResources")
    nothing_is_half(job, scene)
    remount(disk, BIG)
    again = job.run()
    assert again.code == 0, again.text
    assert result(job) == undisturbed


def full_disk_job(scene: Scene, folder: Path, where: str) -> Job:
    apart = {"state": {"directory": str(folder / "state")}}
    return scene.job(
        folder, retry={"attempts": 2, "wait": 0.1}, **({} if where == "both" else apart)
    )


def test_f32_a_disk_that_is_full_from_the_start_is_said_in_one_sentence(
    scene: Scene, undisturbed: Result, tmp_path: Path, mount: Mount
) -> None:
    job = scene.job(tmp_path)
    mount(SMALL, tmp_path / "disk")
    hog = tmp_path / "disk" / "hog"
    fill(hog)
    ended = job.run()
    stopped_with(ended, "full")
    hog.unlink()
    remount(tmp_path / "disk", BIG)
    assert job.run().code == 0
    assert result(job) == undisturbed


def fill(path: Path) -> None:
    with path.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            return


def test_f33_a_read_only_directory_is_found_at_the_start(
    scene: Scene, undisturbed: Result, tmp_path: Path, mount: Mount
) -> None:
    job = scene.job(tmp_path)
    mount(BIG, tmp_path / "disk")
    remount(tmp_path / "disk", "ro")
    stopped_with(job.run(), "read-only")
    remount(tmp_path / "disk", "rw")
    assert job.run().code == 0
    assert result(job) == undisturbed


def test_f33_a_disk_that_becomes_read_only_stops_the_run_and_it_goes_on_later(
    scene: Scene, undisturbed: Result, tmp_path: Path, mount: Mount
) -> None:
    job = slow_job(scene, tmp_path)
    mount(BIG, tmp_path / "disk")
    with job.start() as running:
        wait_for_stored(job, running, 4)
        remount(tmp_path / "disk", "ro")
        stopped_with(running.wait(), "read-only", "cannot be written")
    nothing_is_half(job, scene)
    remount(tmp_path / "disk", "rw")
    again = job.run()
    assert again.code == 0, again.text
    assert result(job) == undisturbed


def test_f33_an_output_disk_that_vanishes_stops_the_run_and_nothing_lands_beside_it(
    scene: Scene, undisturbed: Result, tmp_path: Path, mount: Mount
) -> None:
    disk, place = tmp_path / "disk", tmp_path / "real"
    job = slow_job(scene, tmp_path)
    mount(BIG, place)
    (place / "out").mkdir()
    (disk / "out").mkdir()
    privileged("mount", "--bind", str(place / "out"), str(disk / "out"))
    try:
        with job.start() as running:
            wait_for_stored(job, running, 4)
            privileged("umount", "-l", str(disk / "out"))
            stopped_with(running.wait(), "is gone", "cannot be written")
        assert not list((disk / "out").rglob("*.dcm"))
        nothing_is_half(job, scene)
        leave_empty(disk / "out")
        privileged("mount", "--bind", str(place / "out"), str(disk / "out"))
        again = job.run()
        assert again.code == 0, again.text
        assert result(job) == undisturbed
    finally:
        subprocess.run(["umount", "-l", str(disk / "out")], capture_output=True)


def leave_empty(directory: Path) -> None:
    """Remove the results file, which follows the ledger and may have been begun anew."""
    for path in directory.iterdir():
        assert path.suffix in {".csv", ".part"}, path.name
        path.unlink()


def test_f33_an_output_directory_that_is_moved_away_and_back_costs_nothing(
    scene: Scene, undisturbed: Result, tmp_path: Path
) -> None:
    job = slow_job(scene, tmp_path)
    away = tmp_path / "away"
    with job.start() as running:
        wait_for_stored(job, running, 4)
        job.out.rename(away)
        stopped_with(running.wait(), "is gone", "cannot be written")
    leave_empty_and_remove(job.out)
    away.rename(job.out)
    again = job.run()
    assert again.code == 0, again.text
    assert result(job) == undisturbed


def leave_empty_and_remove(directory: Path) -> None:
    if directory.exists():
        leave_empty(directory)
        directory.rmdir()


def test_the_machine_lets_these_tests_mount(tmp_path: Path, mount: Mount) -> None:
    assert os.geteuid() == 0, RIGHTS
    mount(SMALL, tmp_path / "small")
    assert os.statvfs(tmp_path / "small").f_blocks * os.statvfs(tmp_path / "small").f_frsize == (
        1 << 20
    )
