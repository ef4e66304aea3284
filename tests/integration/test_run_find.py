"""C-FIND into the CSV of results, by the command line, on a real Orthanc."""

from pathlib import Path

import pytest
from pydicom.dataset import Dataset

from pydicombatch import Extraction
from tests.conftest import OrthancFactory
from tests.support.extraction import Job
from tests.support.instances import Spec, dataset, specs, to_bytes
from tests.support.orthanc import OrthancServer
from tests.support.ports import free_port
from tests.support.written import header_of

PATIENTS = 3
NAMES = {1: "Müller^Jürgen", 2: "Ångström^Éloïse", 3: "Synthetic^Patient"}


def loaded(spec: Spec) -> Dataset:
    """Make an instance whose patient has a name with accents and two image types."""
    ds = dataset(spec)
    ds.PatientName = NAMES[spec.patient]
    ds.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    ds.SeriesDescription = f'Thorax, "{spec.series}"'
    if spec.patient == 3:
        del ds.AccessionNumber
        del ds.SeriesDescription
    return ds


SPECS = list(specs(patients=PATIENTS, studies=2, series=2, instances=3))


@pytest.fixture(scope="module")
def orthanc(start_orthanc: OrthancFactory) -> OrthancServer:
    server = start_orthanc()
    server.load(to_bytes(loaded(spec)) for spec in SPECS)
    return server


def find(
    folder: Path, server: OrthancServer, elements: list[str], rows: list[list[str]], model: str
) -> Job:
    return Job(folder, server, free_port(), "c-find", elements, rows, request={"model": model})


def values(spec: Spec, *keywords: str) -> tuple[str, ...]:
    ds = loaded(spec)
    found = (ds.get(keyword, "") for keyword in keywords)
    return tuple("\\".join(map(str, one)) if one.__class__.__name__ == "MultiValue" else str(one)
                 for one in found)  # fmt: skip


LEVELS = [
    ("PATIENT", "patient", ["PatientID"], ["PatientName", "PatientSex", "PatientBirthDate"]),
    (
        "STUDY", "study", ["StudyInstanceUID"],
        ["PatientID", "PatientName", "StudyDate", "AccessionNumber", "StudyDescription"],
    ),
    (
        "SERIES", "study", ["StudyInstanceUID"],
        ["SeriesInstanceUID", "SeriesNumber", "Modality", "SeriesDescription"],
    ),
    (
        "IMAGE", "study", ["StudyInstanceUID", "SeriesInstanceUID"],
        ["SOPInstanceUID", "SOPClassUID", "InstanceNumber", "ImageType"],
    ),
]  # fmt: skip


@pytest.mark.parametrize(("level", "model", "keys", "asked"), LEVELS, ids=[x[0] for x in LEVELS])
def test_every_match_of_every_row_is_in_the_csv_as_it_was_loaded(
    tmp_path: Path,
    orthanc: OrthancServer,
    level: str,
    model: str,
    keys: list[str],
    asked: list[str],
) -> None:
    rows = list(dict.fromkeys(values(spec, *keys) for spec in SPECS))
    elements = [f"QueryRetrieveLevel={level}", *asked]
    job = find(tmp_path, orthanc, elements, [keys, *map(list, rows)], model)
    ended = job.run()
    assert ended.code == 0, ended.text
    columns = sorted(["QueryRetrieveLevel", *asked, *keys])
    assert header_of(job.results_file) == columns
    names = [one for one in columns if one != "QueryRetrieveLevel"]
    found = [tuple(row[name] for name in names) for row in job.results()]
    expected = {values(spec, *names) for spec in SPECS}
    assert sorted(found) == sorted(expected)
    assert {row["QueryRetrieveLevel"] for row in job.results()} == {level}


def test_rows_stand_in_the_order_of_the_batch_file_whatever_the_threads_did(
    tmp_path: Path, orthanc: OrthancServer
) -> None:
    uids = list(dict.fromkeys(spec.study_uid for spec in reversed(SPECS)))
    elements = ["QueryRetrieveLevel=STUDY", "PatientName"]
    rows = [["StudyInstanceUID"], *([uid] for uid in uids)]
    job = find(tmp_path, orthanc, elements, rows, "study")
    job.change("request", threads=4)
    assert job.run().code == 0
    assert [row["StudyInstanceUID"] for row in job.results()] == uids


def test_several_values_are_joined_by_a_backslash_and_missing_ones_are_empty_cells(
    tmp_path: Path, orthanc: OrthancServer
) -> None:
    elements = ["QueryRetrieveLevel=STUDY", "AccessionNumber", "ModalitiesInStudy", "(0009,1001)"]
    rows = [["StudyInstanceUID"], [Spec(3).study_uid], [Spec(1).study_uid]]
    job = find(tmp_path, orthanc, elements, rows, "study")
    assert job.run().code == 0
    first, second = job.results()
    assert header_of(job.results_file) == [
        "(0009,1001)", "AccessionNumber", "ModalitiesInStudy", "QueryRetrieveLevel",
        "StudyInstanceUID",
    ]  # fmt: skip
    assert (first["AccessionNumber"], first["(0009,1001)"]) == ("", "")
    assert second["AccessionNumber"] == "A0000101"
    assert second["ModalitiesInStudy"] == "CT"


def test_accents_can_be_asked_for_and_come_back(tmp_path: Path, orthanc: OrthancServer) -> None:
    elements = ["QueryRetrieveLevel=PATIENT", "PatientID"]
    job = find(tmp_path, orthanc, elements, [["PatientName"], ["Müller*"]], "patient")
    assert job.run().code == 0
    assert [(row["PatientID"], row["PatientName"]) for row in job.results()] == [
        ("P00001", "Müller^Jürgen")
    ]


def test_a_query_that_matches_nothing_is_complete_unless_the_operator_says_otherwise(
    tmp_path: Path, orthanc: OrthancServer
) -> None:
    elements = ["QueryRetrieveLevel=STUDY", "StudyInstanceUID"]
    job = find(tmp_path, orthanc, elements, [["PatientID"], ["P00001"], ["NOBODY"]], "study")
    ended = job.run()
    assert ended.code == 0
    assert len(job.results()) == 2
    assert "empty, over all runs" in ended.out
    assert job.run("--fail-on-empty").code == 1


def test_the_library_finds_without_the_command_line(tmp_path: Path, orthanc: OrthancServer) -> None:
    elements = ["QueryRetrieveLevel=STUDY", "StudyInstanceUID"]
    job = find(tmp_path, orthanc, elements, [["PatientID"], ["P00001"], ["P00002"]], "study")
    events: list[object] = []
    summary = Extraction.from_file(job.config).run(on_event=events.append)
    assert (summary.exit_code(), summary.requests, summary.counts.matches) == (0, 2, 4)
    assert len(events) >= 3
    assert len(job.results()) == 4
