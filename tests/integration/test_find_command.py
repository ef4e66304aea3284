"""`pydicombatch find` on real archives, a worklist server, and one that misbehaves."""

import csv
import io
import json
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian

from pydicombatch import find
from pydicombatch.core.elements import parse_key, to_dataset
from pydicombatch.core.errors import ConfigError, FatalError, RequestError
from tests.conftest import Server
from tests.support.extraction import Ended, Job, command
from tests.support.fake_archive import FakeArchive, Final, Pending, Script, Sleep
from tests.support.instances import Spec, files, specs, to_bytes
from tests.support.orthanc import OrthancServer
from tests.support.ports import LOOPBACK, free_port, wait_for_port
from tests.support.servers import program

STUDY = Spec().study_uid
ACCENTS = Spec(patient=9, patient_name="Müller^Jürgen", charset="ISO_IR 100")


@pytest.fixture(scope="module")
def loaded() -> list[bytes]:
    return [*files(specs(patients=2, studies=2, series=2, instances=2)), *files(iter([ACCENTS]))]


def file_meta(sop_class: str) -> FileMetaDataset:
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = UID(sop_class), UID("1.2.3")
    return meta


def ask(server: Server | FakeArchive, folder: Path, *words: str) -> Ended:
    where = ("--hostname", LOOPBACK, "--port", str(server.port), "--aet", server.aet)
    return command("find", *where, *words, cwd=folder)


def cells(ended: Ended) -> list[list[str]]:
    return list(csv.reader(io.StringIO(ended.out)))


@pytest.mark.parametrize(
    "words",
    [
        ["-k", "PatientID=P00001", "-k", "StudyInstanceUID", "-k", "StudyDate"],
        ["-k", "(0010,0020)=P00001", "-k", "(0020,000D)", "-k", "(0008,0020)"],
        ["--key", "PatientID = P00001", "-k", "StudyInstanceUID", "-k", "StudyDate",
         "--level", "study", "--model", "study"],
        ["-k", "QueryRetrieveLevel=STUDY", "-k", "PatientID=P00001", "-k", "0020000d",
         "-k", "StudyDate", "--model", "patient"],
    ],
)  # fmt: skip
def test_one_query_is_written_in_many_ways(
    server: Server, tmp_path: Path, words: list[str]
) -> None:
    ended = ask(server, tmp_path, *words, "--format", "csv")
    assert ended.code == 0, ended.err
    header, *rows = cells(ended)
    assert header == ["PatientID", "StudyInstanceUID", "StudyDate"]
    expected = [["P00001", Spec(1, number).study_uid, "20200102"] for number in (1, 2)]
    assert sorted(rows) == expected
    assert "2 matches" in ended.err


def test_the_table_is_the_default(server: Server, tmp_path: Path) -> None:
    ended = ask(server, tmp_path, "-k", "PatientID=P00002", "-k", "AccessionNumber")
    assert ended.code == 0
    lines = ended.out.splitlines()
    assert lines[:2] == ["PatientID  AccessionNumber", "---------  ---------------"]
    assert sorted(lines[2:]) == ["P00002     A0000201", "P00002     A0000202"]


def test_json_and_files_hold_what_the_archive_sent(server: Server, tmp_path: Path) -> None:
    words = ["-k", "PatientID=P00009", "-k", "PatientName", "--model", "patient",
             "--level", "PATIENT"]  # fmt: skip
    ended = ask(server, tmp_path, *words, "--format", "json", "--output", "found.json")
    assert (ended.code, ended.out) == (0, "")
    written = tmp_path / "found.json"
    assert stat.S_IMODE(written.stat().st_mode) == 0o600
    (one,) = json.loads(written.read_text("utf-8"))
    assert one["00100010"]["Value"] == [{"Alphabetic": "Müller^Jürgen"}]
    ended = ask(server, tmp_path, *words, "--format", "dicom", "--output", "found")
    assert ended.code == 0, ended.err
    (path,) = (tmp_path / "found").iterdir()
    assert dcmread(path).PatientName == "Müller^Jürgen"
    again = ask(server, tmp_path, *words, "--format", "dicom", "--output", "found")
    assert again.code == 2
    assert "earlier query" in again.err


def test_a_query_file_is_overridden_by_keys(orthanc: OrthancServer, tmp_path: Path) -> None:
    wanted = ("PatientID=P00001", "StudyInstanceUID", "QueryRetrieveLevel=STUDY")
    query = to_dataset(map(parse_key, wanted))
    query.file_meta = file_meta("1.2.840.10008.5.1.4.1.2.2.1")
    (tmp_path / "query.dcm").write_bytes(to_bytes(query))
    (tmp_path / "query.json").write_text(json.dumps(query.to_json_dict()))
    (tmp_path / "query.yml").write_text("PatientID: P00001\nStudyInstanceUID:\n")
    for name in ("query.dcm", "query.json", "query.yml"):
        first = ask(orthanc, tmp_path, name, "--format", "csv")
        second = ask(orthanc, tmp_path, name, "-k", "PatientID=P00002", "--format", "csv")
        uids = [{row[1] for row in cells(one)[1:]} for one in (first, second)]
        expected = [{Spec(patient, n).study_uid for n in (1, 2)} for patient in (1, 2)]
        assert uids == expected, name


