"""F39: few descriptors, little memory, no threads: degraded or stopped with a message.

Whatever the limit, the run ends by itself, nothing half lies under a final name, and a run without
the limit finishes the work as if nothing had been.
"""

import errno
import resource
import subprocess
import sys
from itertools import product
from pathlib import Path

import pytest

from tests.conftest import OrthancFactory
from tests.support.extraction import ROOT, Ended, Job
from tests.support.instances import specs
from tests.support.ports import free_port
from tests.support.scene import Result, Scene, modality, result, run_under
from tests.support.shim import Shim

FAILED = {1, 3}  # exit codes: some requests failed, stopped by a fatal error
LIMITED = """
import resource, runpy, sys
which, limit = getattr(resource, sys.argv[1]), int(sys.argv[2])
resource.setrlimit(which, (limit, limit))
sys.argv = ["pydicombatch", *sys.argv[3:]]
runpy.run_module("pydicombatch", run_name="__main__", alter_sys=True)
"""
MIB = 1 << 20
OWN_THREADS = 7  # ledger, projector, two workers, committer, storage SCP, one request


@pytest.fixture(scope="module")
def scene(start_orthanc: OrthancFactory) -> Scene:
    port = free_port()
    made = Scene(start_orthanc([modality(port)]), port, list(specs(patients=8, instances=2)))
    made.load()
    return made


def run_limited(job: Job, which: str, limit: int, seconds: float = 100) -> Ended:
    """Run a job with a limit of the operating system on its process."""
    assert hasattr(resource, which)
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, which, str(limit), "run", str(job.config)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        cwd=ROOT,
        timeout=seconds,
        text=True,
    )
    return Ended(done.returncode, done.stdout, done.stderr)


def ended_by_itself(ended: Ended) -> None:
    """Check that it was complete, or has said in words why not; no traceback, no signal."""
    assert "Traceback" not in ended.text, ended.text
    assert ended.code in {0, *FAILED}, ended.text
    assert ended.code == 0 or ended.text.strip()


def finishes_without_the_limit(job: Job, undisturbed: Result) -> None:
    again = job.run()
    assert again.code == 0, again.text
    assert result(job) == undisturbed


def test_f39_64_descriptors_are_enough_for_eight_threads(
    scene: Scene, undisturbed: Result, tmp_path: Path
) -> None:
    job = scene.job(tmp_path, request={"threads": 8})
    ended = run_limited(job, "RLIMIT_NOFILE", 64)
    assert ended.code == 0, ended.text
    assert result(job) == undisturbed


@pytest.mark.timeout(1800)
def test_f39_a_run_out_of_descriptors_ends_with_a_message_and_can_go_on(
    scene: Scene, undisturbed: Result, tmp_path: Path, full: bool
) -> None:
    for descriptors in range(8, 40, 2) if full else (14, 22):
        folder = tmp_path / str(descriptors)
        job = scene.job(folder, request={"threads": 8}, retry={"attempts": 2, "wait": 0.1})
        ended_by_itself(run_limited(job, "RLIMIT_NOFILE", descriptors))
        finishes_without_the_limit(job, undisturbed)


@pytest.mark.timeout(1800)
def test_f39_a_memory_limit_ends_a_run_with_a_message_at_worst(
    scene: Scene, undisturbed: Result, tmp_path: Path, full: bool
) -> None:
    for mebibytes in (2000, 1000, 700, 600, 500, 450, 400, 350) if full else (700, 450):
        folder = tmp_path / str(mebibytes)
        job = scene.job(folder, request={"threads": 4}, retry={"attempts": 2, "wait": 0.1})
        ended_by_itself(run_limited(job, "RLIMIT_AS", mebibytes * MIB))
        finishes_without_the_limit(job, undisturbed)


@pytest.mark.timeout(1800)
def test_f39_a_run_that_cannot_start_a_thread_of_its_own_ends_and_can_go_on(
    scene: Scene, undisturbed: Result, tmp_path: Path, full: bool
) -> None:
    for number in range(1, OWN_THREADS + 1) if full else (1, 3, 5, OWN_THREADS):
        job = scene.job(tmp_path / str(number), retry={"attempts": 2, "wait": 0.1})
        fail = f"thread:{errno.EAGAIN}:{number}:0"
        shim = Shim(job.folder / "disk", job.folder, fail=fail)
        ended = run_under(shim, job, limit=60)
        assert shim.chosen() >= number, "nothing failed"
        ended_by_itself(ended)
        assert "another thread" in ended.text, ended.text
        finishes_without_the_limit(job, undisturbed)


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("call", ["fsync", "write", "rename", "link", "create", "mkdir"])
def test_f32_a_call_that_fails_once_costs_an_attempt_or_the_run_but_no_instance(
    scene: Scene, undisturbed: Result, tmp_path: Path, call: str, full: bool
) -> None:
    where = {"fsync": "*/spool*", "write": "*/spool*", "link": "*.dcm", "rename": "*"}
    for name, number in product(("ENOSPC", "EIO", "EDQUOT"), (1, 3, 9)) if full else [("EIO", 2)]:
        job = scene.job(tmp_path / f"{name}-{number}", retry={"attempts": 3, "wait": 0.1})
        fail = f"{call}:{getattr(errno, name)}:{number}:1:{where.get(call, '*/out/*')}"
        shim = Shim(job.folder / "disk", job.folder, fail=fail)
        ended_by_itself(run_under(shim, job))
        assert shim.chosen() >= number, "nothing failed"
        finishes_without_the_limit(job, undisturbed)
