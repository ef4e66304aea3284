"""Configurations of pydicom-batch run as they are; only host, port and paths are their own."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from openpyxl import Workbook
from pydicom.dataset import Dataset

from tests.conftest import DcmqrscpFactory, OrthancFactory
from tests.support.dcmqrscp import DcmqrscpServer
from tests.support.extraction import AET, ROOT, Ended, command
from tests.support.instances import Spec, dataset, files, specs, to_bytes
from tests.support.orthanc import OrthancServer
from tests.support.ports import free_port
from tests.support.written import header_of, rows_of, stored, write_csv

LOCAL_PORT = free_port()
SAMPLES = ROOT / "config"
# The patients and series that the batch files of the samples name.
SAMPLE_ROOT = "1.2.826.0.1.3680043.10.1234"
SAMPLE_SERIES = [
    ("00000101", f"{SAMPLE_ROOT}.1", f"{SAMPLE_ROOT}.1.1"),
    ("00000101", f"{SAMPLE_ROOT}.1", f"{SAMPLE_ROOT}.1.2"),
    ("00000102", f"{SAMPLE_ROOT}.2", f"{SAMPLE_ROOT}.2.1"),
]
PAIR = 7  # a patient whose study has two series
SINGLE = 8  # patients whose studies have two series of one instance each
SINGLES = [Spec(SINGLE, study, series, 1) for study in range(1, 5) for series in (1, 2)]


def sample_instances() -> Iterator[Dataset]:
    for patient, study, series in SAMPLE_SERIES:
        for number in (1, 2):
            ds = dataset(Spec(instance=number))
            ds.PatientID, ds.StudyInstanceUID, ds.SeriesInstanceUID = patient, study, series
            ds.SOPInstanceUID = f"{series}.{number}"
            ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
            ds.PatientName = f"Sample^{patient}"
            yield ds


@pytest.fixture(scope="module")
def orthanc(start_orthanc: OrthancFactory) -> OrthancServer:
    server = start_orthanc([(AET, LOCAL_PORT)])
    server.load(map(to_bytes, sample_instances()))
    server.load(files(Spec(PAIR, 1, series, n) for series in (1, 2) for n in range(1, 6)))
    server.load(files(iter(SINGLES)))
    return server


@pytest.fixture(scope="module")
def dcmqrscp(start_dcmqrscp: DcmqrscpFactory) -> DcmqrscpServer:
    server = start_dcmqrscp([(AET, LOCAL_PORT)])
    server.load(files(specs(patients=2, series=2, instances=2)))
    return server


def founding(
    folder: Path,
    archive: OrthancServer | DcmqrscpServer,
    request: str,
    output: str = "  directory: out",
    rows: list[list[str]] | None = None,
) -> Path:
    """Write a configuration by hand, as operators do, with nothing in it that can be left out."""
    if rows:
        write_csv(folder / "batch.csv", rows)
        request += "\n  elements_batch_file: batch.csv"
    config = folder / "config.yml"
    config.write_text(
        f"pacs:\n  hostname: 127.0.0.1\n  port: {archive.port}\n  aet: {archive.aet}\n"
        f"local:\n  port: {LOCAL_PORT}\n  aet: {AET}\n"
        f"request:\n{request}\noutput:\n{output}\n",
        encoding="utf-8",
    )
    return config


def run(config: Path, *options: str) -> Ended:
    return command("run", str(config), *options, cwd=config.parent)


@pytest.fixture
def samples(tmp_path: Path, orthanc: OrthancServer) -> Path:
    """Copy the samples into a folder to start from, with the ports of here."""
    shutil.copytree(SAMPLES, tmp_path / "config")
    for file in (tmp_path / "config").glob("*.yml"):
        text = file.read_text(encoding="utf-8")
        assert "port: 4242" in text
        assert "port: 4006" in text
        text = text.replace("port: 4242", f"port: {orthanc.port}")
        file.write_text(text.replace("port: 4006", f"port: {LOCAL_PORT}"), encoding="utf-8")
    return tmp_path


def test_the_sample_of_a_find_runs_as_it_is(samples: Path) -> None:
    ended = command("config/sample-c-find-config.yml", cwd=samples)
    assert ended.code == 0, ended.text
    for said in (
        "Running extraction defined in: config/sample-c-find-config.yml",
        "Anonymization DISABLED",
        "To stop extraction, press CTRL-C. Extraction can be resumed at a later time.",
    ):
        assert said in ended.out
    library = samples / "extraction" / "c-find" / "library.csv"
    assert header_of(library) == [
        "Modality", "NumberOfSeriesRelatedInstances", "PatientID", "PatientName",
        "QueryRetrieveLevel", "SeriesDescription", "SeriesInstanceUID", "StudyDate",
        "StudyInstanceUID",
    ]  # fmt: skip
    rows = rows_of(library)
    found = [(row["PatientID"], row["StudyInstanceUID"], row["SeriesInstanceUID"]) for row in rows]
    assert sorted(found) == sorted(SAMPLE_SERIES)
    assert {row["NumberOfSeriesRelatedInstances"] for row in rows} == {"2"}


def test_the_sample_of_a_move_runs_as_it_is(samples: Path) -> None:
    ended = command("run", "config/sample-c-move-config.yml", cwd=samples)
    assert ended.code == 0, ended.text
    assert f"Starting local storage SCP server on port {LOCAL_PORT}" in ended.out
    folder = samples / "extraction" / "c-move"
    assert {str(file.path.relative_to(folder)) for file in stored(folder).values()} == {
        f"{patient}/{study}/{series}/{number}.dcm"
        for patient, study, series in SAMPLE_SERIES
        for number in (1, 2)
    }
    rows = rows_of(folder / "database.csv")
    assert [(row["SeriesInstanceUID"], row["Status"]) for row in rows] == [
        (series, "0x0") for _, _, series in SAMPLE_SERIES
    ]


def test_elements_may_be_keywords_tags_and_values_with_stray_spaces(
    tmp_path: Path, orthanc: OrthancServer
) -> None:
    request = (
        "  type: c-find\n  model: patient\n  elements:\n"
        "    - QueryRetrieveLevel=SERIES \n"
        "    -  PatientID = 00000101 \n"
        "    - (0010,0010)\n"
        "    - ' StudyInstanceUID'\n"
        "    - (0008,0060)=CT\n"
        "    - 'SeriesInstanceUID '\n"
    )
    ended = run(founding(tmp_path, orthanc, request))
    assert ended.code == 0, ended.text
    rows = rows_of(tmp_path / "out" / "library.csv")
    assert list(rows[0]) == [
        "Modality", "PatientID", "PatientName", "QueryRetrieveLevel", "SeriesInstanceUID",
        "StudyInstanceUID",
    ]  # fmt: skip
    assert {row["SeriesInstanceUID"] for row in rows} == {s for p, _, s in SAMPLE_SERIES[:2]}
    assert {row["PatientName"] for row in rows} == {"Sample^00000101"}


@pytest.mark.parametrize("name", ["PatientID", "(0010,0020)", " (0010,0020) ", "00100020"])
def test_columns_override_and_add_to_the_elements_of_each_row(
    tmp_path: Path, orthanc: OrthancServer, name: str
) -> None:
    request = (
        "  type: c-find\n  model: patient\n  elements:\n    - QueryRetrieveLevel=STUDY\n"
        "    - PatientID=NOBODY\n    - StudyInstanceUID"
    )
    rows = [[name, "StudyDate"], ["00000101", ""], ["00000102", "20200102"], ["00000102", "1999"]]
    ended = run(founding(tmp_path, orthanc, request, rows=rows[:3]))
    assert ended.code == 0, ended.text
    found = rows_of(tmp_path / "out" / "library.csv")
    assert [(row["PatientID"], row["StudyInstanceUID"], row["StudyDate"]) for row in found] == [
        ("00000101", f"{SAMPLE_ROOT}.1", "20200102"),
        ("00000102", f"{SAMPLE_ROOT}.2", "20200102"),
    ]


def test_a_spreadsheet_is_a_batch_file_too(tmp_path: Path, orthanc: OrthancServer) -> None:
    book = Workbook()
    sheet = book.active
    assert sheet is not None
    sheet.append(["PatientID", "StudyInstanceUID"])
    sheet.append(["00000102", f"{SAMPLE_ROOT}.2"])
    sheet.append([101, f"{SAMPLE_ROOT}.1"])
    sheet["A3"].number_format = "00000000"
    book.save(tmp_path / "batch.xlsx")
    request = (
        "  type: c-move\n  elements:\n    - QueryRetrieveLevel=STUDY\n"
        "  elements_batch_file: batch.xlsx"
    )
    ended = run(founding(tmp_path, orthanc, request))
    assert ended.code == 0, ended.text
    rows = rows_of(tmp_path / "out" / "database.csv")
    assert [(row["PatientID"], row["Stored"]) for row in rows] == [
        ("00000102", "2"),
        ("00000101", "4"),
    ]
    assert len(stored(tmp_path / "out")) == 6


def test_what_is_missing_has_defaults(tmp_path: Path, orthanc: OrthancServer) -> None:
    request = (
        "  type: c-move\n  elements:\n    - QueryRetrieveLevel=STUDY\n    - PatientID=P00007\n"
        f"    - StudyInstanceUID={Spec(PAIR).study_uid}"
    )
    ended = run(founding(tmp_path, orthanc, request))
    assert ended.code == 0, ended.text
    out = tmp_path / "out"
    expected = [Spec(PAIR, 1, series, n) for series in (1, 2) for n in range(1, 6)]
    assert {str(file.path.relative_to(out)) for file in stored(out).values()} == {
        f"{one.patient_id}/{one.study_uid}/{one.series_uid}/{one.sop_uid}.dcm" for one in expected
    }
    assert [row["Outcome"] for row in rows_of(out / "database.csv")] == ["complete"]


@pytest.mark.parametrize("key", ["library_file", "database_file"])
@pytest.mark.parametrize("kind", ["c-find", "c-move"])
def test_both_names_of_the_results_mean_the_same(
    tmp_path: Path, orthanc: OrthancServer, key: str, kind: str
) -> None:
    request = (
        f"  type: {kind}\n  model: study\n  elements:\n    - QueryRetrieveLevel=STUDY\n"
        f"    - StudyInstanceUID={SAMPLE_ROOT}.1"
    )
    ended = run(founding(tmp_path, orthanc, request, f"  directory: out\n  {key}: mine.csv"))
    assert ended.code == 0, ended.text
    (row,) = rows_of(tmp_path / "out" / "mine.csv")
    assert row["StudyInstanceUID"] == f"{SAMPLE_ROOT}.1"


def test_settings_for_anonymizing_in_the_output_section_are_retired_with_a_warning(
    tmp_path: Path, orthanc: OrthancServer
) -> None:
    request = "  type: c-echo"
    output = "  directory: out\n  anonymization_script: a.script\n  anonymization_lookup_table: b"
    ended = run(founding(tmp_path, orthanc, request, output))
    assert ended.code == 0, ended.text
    warnings = [line for line in ended.err.splitlines() if line.startswith("Warning: ")]
    assert len(warnings) == 2
    assert "config.yml:12: output.anonymization_script is retired and has no effect" in warnings[0]
    assert "anonymization.lookup_table" in warnings[1]


def test_an_unknown_element_is_named_with_its_line_and_the_nearest_keywords(
    tmp_path: Path, orthanc: OrthancServer
) -> None:
    request = (
        "  type: c-find\n  elements:\n    - QueryRetrieveLevel=STUDY\n    - StudyDat\n"
        "    - PatientIdd=1"
    )
    ended = run(founding(tmp_path, orthanc, request))
    assert ended.code == 2
    first, second = (line for line in ended.err.splitlines() if "config.yml:" in line)
    assert "config.yml:12: " in first
    assert "StudyDat" in first
    assert "StudyDate" in first.partition(". ")[2]
    assert "config.yml:13: " in second
    assert "PatientID" in second.partition(". ")[2]
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("model", "level"), [("patient", "PATIENT"), ("study", "STUDY")])
def test_orthanc_answers_patient_and_study_root(
    tmp_path: Path, orthanc: OrthancServer, model: str, level: str
) -> None:
    request = (
        f"  type: c-find\n  model: {model}\n  elements:\n"
        f"    - QueryRetrieveLevel={level}\n    - PatientID=00000102"
    )
    assert run(founding(tmp_path, orthanc, request)).code == 0
    (row,) = rows_of(tmp_path / "out" / "library.csv")
    assert row["PatientID"] == "00000102"


def test_psonly_finds_and_moves_on_dcmqrscp(tmp_path: Path, dcmqrscp: DcmqrscpServer) -> None:
    request = (
        "  type: {}\n  model: psonly\n  elements:\n    - QueryRetrieveLevel=STUDY\n"
        "    - PatientID=P00001\n    - StudyInstanceUID"
    )
    assert run(founding(tmp_path, dcmqrscp, request.format("c-find"))).code == 0
    (row,) = rows_of(tmp_path / "out" / "library.csv")
    assert row["StudyInstanceUID"] == Spec(1).study_uid
    move = request.format("c-move") + f"={Spec(1).study_uid}"
    ended = run(founding(tmp_path, dcmqrscp, move, "  directory: moved"))
    assert ended.code == 0, ended.text
    expected = {one.sop_uid for one in specs(series=2, instances=2)}
    assert set(stored(tmp_path / "moved")) == expected


@pytest.mark.parametrize("kind", ["c-find", "c-move"])
def test_psonly_is_refused_by_orthanc_and_the_message_names_the_model(
    tmp_path: Path, orthanc: OrthancServer, kind: str
) -> None:
    request = (
        f"  type: {kind}\n  model: psonly\n  elements:\n    - QueryRetrieveLevel=STUDY\n"
        f"    - PatientID=00000102\n    - StudyInstanceUID={SAMPLE_ROOT}.2"
    )
    ended = run(founding(tmp_path, orthanc, request))
    assert ended.code == 3
    (line,) = [line for line in ended.err.splitlines() if not line.startswith("Warning")]
    assert "Patient/Study Only" in line or "psonly" in line
    assert "request.model" in line


COLLIDING = (
    "  directory: {}\n  directory_structure: PatientID/StudyInstanceUID\n  filename: InstanceNumber"
)


@pytest.mark.parametrize(
    ("rows", "count"),
    [
        ([["StudyInstanceUID"], [Spec(PAIR).study_uid]], 10),
        ([["StudyInstanceUID"], *([uid] for uid in sorted({s.study_uid for s in SINGLES}))], 8),
    ],
    ids=["two-series", "one-instance-each"],
)
def test_instances_whose_names_collide_are_all_kept_under_the_same_names_every_time(
    tmp_path: Path, orthanc: OrthancServer, rows: list[list[str]], count: int
) -> None:
    request = "  type: c-move\n  model: study\n  elements:\n    - QueryRetrieveLevel=STUDY"
    names = []
    for directory in ("first", "second"):
        config = founding(tmp_path, orthanc, request, COLLIDING.format(directory), rows)
        ended = run(config)
        assert ended.code == 0, ended.text
        assert f"Names that were taken already     {count // 2}" in ended.out
        found = stored(tmp_path / directory)
        root = tmp_path / directory
        names.append({uid: str(one.path.relative_to(root)) for uid, one in found.items()})
    first, second = names
    assert len(first) == count
    assert len(set(first.values())) == count
    assert sum("~" in name for name in first.values()) == count // 2
    assert first == second
    status = command("status", str(config), cwd=tmp_path)
    assert f"{count // 2} instances got a name of their own" in status.out
