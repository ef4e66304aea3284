"""`status`, `check` and `demo` after and before real runs."""

import json
import socket
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import OrthancFactory
from tests.support.extraction import AET, Archive, Job, command
from tests.support.instances import Spec, files, specs
from tests.support.orthanc import OrthancServer
from tests.support.ports import LOOPBACK, free_port
from tests.support.written import header_of, rows_of, stored

LOCAL_PORT = free_port()
LEVEL = ["QueryRetrieveLevel=STUDY"]
GOOD, ABSENT = Spec(study=1).study_uid, "1.2.3.4"
ROWS = [
    ["SubjectID", "StudyInstanceUID", "PatientID"],
    ["one", GOOD, "P00001"],
    ["two", ABSENT, "P00001"],
    ["three", Spec(study=2).study_uid, "P00001"],
]


@pytest.fixture(scope="module")
def orthanc(start_orthanc: OrthancFactory) -> OrthancServer:
    server = start_orthanc([(AET, LOCAL_PORT)])
    server.load(files(specs(studies=2, instances=3)))
    return server


@pytest.fixture(scope="module")
def job(orthanc: OrthancServer, tmp_path_factory: pytest.TempPathFactory) -> Job:
    """Run a batch one row of which fails: Orthanc answers 0xC000 for a study it does not have."""
    one = Job(
        tmp_path_factory.mktemp("job"), orthanc, LOCAL_PORT, "c-move", LEVEL, ROWS,
        request={"carry": ["SubjectID"]}, retry={"attempts": 1},
    )  # fmt: skip
    ended = one.run()
    assert ended.code == 1, ended.text
    assert "Some requests are not complete" in ended.out
    return one


def test_the_results_carry_the_columns_that_are_not_sent(job: Job) -> None:
    assert header_of(job.results_file) == [
        "PatientID", "QueryRetrieveLevel", "Status", "StudyInstanceUID", "SubjectID",
        "Outcome", "Expected", "Stored", "Failed", "Quarantined",
    ]  # fmt: skip
    assert [(row["SubjectID"], row["Status"], row["Outcome"]) for row in job.results()] == [
        ("one", "0x0", "complete"), ("two", "0xc000", "failed"), ("three", "0x0", "complete"),
    ]  # fmt: skip


def test_status_says_what_is_done_and_what_failed_and_why(job: Job) -> None:
    ended = job.command("status")
    assert ended.code == 0
    lines = ended.out.splitlines()
    assert lines[:3] == ["3 requests", "         2  complete", "         1  failed"]
    assert lines[3].startswith("6 instances stored, ")
    assert lines[4].startswith("line 3: failed")
    assert "could not process the request" in lines[5]
    assert any("The archive was unable to process the request (0xC000)" in one for one in lines)
    assert not ended.err


def test_status_as_json_is_one_object(job: Job) -> None:
    found: dict[str, Any] = json.loads(job.command("status", "--json").out)
    assert (found["lines"], found["instances"], found["quarantined"]) == (3, 6, 0)
    assert found["outcomes"]["complete"] == 2
    assert found["outcomes"]["failed"] == 1
    assert sum(found["outcomes"].values()) == 3
    (failed,) = found["unfinished"]
    assert (failed["line"], failed["outcome"], failed["attempts"]) == (3, "failed", 1)
    assert failed["reason"]
    assert found["bytes"] == sum(one.path.stat().st_size for one in job.stored().values())


def test_the_csv_of_all_lines_has_the_fate_of_each(job: Job, tmp_path: Path) -> None:
    file = tmp_path / "all.csv"
    assert job.command("status", "--csv", str(file)).code == 0
    assert header_of(file) == [
        "SubjectID", "StudyInstanceUID", "PatientID", "Line", "Status", "Outcome", "Expected",
        "Stored", "Failed", "Quarantined", "Attempts", "Meaning", "Reason", "Remedy",
    ]  # fmt: skip
    assert [[row["SubjectID"], row["Line"], row["Outcome"]] for row in rows_of(file)] == [
        ["one", "2", "complete"], ["two", "3", "failed"], ["three", "4", "complete"],
    ]  # fmt: skip
    assert file.stat().st_mode & 0o777 == 0o600


