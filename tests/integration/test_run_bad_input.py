"""Bad input: one sentence and its remedy on standard error, the right exit code, nothing sent."""

import re
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import DcmqrscpFactory, OrthancFactory
from tests.support.dcmqrscp import DcmqrscpServer
from tests.support.extraction import AET, Archive, Ended, Job, command, within
from tests.support.fake_archive import FakeArchive, Final, Script
from tests.support.instances import Spec, files, specs
from tests.support.orthanc import OrthancServer
from tests.support.ports import LOOPBACK, free_port

UID = Spec().study_uid
LEVEL = "QueryRetrieveLevel=STUDY"
LOCAL_PORT = free_port()
Damage = Callable[[Job], object]


@pytest.fixture(scope="module")
def orthanc(start_orthanc: OrthancFactory) -> OrthancServer:
    server = start_orthanc([(AET, LOCAL_PORT)])
    server.load(files(specs(instances=2)))
    return server


@pytest.fixture(scope="module")
def dcmqrscp(start_dcmqrscp: DcmqrscpFactory) -> DcmqrscpServer:
    server = start_dcmqrscp()
    server.load(files(specs(instances=2)))
    return server


@pytest.fixture
def fake() -> Iterator[FakeArchive]:
    with FakeArchive(Script(((Final(completed=0, failed=0),),))) as archive:
        yield archive


NO_SENTENCE = re.compile(r"Warning: |[ \d]* \| ")  # a warning, or a line of the file


def sentences(ended: Ended) -> list[str]:
    """Return the sentences of standard error that are no warnings: a problem and a remedy each."""
    lines = [line for line in ended.err.splitlines() if not NO_SENTENCE.match(line)]
    for line in lines:
        problem, _, remedy = line.removesuffix(".").partition(". ")
        assert line.endswith(".")
        assert problem
        assert remedy, line
    return lines


def move(folder: Path, archive: Any, rows: list[list[str]] | None = None, **more: Any) -> Job:
    table = rows or [["StudyInstanceUID"], [UID]]
    return Job(folder, archive, LOCAL_PORT, "c-move", [LEVEL], table, **more)


def text(content: str) -> Damage:
    return lambda job: job.batch.write_text(content, encoding="utf-8")


def setting(section: str, **values: object) -> Damage:
    return lambda job: job.change(section, **values)


def lines(*content: str) -> Damage:
    return text("\n".join(content) + "\n")


def spoil(content: str) -> Damage:
    return lambda job: job.config.write_text(content, encoding="utf-8")


def without(section: str, key: str = "") -> Damage:
    def damage(job: Job) -> None:
        place = job.sections[section] if key else job.sections
        del place[key or section]
        job.write()

    return damage


def anonymizing(job: Job) -> None:
    script = job.folder / "a.script"
    script.write_text("<script/>")
    job.change("anonymization", enabled=True, script=str(script))


