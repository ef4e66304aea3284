"""C-GET from a real Orthanc, anonymized before anything is stored."""

from pathlib import Path

import pytest
from pydicom import dcmread

from tests.conftest import OrthancFactory
from tests.support.canaries import SPECS, files, identified_outside, loaded, move_job, state
from tests.support.extraction import Job
from tests.support.orthanc import OrthancServer
from tests.support.ports import free_port


@pytest.fixture(scope="module")
def orthanc(start_orthanc: OrthancFactory) -> OrthancServer:
    return loaded(start_orthanc())


@pytest.fixture
def job(orthanc: OrthancServer, tmp_path: Path) -> Job:
    one = move_job(tmp_path, orthanc, free_port())
    one.change("request", type="c-get")
    one.change("anonymization", enabled=True, profile="basic")
    return one


def test_only_anonymized_instances_reach_the_output(job: Job) -> None:
    done = job.run()
    assert done.code == 0, done.text
    assert identified_outside(job, done.text) == []
    stored = files(job)
    assert len(stored) == len(SPECS)
    assert {dcmread(path).PatientIdentityRemoved for path in stored} == {"YES"}
    assert list((state(job) / "spool").iterdir()) == []
    assert {row["Outcome"] for row in job.results()} == {"complete"}


def test_a_sample_shows_what_would_happen_and_leaves_nothing(job: Job) -> None:
    done = job.command("check", "--sample", "2")
    assert done.code == 0, done.text
    assert not (state(job) / "sample").exists()
    assert identified_outside(job, done.text) == []
    assert "PatientName" in done.out