def test_the_csv_of_what_failed_is_a_batch_file_again(
    job: Job, orthanc: OrthancServer, tmp_path: Path
) -> None:
    file = tmp_path / "failed.csv"
    assert job.command("status", "--failed-csv", str(file)).code == 0
    assert header_of(file) == ROWS[0]
    assert rows_of(file) == [dict(zip(ROWS[0], ROWS[2], strict=True))]
    again = Job(
        tmp_path / "again", orthanc, LOCAL_PORT, "c-move", LEVEL,
        request={"carry": ["SubjectID"], "elements_batch_file": str(file)}, retry={"attempts": 1},
    )  # fmt: skip
    assert again.run().code == 1
    assert [row["StudyInstanceUID"] for row in again.results()] == [ABSENT]


def test_status_while_a_run_has_not_begun_to_fail(orthanc: OrthancServer, tmp_path: Path) -> None:
    job = Job(tmp_path, orthanc, LOCAL_PORT, "c-find", LEVEL, [ROWS[0][1:], ROWS[1][1:]])
    assert job.run().code == 0
    ended = job.command("status")
    assert ended.out.splitlines() == ["1 requests", "         1  complete", "1 matches"]
    file = tmp_path / "failed.csv"
    assert job.command("status", "--failed-csv", str(file)).code == 0
    assert file.read_text() == "StudyInstanceUID,PatientID\n"


def test_check_looks_at_everything(orthanc: OrthancServer, tmp_path: Path) -> None:
    job = Job(tmp_path, orthanc, LOCAL_PORT, "c-move", LEVEL, [ROWS[0][1:], ROWS[1][1:]])
    ended = job.command("check")
    assert ended.code == 0, ended.text
    lines = ended.out.splitlines()
    assert all(line.startswith("ok    ") for line in lines)
    for subject in (
        "configuration: 1 request of type c-move", "output.directory", "free space",
        f"local.port: {LOCAL_PORT} is free", "association", "C-ECHO",
    ):  # fmt: skip
        assert any(subject in line for line in lines), subject
    assert not job.out.exists()


def test_check_says_what_is_wrong_with_the_code_a_run_would_end_with(tmp_path: Path) -> None:
    with socket.create_server((LOOPBACK, 0)) as holder:
        port = int(holder.getsockname()[1])
        job = Job(
            tmp_path, Archive(free_port(), "GONE"), port, "c-move", LEVEL,
            [ROWS[0][1:], ROWS[1][1:]],
        )  # fmt: skip
        ended = job.command("check")
        assert ended.code == 2
        failed = [line for line in ended.out.splitlines() if line.startswith("FAIL")]
        assert len(failed) == 2
        assert f"Port {port} is in use by another program. " in failed[0]
        assert "No listener at" in failed[1]
        job.change("local", port=free_port())
        assert job.command("check").code == 3
        job.change("pacs", aet="A" * 20)
        ended = job.command("check")
        assert (ended.code, ended.out) == (2, "")
        assert "pacs.aet" in ended.err


def test_the_demo_finds_and_stores_and_shows_it(tmp_path: Path) -> None:
    ended = command("demo", "--directory", str(tmp_path / "demo"), cwd=tmp_path)
    assert ended.code == 0, ended.text
    library = rows_of(tmp_path / "demo" / "found" / "library.csv")
    files_stored = stored(tmp_path / "demo" / "images")
    assert library
    expected = sum(int(row["NumberOfSeriesRelatedInstances"]) for row in library)
    assert len(files_stored) == expected
    assert any(not row["PatientName"].isascii() for row in library)
    for said in (
        f"({tmp_path / 'demo' / 'found' / 'library.csv'})",
        f"({expected} files below {tmp_path / 'demo' / 'images'})",
        "Starting local storage SCP server on port",
    ):
        assert said in ended.out
    again = command("demo", "--directory", str(tmp_path / "demo"), cwd=tmp_path)
    assert again.code == 0, again.text
    assert set(stored(tmp_path / "demo" / "images")) == set(files_stored)
