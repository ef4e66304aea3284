"""No value of a data set reaches a log, the terminal or an error, whatever happens."""

from pathlib import Path
from typing import Any

import pytest
from pydicom.dataset import Dataset

from tests.conftest import OrthancFactory
from tests.support.extraction import AET, Ended, Job
from tests.support.fake_archive import FakeArchive, Final, Pending, Script, Step, Store
from tests.support.instances import PRIVATE, Spec, dataset, to_bytes
from tests.support.orthanc import OrthancServer
from tests.support.ports import free_port

LOCAL_PORT = free_port()
STUDY = Spec().study_uid
NAME, IDENTITY, TEXT = "Canary^Kanarie", "CANARYID77", "canary description"
NUMBER, DOCTOR = "CANARYACC", "Canary^Doctor"
# UIDs name a patient as well as a name does
SECRETS = ("anary", "CANARY", "Kanarie", STUDY, "19700101")


def marked(number: int = 1, **more: Any) -> Dataset:
    ds = dataset(Spec(instance=number, patient_name=NAME, **more))
    ds.PatientID, ds.StudyDescription, ds.SeriesDescription = IDENTITY, TEXT, TEXT
    ds.AccessionNumber, ds.ReferringPhysicianName = NUMBER, DOCTOR
    return ds


@pytest.fixture(scope="module")
def orthanc(start_orthanc: OrthancFactory) -> OrthancServer:
    server = start_orthanc([(AET, LOCAL_PORT)])
    server.load(to_bytes(marked(number)) for number in range(1, 4))
    return server


def assert_silent(job: Job, *several: Ended) -> None:
    """Search everything that is not identified by nature."""
    texts = {"run.log": job.log()}
    assert "run.ended" in texts["run.log"]
    for number, ended in enumerate(several):
        texts[f"stdout {number}"], texts[f"stderr {number}"] = ended.out, ended.err
    for where, text in texts.items():
        for secret in SECRETS:
            assert secret not in text, f"{secret} is in {where}"


def everything_said(job: Job, code: int) -> list[Ended]:
    ended = job.run()
    assert ended.code == code, ended.text
    return [ended, job.command("status"), job.command("status", "--json"), job.command("check")]


def test_a_find_says_nothing_of_what_it_asked_and_found(
    tmp_path: Path, orthanc: OrthancServer
) -> None:
    rows = [["StudyInstanceUID", "PatientID"], [STUDY, IDENTITY], ["1.2.3", IDENTITY]]
    elements = ["QueryRetrieveLevel=STUDY", "PatientName", "StudyDescription", "PatientBirthDate"]
    job = Job(tmp_path, orthanc, LOCAL_PORT, "c-find", elements, rows)
    said = everything_said(job, 0)
    assert job.results()[0]["PatientName"] == NAME
    assert_silent(job, *said)


def test_a_move_says_nothing_of_what_it_asked_and_stored(
    tmp_path: Path, orthanc: OrthancServer
) -> None:
    rows = [["StudyInstanceUID", "PatientID"], [STUDY, IDENTITY], [f"{STUDY}.9", IDENTITY]]
    job = Job(tmp_path, orthanc, LOCAL_PORT, "c-move", ["QueryRetrieveLevel=STUDY"], rows)
    said = everything_said(job, 1)
    assert len(job.stored()) == 3
    assert (job.out / IDENTITY).is_dir()
    assert_silent(job, *said)


COMMENT = f"{IDENTITY} has no study {STUDY}"


@pytest.mark.parametrize(
    "steps",
    [
        [Final(0xA900, comment=COMMENT)],
        [Final(0xC001, comment=COMMENT)],
        [Store(marked(1)), Final(0xB000, completed=1, failed=1, failed_uids=[Spec().sop_uid])],
        [Store(marked(1)), Final(completed=9, failed=0)],
        [Store(marked(1, study=7)), Final(completed=1)],
        [Store(marked(1, sop_class=PRIVATE)), Final(0xA702, completed=1, comment=COMMENT)],
    ],
    ids=["refused", "unable", "partly", "too few", "another study", "out of resources"],
)
def test_a_move_that_fails_says_nothing_either(tmp_path: Path, steps: list[Step]) -> None:
    """S14."""
    rows = [["StudyInstanceUID", "PatientID"], [STUDY, IDENTITY]]
    with FakeArchive(Script([steps], destinations={AET: LOCAL_PORT})) as archive:
        job = Job(
            tmp_path, archive, LOCAL_PORT, "c-move", ["QueryRetrieveLevel=STUDY"], rows,
            retry={"attempts": 2}, output={"decompress": True, "directory": str(tmp_path / "out")},
        )  # fmt: skip
        assert_silent(job, *everything_said(job, 1))


def test_a_query_whose_answers_cannot_be_read_says_nothing_either(tmp_path: Path) -> None:
    match = Dataset()
    match.PatientName, match.StudyInstanceUID = NAME, STUDY
    broken = b"\x10\x00\x10\x00\xff\x00\x00\x00Canary^Kanarie"  # shorter than its length says
    steps: list[Step] = [Pending(match=match), Pending(match=broken), Final()]
    rows = [["StudyInstanceUID"], [STUDY]]
    with FakeArchive(Script([steps])) as archive:
        job = Job(
            tmp_path, archive, LOCAL_PORT, "c-find", ["QueryRetrieveLevel=STUDY", "PatientName"],
            rows, retry={"attempts": 2},
        )  # fmt: skip
        ended = job.run()
        assert_silent(job, ended, job.command("status"))