def test_a_key_inside_a_sequence_is_sent_and_shown(orthanc: OrthancServer, tmp_path: Path) -> None:
    code = "ProcedureCodeSequence[0].CodeValue"
    ended = ask(orthanc, tmp_path, "-k", "PatientID=P00001", "-k", code, "--format", "csv")
    assert cells(ended)[0] == ["PatientID", code]
    assert len(cells(ended)) == 3


def test_text_outside_ascii_is_found_in_the_character_set_of_the_archive(
    server: Server, tmp_path: Path
) -> None:
    words = ("-k", "PatientName=Müller*", "-k", "PatientID", "--format", "csv")
    ended = ask(server, tmp_path, *words, "--charset", "ISO_IR 100")
    assert cells(ended)[1:] == [["Müller^Jürgen", "P00009"]], ended.err
    wrong = ask(server, tmp_path, *words, "--charset", "ISO_IR 999")
    assert wrong.code == 2
    assert "character set" in wrong.err


def test_nothing_that_matches_is_a_success_unless_asked_otherwise(
    server: Server, tmp_path: Path
) -> None:
    words = ("-k", "PatientID=NOBODY")
    assert ask(server, tmp_path, *words).code == 0
    ended = ask(server, tmp_path, *words, "--fail-on-empty", "--format", "json")
    assert (ended.code, json.loads(ended.out)) == (1, [])


def test_a_limit_ends_the_query(server: Server, tmp_path: Path) -> None:
    words = ("-k", "PatientID", "-k", "StudyInstanceUID", "--format", "csv", "--limit", "2")
    ended = ask(server, tmp_path, *words)
    assert (ended.code, len(cells(ended))) == (0, 3)
    assert "as many as --limit allows" in ended.err


def test_the_connection_comes_from_a_configuration(orthanc: OrthancServer, tmp_path: Path) -> None:
    job = Job(tmp_path, orthanc, free_port(), "c-find", ["QueryRetrieveLevel=STUDY"])
    words = ("-k", "PatientID=P00001", "-k", "StudyDate", "--format", "csv")
    ended = command("find", "--config", str(job.config), *words, cwd=tmp_path)
    assert len(cells(ended)) == 3, ended.err
    ended = command(
        "find", "--config", str(job.config), "--port", str(free_port()), *words, cwd=tmp_path
    )
    assert ended.code == 3
    assert "No listener" in ended.err
    assert not job.out.exists()


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ([], 2, "Nothing says which archive"),
        (["--hostname", "no.such.host.invalid"], 3, "does not resolve"),
        (["--hostname", LOOPBACK, "--calling-aet", "far too long a title"], 2, "AE title"),
        (["--hostname", LOOPBACK, "-k", "PatientIDs"], 2, "Did you mean"),
        (["--hostname", LOOPBACK, "-k", "Rows=many"], 2, "cannot take its value"),
        (["nothing.json", "--hostname", LOOPBACK], 2, "cannot be read"),
        (["--hostname", LOOPBACK, "--format", "dicom"], 2, "--output"),
    ],
)
def test_mistakes_are_one_sentence_with_a_remedy(
    words: list[str], code: int, said: str, tmp_path: Path
) -> None:
    ended = command("find", "-k", "PatientID=1", *words, cwd=tmp_path)
    assert (ended.code, ended.out) == (code, "")
    assert said in ended.err


def test_a_model_that_is_not_offered_is_named(orthanc: OrthancServer, tmp_path: Path) -> None:
    ended = ask(orthanc, tmp_path, "-k", "PatientID=1", "--model", "psonly")
    assert ended.code == 3
    assert "does not offer the psonly model" in ended.err
    ended = ask(orthanc, tmp_path, "-k", "PatientID=1", "--model", "worklist")
    assert ended.code == 3


