"""What goes wrong while images are anonymized: nothing identified ever reaches the output."""

import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from pydicom import dcmread

from tests.conftest import OrthancFactory
from tests.support.canaries import SPECS, files, identified_outside, loaded, move_job, state
from tests.support.extraction import AET, ROOT, Ended, Job, command
from tests.support.orthanc import OrthancServer
from tests.support.ports import free_port

LOCAL = free_port()
# A decoder as pydicom finds it, which ends its process as soon as it is used
CRASHING = """
import os

class Version:
    GetVersion = staticmethod(lambda: "3.0.24")

def __getattr__(name):
    if name.startswith("_"):
        raise AttributeError(name)
    return lambda *_: os.abort()
"""


@pytest.fixture(scope="module")
def orthanc(start_orthanc: OrthancFactory) -> OrthancServer:
    return loaded(start_orthanc([(AET, LOCAL)]))


@pytest.fixture
def job(orthanc: OrthancServer, tmp_path: Path) -> Job:
    made = move_job(tmp_path, orthanc, LOCAL)
    made.change("anonymization", enabled=True, profile="basic")
    made.change("retry", attempts=1)
    return made


def on_a_small_disk(job: Job, place: Path, kilobytes: int) -> Ended:
    """Run with a small tmpfs at a directory, in a mount namespace; its content is copied back."""
    place.mkdir(exist_ok=True)
    kept = place.with_name(f"{place.name}.kept")
    call = shlex.join([sys.executable, "-m", "pydicombatch", "run", str(job.config)])
    where = shlex.quote(str(place))
    script = (
        f"mount -t tmpfs -o size={kilobytes}k,mode=700 tmpfs {where} || exit 99\n"
        f"{call}\ncode=$?\ncp -a {where} {shlex.quote(str(kept))}\nexit $code\n"
    )
    process = subprocess.Popen(
        ["unshare", "--map-root-user", "--mount", "sh", "-c", script],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=job.folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        start_new_session=True,
    )
    try:
        out, err = process.communicate(timeout=90)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        raise
    assert process.returncode != 99, err
    assert "Traceback" not in out + err
    place.rmdir()
    kept.rename(place)
    return Ended(process.returncode, out, err)


def test_a_full_output_disk_ends_the_run_without_quarantining_and_it_goes_on(job: Job) -> None:
    """F32."""
    done = on_a_small_disk(job, job.out, 48)
    assert done.code == 3, done.text
    assert "full" in done.err
    assert identified_outside(job, done.text) == []
    assert list((state(job) / "quarantine").iterdir()) == []
    whole = [path for path in files(job) if path.suffix == ".dcm"]
    assert 0 < len(whole) < len(SPECS)
    assert all(dcmread(path).PatientIdentityRemoved == "YES" for path in whole)
    done = job.run()
    assert done.code == 0, done.text
    assert len(files(job)) == len(SPECS)
    assert identified_outside(job, done.text) == []


def test_a_full_state_disk_loses_nothing_and_leaks_nothing(job: Job) -> None:
    """S10."""
    job.change("state", least_free=0)  # else the run would wait for space, as it should
    done = on_a_small_disk(job, state(job), 300)
    assert done.code in {1, 3}, done.text
    assert identified_outside(job, done.text) == []
    done = job.run()
    assert done.code == 0, done.text
    assert len(files(job)) == len(SPECS)
    assert identified_outside(job, done.text) == []


def test_a_decoder_that_crashes_costs_its_own_images_alone(job: Job, tmp_path: Path) -> None:
    """S05."""
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "gdcm.py").write_text(CRASHING)
    job.change("output", decompress=True)
    job.change("anonymization", quarantine_limit=100)
    path = os.pathsep.join([str(ROOT), str(broken)])
    environ = {"PYTHONPATH": path}
    done = command("run", str(job.config), cwd=tmp_path, environ=environ)
    assert done.code == 1, done.text
    assert identified_outside(job, done.text) == []
    compressed = sum(spec.instance == 1 for spec in SPECS)
    assert len(list((state(job) / "quarantine").iterdir())) == compressed
    assert len(files(job)) == len(SPECS) - compressed
    assert list((state(job) / "decompressed").iterdir()) == []
    assert "The process that anonymizes it ended twice" in (state(job) / "run.log").read_text()
    done = job.run()
    assert done.code == 0, done.text
    assert len(files(job)) == len(SPECS)


def test_a_script_that_quarantines_everything_stores_nothing(job: Job) -> None:
    script = job.folder / "all.script"
    script.write_text(
        '<script><e en="T" t="00100010" n="PatientName">@quarantine()</e>'
        '<e en="T" t="00100020" n="PatientID">x</e>'
        '<r en="T" t="unspecifiedelements">x</r></script>'
    )
    job.sections["anonymization"] = {"enabled": True, "script": str(script)}
    job.change("anonymization", quarantine_limit=100)
    done = job.run()
    assert done.code == 1, done.text
    assert files(job) == []
    assert identified_outside(job, done.text) == []
    assert len(list((state(job) / "quarantine").iterdir())) == len(SPECS)
    assert {row["Outcome"] for row in job.results()} == {"quarantined"}
    assert {row["Quarantined"] for row in job.results()} == {"8"}