# what is done to a sound job -> what the first finding says, where, and what to do
TABLE: dict[str, tuple[Damage, str, str]] = {
    "the configuration is missing": (
        lambda job: job.config.unlink(), "does not exist", "Check its name and folder",
    ),
    "it is no YAML": (spoil("pacs: [\n"), "config.yml:", ""),
    "it is empty": (spoil(""), "config.yml", ""),
    "an unknown setting": (
        setting("request", thread=2), "request.thread is not a known setting", "threads",
    ),
    "an unknown type": (setting("request", type="c-stare"), "request.type", "c-move"),
    "no output directory": (
        without("output"), "output is missing", "Add output",
    ),
    "the batch file is missing": (
        lambda job: job.batch.unlink(), "batch.csv: The batch file does not exist",
        "request.elements_batch_file",
    ),
    "the batch file is empty": (text(""), "batch.csv: The batch file is empty", "Write a header"),
    "it has a header alone": (
        text("StudyInstanceUID\n"), "batch.csv:1: The batch file has a header but no rows",
        "Add a row",
    ),
    "a column twice": (
        lines("StudyInstanceUID,PatientID,StudyInstanceUID", "1.2,1,1.3"),
        "batch.csv:1: Column 3 (StudyInstanceUID) is the same as column 1", "Remove one",
    ),
    "a column twice, once as a tag": (
        lines('StudyInstanceUID,"(0020,000D)"', "1.2,1.3"),
        "is the same as column 1 (StudyInstanceUID)", "Remove one",
    ),
    "an unknown column": (
        lines("StudyInstanceUID,SubjectID", "1.2,1"), "batch.csv:1: Column 2", "request.carry",
    ),
    "a row with too many cells": (
        lines("StudyInstanceUID", "1.2", "1.3,1.4", "1.5"),
        "batch.csv:3: The row has more than the 1 cells", "double quotes",
    ),
    "a row with too few cells": (
        lines("StudyInstanceUID,PatientID", "1.2"), "batch.csv:2: The row has 1 cells", "Add",
    ),
    "a number that a spreadsheet has mangled": (
        lines("StudyInstanceUID,PatientID", "1.2,1.2E+15"), "batch.csv:2: The cell of PatientID",
        "as text",
    ),
    "an archive's title of 17 characters": (
        setting("pacs", aet="A" * 17), "pacs.aet", "16",
    ),
    "our own title of 17 characters": (setting("local", aet="A" * 17), "local.aet", "16"),
    "a destination of 17 characters": (
        setting("request", destination="A" * 17), "request.destination", "16",
    ),
    "a calling title with a backslash": (setting("local", calling_aet="A\\B"), "calling_aet", ""),
    "port 0": (setting("pacs", port=0), "pacs.port is below 1", "from 1 on"),
    "port 65536": (setting("local", port=65536), "local.port is above 65535", "up to 65535"),
    "port zero in words": (setting("local", port="zero"), "local.port is not a whole number", ""),
    "an empty unique key": (
        lines("StudyInstanceUID,PatientID", f"{UID},", ",P00001"),
        "batch.csv:3: StudyInstanceUID is empty or only a wildcard in a C-MOVE", "Give every row",
    ),
    "a wildcard as the unique key": (
        lines("StudyInstanceUID", "*"), "batch.csv:2: StudyInstanceUID is empty or only a wildcard",
        "Give every row",
    ),
    "a wildcard in a list": (
        lines("StudyInstanceUID", f"{UID}\\*"), "batch.csv:2: StudyInstanceUID is empty or only",
        "Give every row",
    ),
    "no key at all": (
        without("request", "elements_batch_file"),
        "The C-MOVE has no key with a value, which would mean everything", "StudyInstanceUID",
    ),
    "no level": (
        setting("request", elements=["PatientID"]), "QueryRetrieveLevel is missing",
        "Add QueryRetrieveLevel=",
    ),
    "an anonymizer script that is empty": (
        anonymizing,
        "a.script: The anonymizer script changes nothing", "Enable its elements",
    ),
    "an impossible time": (
        setting("schedule", enabled=True, start_time="25:00", end_time="07:00"),
        "schedule.start_time", "",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", TABLE)
def test_what_can_be_known_beforehand_is_said_and_nothing_is_sent(
    tmp_path: Path, fake: FakeArchive, name: str
) -> None:
    """F22."""
    damage, problem, remedy = TABLE[name]
    job = move(tmp_path, fake)
    out = job.out
    damage(job)
    ended = within("run", str(job.config))
    assert ended.code == 2, ended.text
    first = sentences(ended)[0]
    assert problem in first
    assert remedy in first.partition(problem)[2]
    assert not fake.associations
    assert not out.exists()


def test_all_that_is_wrong_is_said_at_once(tmp_path: Path, fake: FakeArchive) -> None:
    job = move(tmp_path, fake)
    job.change("pacs", port=0, aet="A" * 17)
    job.change("request", thraeds=1, elements=["StudyDat"])
    found = sentences(job.run())
    assert len(found) == 4
    assert all(f"{job.config}:" in line for line in found)


def test_options_that_exclude_each_other_or_do_not_exist_are_refused(
    tmp_path: Path, fake: FakeArchive
) -> None:
    job = move(tmp_path, fake)
    for options in (("--only-failed", "--skip-failed"), ("--fast",), ("--limit", "0")):
        ended = job.run(*options)
        assert ended.code == 2
        assert "Error: " in ended.err
    assert not fake.associations


def test_a_port_in_use_is_said_before_anything_is_sent(tmp_path: Path, fake: FakeArchive) -> None:
    """F22."""
    with socket.create_server((LOOPBACK, 0)) as holder:
        job = move(tmp_path, fake, local={"port": holder.getsockname()[1]})
        ended = job.run()
    assert ended.code == 2
    (line,) = sentences(ended)
    assert f"Port {job.sections['local']['port']} is in use by another program" in line
    assert not fake.associations


def test_an_output_directory_that_is_a_file_is_fatal(tmp_path: Path, fake: FakeArchive) -> None:
    job = move(tmp_path, fake)
    job.out.write_text("in the way")
    ended = job.run()
    assert ended.code == 3
    assert len(sentences(ended)) == 1
    assert not fake.associations
    assert job.out.read_text() == "in the way"


def test_an_unreachable_archive_is_fatal_and_named(tmp_path: Path) -> None:
    port = free_port()
    job = move(tmp_path, Archive(port, "GONE"))
    ended = job.run()
    assert ended.code == 3
    (line,) = sentences(ended)
    assert line == (
        f"No listener at 127.0.0.1:{port}. Check pacs.port and that the archive is running."
    )
    assert "Extraction PAUSED: the archive cannot be reached" in ended.out
    assert job.command("status").out.splitlines()[:2] == ["1 requests", "         1  pending"]


@pytest.mark.parametrize(
    ("reject", "problem", "remedy"),
    [
        ((1, 1, 7), "The archive does not answer to the AE title FAKE", "Set pacs.aet"),
        ((1, 1, 3), f"does not recognise our AE title {AET}", f"register {AET}"),
        ((1, 1, 1), "rejected our association for good and gave no reason", "Ask"),
    ],
)
def test_an_archive_that_refuses_us_for_good_is_fatal(
    tmp_path: Path, reject: tuple[int, int, int], problem: str, remedy: str
) -> None:
    with FakeArchive(Script(reject=[reject] * 10)) as archive:
        ended = move(tmp_path, archive, request={"threads": 4}).run()
        assert archive.associations <= 4
    assert ended.code == 3
    (line,) = sentences(ended)
    assert problem in line
    assert remedy in line


def test_a_real_archive_of_another_title_is_fatal(tmp_path: Path, dcmqrscp: DcmqrscpServer) -> None:
    """F22."""
    ended = move(tmp_path, Archive(dcmqrscp.port, "ANOTHER")).run()
    assert ended.code == 3
    (line,) = sentences(ended)
    assert "ANOTHER" in line
    assert "pacs.aet" in line


def test_an_unknown_destination_stops_the_run_at_the_first_request(
    tmp_path: Path, dcmqrscp: DcmqrscpServer
) -> None:
    rows = [["StudyInstanceUID"], [UID], *([f"{UID}.{number}"] for number in range(20))]
    ended = move(tmp_path, dcmqrscp, rows).run()
    assert ended.code == 3
    (line,) = sentences(ended)
    assert line == (
        f"The archive does not know move destination {AET}. "
        f"Ask its administrator to register {AET} with our host and port."
    )
    assert "Requests finished in this run     0" in ended.out


def test_an_unknown_destination_of_orthanc_is_a_failed_row_with_a_hint(
    tmp_path: Path, orthanc: OrthancServer
) -> None:
    job = move(tmp_path, orthanc, request={"destination": "STRANGER"}, retry={"attempts": 2})
    ended = job.run()
    assert ended.code == 1
    (row,) = job.results()
    assert (row["Status"], row["Outcome"], row["Stored"]) == ("0xc000", "failed", "0")
    status = job.command("status")
    assert "line 2: failed" in status.out
    assert "that it knows move destination STRANGER" in status.out
    assert "after 2 attempts" in status.out


@pytest.mark.parametrize(
    ("rows", "warned"),
    [
        ([["StudyInstanceUID", "PatientID"], [UID, ""]], "PatientID is empty in a C-MOVE"),
        ([["AccessionNumber"], ["A0000101"]], "is without StudyInstanceUID and depends on"),
    ],
    ids=["blank PatientID", "AccessionNumber"],
)
def test_what_is_odd_but_usual_is_sent_with_a_warning(
    tmp_path: Path, orthanc: OrthancServer, rows: list[list[str]], warned: str
) -> None:
    job = move(tmp_path, orthanc, rows)
    ended = job.run()
    assert ended.code == 0, ended.text
    assert [line for line in ended.err.splitlines() if line.startswith("Warning: ")]
    assert warned in ended.err
    assert len(job.stored()) == 2


def test_a_blank_patient_id_of_study_root_leaves_as_an_empty_element(
    tmp_path: Path, fake: FakeArchive
) -> None:
    job = move(tmp_path, fake, [["StudyInstanceUID", "PatientID"], [UID, ""]])
    assert job.run().code == 0
    (asked,) = fake.asked
    assert asked.identifier["PatientID"].is_empty
    assert asked.identifier.StudyInstanceUID == UID


def test_a_batch_file_that_loses_its_rows_between_two_runs_is_refused(
    tmp_path: Path, fake: FakeArchive
) -> None:
    job = move(tmp_path, fake)
    assert job.run().code == 0
    job.batch.write_text("StudyInstanceUID\n")
    assert job.run().code == 2
    assert job.command("status").out.startswith("1 requests")


def test_commands_on_what_was_never_run_say_so(tmp_path: Path, fake: FakeArchive) -> None:
    job = move(tmp_path, fake)
    ended = job.command("status")
    assert ended.code == 2
    assert "Nothing of this extraction has been run yet" in ended.err
    assert not job.out.exists()


def test_a_secret_of_the_environment_is_not_repeated_in_an_error(
    tmp_path: Path, fake: FakeArchive
) -> None:
    job = move(tmp_path, fake)
    content = job.config.read_text().replace(f"aet: {fake.aet}", "aet: ${ARCHIVE_TITLE}")
    job.config.write_text(content)
    secret = "s3cret-and-far-too-long-a-title"
    ended = command("run", str(job.config), cwd=tmp_path, environ={"ARCHIVE_TITLE": secret})
    assert ended.code == 2
    assert "s3cret" not in ended.text
    assert command("run", str(job.config), cwd=tmp_path).code == 2
    assert command(
        "run", str(job.config), cwd=tmp_path, environ={"ARCHIVE_TITLE": fake.aet}
    ).code == 0  # fmt: skip


def test_the_help_needs_nothing(tmp_path: Path) -> None:
    ended = command("--help", cwd=tmp_path)
    assert ended.code == 0
    for name in ("run", "check", "status", "demo"):
        assert name in ended.out
    assert command("--version", cwd=tmp_path).code == 0
    assert not list(tmp_path.iterdir())


def test_a_final_status_that_nobody_knows_fails_its_row_alone(tmp_path: Path) -> None:
    answers = [[Final(status=0xC123)], [Final(status=0xC123)], [Final(completed=0)]]
    rows = [["StudyInstanceUID"], ["1.2.3"], ["1.2.4"]]
    with FakeArchive(Script(answers=answers)) as archive:
        job = move(tmp_path, archive, rows, retry={"attempts": 1})
        ended = job.run()
    assert ended.code == 1
    assert [row["Status"] for row in job.results()] == ["0xc123", "0xc123"]