@pytest.fixture(scope="module")
def worklist(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """A worklist server of DCMTK with three entries."""
    folder = tmp_path_factory.mktemp("worklist")
    place = folder / "WORKLIST"
    place.mkdir()
    (place / "lockfile").touch()
    for number, modality in enumerate(["CT", "MR", "CT"]):
        step = Dataset()
        step.Modality, step.ScheduledStationAETitle = modality, "STATION"
        step.ScheduledProcedureStepStartDate = "20260101"
        step.ScheduledProcedureStepStartTime = "080000"
        step.ScheduledProcedureStepDescription = "Thorax"
        step.ScheduledProcedureStepID = str(number)
        entry = Dataset()
        entry.SpecificCharacterSet = "ISO_IR 100"
        entry.PatientID, entry.PatientName = f"W{number}", "Prüfling^Åsa"
        entry.StudyInstanceUID, entry.RequestedProcedureID = f"1.2.3.{number}", str(number)
        entry.RequestedProcedureDescription = "CT of the chest"
        entry.ScheduledProcedureStepSequence = [step]
        entry.file_meta = file_meta("1.2.840.10008.5.1.4.31")
        (place / f"{number}.wl").write_bytes(to_bytes(entry))
    port = free_port()
    arguments = [program("wlmscpfs"), "-dfr", "-dfp", str(folder), str(port)]
    with (
        (folder / "log").open("wb") as log,
        subprocess.Popen(arguments, stdout=log, stderr=log) as process,
    ):
        wait_for_port(port, 20)
        yield port
        process.terminate()


def test_a_worklist_is_queried_by_keys_in_its_sequence(worklist: int, tmp_path: Path) -> None:
    step = "ScheduledProcedureStepSequence[0]"
    ended = command(
        "find", "--hostname", LOOPBACK, "--port", str(worklist), "--aet", "WORKLIST",
        "--model", "worklist", "-k", "PatientID", "-k", "PatientName",
        "-k", f"{step}.Modality=CT", "-k", f"{step}.ScheduledProcedureStepStartDate",
        "--format", "csv", "--charset", "ISO_IR 100", cwd=tmp_path,
    )  # fmt: skip
    assert ended.code == 0, ended.err
    header, *rows = cells(ended)
    assert header[2:] == [f"{step}.Modality", f"{step}.ScheduledProcedureStepStartDate"]
    assert sorted(rows) == [[f"W{n}", "Prüfling^Åsa", "CT", "20260101"] for n in (0, 2)]


def match(number: int) -> Dataset:
    found = Dataset()
    found.PatientID = f"P{number}"
    return found


def fake(*steps: Pending | Final | Sleep) -> FakeArchive:
    return FakeArchive(Script(answers=[list(steps)]))


def test_keys_that_an_archive_ignores_are_warned_of(tmp_path: Path) -> None:
    with fake(Pending(match=match(1)), Pending(status=0xFF01, match=match(2)), Final()) as archive:
        ended = ask(archive, tmp_path, "-k", "PatientID", "--format", "csv")
    assert (ended.code, cells(ended)[1:]) == (0, [["P1"], ["P2"]])
    assert "does not support every optional key" in ended.err


def test_a_limit_sends_a_cancel_and_takes_no_more(tmp_path: Path) -> None:
    many = [Pending(match=match(number)) for number in range(50)]
    with fake(*many[:5], Sleep(0.3), *many[5:], Final(0xFE00)) as archive:
        ended = ask(archive, tmp_path, "-k", "PatientID", "--limit", "3", "--format", "csv")
        assert (ended.code, cells(ended)[1:]) == (0, [["P0"], ["P1"], ["P2"]])
        assert len(archive.cancelled) == 1


def test_an_archive_that_goes_on_for_ever_after_a_cancel_is_left(tmp_path: Path) -> None:
    with fake(*[Pending(match=match(1))] * 3, Sleep(60), Final()) as archive:
        ended = ask(archive, tmp_path, "-k", "PatientID", "--limit", "1", "--format", "csv")
        assert (ended.code, cells(ended)[1:]) == (0, [["P1"]])


@pytest.mark.parametrize(("status", "code"), [(0xA700, 1), (0xA900, 1), (0xC001, 1), (0x0122, 3)])
def test_a_status_of_failure_is_one_sentence_behind_what_was_found(
    status: int, code: int, tmp_path: Path
) -> None:
    with fake(Pending(match=match(1)), Final(status, comment="no\x1b luck")) as archive:
        ended = ask(archive, tmp_path, "-k", "PatientID", "--format", "json")
    assert ended.code == code
    assert [one["00100020"]["Value"] for one in json.loads(ended.out)] == [["P1"]]
    assert ended.err.count("\n") == 1
    assert "no\\x1b luck" in ended.err


def test_a_program_gets_a_data_frame(server: Server) -> None:
    frame = find(
        "PatientID=P00001", "StudyInstanceUID", "AccessionNumber",
        hostname=LOOPBACK, port=server.port, aet=server.aet,
    )  # fmt: skip
    assert list(frame.columns) == ["PatientID", "StudyInstanceUID", "AccessionNumber"]
    assert sorted(frame.AccessionNumber) == ["A0000101", "A0000102"]
    none = find("PatientID=NOBODY", hostname=LOOPBACK, port=server.port, aet=server.aet)
    assert (list(none.columns), len(none)) == (["PatientID"], 0)


def test_a_program_hears_warnings_and_errors(tmp_path: Path) -> None:
    heard: list[str] = []
    with fake(Pending(status=0xFF01, match=match(1)), Final()) as archive:
        frame = find(
            "PatientID", hostname=LOOPBACK, port=archive.port, level="SERIES",
            on_warning=heard.append,
        )  # fmt: skip
    assert list(frame.PatientID) == ["P1"]
    assert len(heard) == 2
    with fake(Final(0xA900)) as archive, pytest.raises(RequestError):
        find("PatientID", hostname=LOOPBACK, port=archive.port)
    with pytest.raises(FatalError):
        find("PatientID", hostname=LOOPBACK, port=free_port())
    with pytest.raises(ConfigError):
        find("PatientID", hostname=LOOPBACK, model="nonsense")
