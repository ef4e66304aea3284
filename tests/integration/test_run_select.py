"""`select`, `plan` and `request.complete` against real archives and a narrow-minded one."""

import csv
import signal
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import DcmqrscpFactory, OrthancFactory, Server
from tests.support.extraction import AET, Job, Running
from tests.support.instances import MR, Spec, dataset, specs, to_bytes
from tests.support.ports import free_port
from tests.support.storage import StorageServer
from tests.support.strict_archive import StrictArchive

LOCAL_PORT = free_port()
ELSEWHERE = free_port()
MAMMOGRAPHY = "1.2.840.10008.5.1.4.1.1.1.2"
ROWS = [["AccessionNumber"], ["A0000101"], ["A0000201"], ["A00001"], ["NONE"]]


def every_spec() -> Iterator[Spec]:
    """Two patients with two studies of two series; the second series is larger, and of MR."""
    for spec in specs(patients=2, studies=2, series=2, instances=2):
        dated = replace(spec, study_date=f"2020010{spec.study}")
        if spec.series == 1:
            yield dated
        else:
            yield replace(dated, modality="MR", sop_class=MR)
            yield replace(dated, modality="MR", sop_class=MR, instance=spec.instance + 10)


SPECS = list(every_spec())


def mammograms() -> Iterator[bytes]:
    for study in range(1, 4):
        ds = dataset(Spec(9, study, 1, 1, modality="MG", sop_class=MAMMOGRAPHY))
        ds.StudyDescription = "Bilateral mammography" if study != 2 else "Ultrasound"
        yield to_bytes(ds)


@pytest.fixture(scope="module", params=["orthanc", "dcmqrscp"])
def archive(
    request: pytest.FixtureRequest, start_orthanc: OrthancFactory, start_dcmqrscp: DcmqrscpFactory
) -> Server:
    """A relational archive that answers most things, and a hierarchical one."""
    known = [(AET, LOCAL_PORT), ("ELSEWHERE", ELSEWHERE)]
    server: Server = start_orthanc(known) if request.param == "orthanc" else start_dcmqrscp(known)
    server.load([*(to_bytes(dataset(spec)) for spec in SPECS), *mammograms()])
    return server


def job(folder: Path, archive: Any, rows: list[list[str]], **more: Any) -> Job:
    request = {"model": more.pop("model", "study"), **more.pop("request", {})}
    return Job(folder, archive, LOCAL_PORT, "c-move", [], rows, request=request, **more)


def outcomes(done: Job) -> list[str]:
    return [row["Outcome"] for row in done.results()]


def uids(done: Job) -> set[str]:
    return set(done.stored())


def finds(done: Job) -> int:
    with closing(sqlite3.connect(done.state / "ledger.sqlite")) as db:
        (count,) = db.execute("SELECT count(*) FROM attempt WHERE message_id IS NULL").fetchone()
    return int(count)


@pytest.mark.parametrize("model", ["study", "patient"])
def test_accession_numbers_give_the_series_that_fit(
    tmp_path: Path, archive: Server, model: str
) -> None:
    where = {"Modality": ["MR", "PT"], "NumberOfSeriesRelatedInstances": ">= 3"}
    made = job(tmp_path, archive, ROWS, model=model, select={"level": "series", "where": where})
    ended = made.run()
    assert ended.code == 0, ended.text
    assert outcomes(made) == ["complete", "complete", "empty", "empty"]
    wanted = {s.sop_uid for s in SPECS if s.study == 1 and s.series == 2}
    assert uids(made) == wanted
    first = made.results()[0]
    assert (first["Expected"], first["Stored"], first["Failed"]) == ("4", "4", "0")
    assert made.run().code == 0
    assert outcomes(made) == ["complete", "complete", "empty", "empty"]


@pytest.mark.parametrize("level", ["patient", "study", "series", "image"])
def test_every_level_gives_the_same_instances(tmp_path: Path, archive: Server, level: str) -> None:
    made = job(tmp_path, archive, [["PatientID"], ["P00002"]], model="patient",
               select={"level": level})  # fmt: skip
    ended = made.run()
    assert ended.code == 0, ended.text
    assert uids(made) == {s.sop_uid for s in SPECS if s.patient == 2}
    retrieves = {"patient": 1, "study": 2, "series": 4, "image": 12}[level]
    assert made.log().count("request.done") == retrieves


def test_a_row_that_means_too_much_is_ambiguous_and_nothing_is_retrieved(
    tmp_path: Path, archive: Server
) -> None:
    made = job(tmp_path, archive, [["PatientID"], ["P00001"]],
               select={"at_most": {"studies": 1, "series": 40}})  # fmt: skip
    ended = made.run()
    assert ended.code == 1
    assert outcomes(made) == ["ambiguous"]
    assert uids(made) == set()
    assert "It matches more than 1 studies" in made.command("status").text
    made.change("select", first=1, at_most={})
    assert "select" in made.run().text
    assert made.run("--accept-changes").code == 0
    assert outcomes(made) == ["complete"]
    assert len(made.stored()) in {2, 4}


def test_dates_of_rows_are_taken_with_a_tolerance(tmp_path: Path, archive: Server) -> None:
    rows = [["PatientID", "StudyDate"], ["P00001", "20200103"], ["P00001", "20200110"]]
    made = job(tmp_path, archive, rows, select={"level": "study", "date_tolerance": "1 day"})
    assert made.run().code == 0
    assert outcomes(made) == ["complete", "empty"]
    assert uids(made) == {s.sop_uid for s in SPECS if (s.patient, s.study) == (1, 2)}


def test_the_classic_node_moves_the_first_mammographies_of_some_days_elsewhere(
    tmp_path: Path, archive: Server
) -> None:
    where = {
        "StudyDate": "20200101-20200131",
        "StudyDescription": "*mammo*",
        "Modality": "MG",
    }
    made = job(
        tmp_path, archive, [], select={"level": "SERIES", "where": where, "first": 1},
        request={"destination": "ELSEWHERE"},
    )  # fmt: skip
    with StorageServer("ELSEWHERE", ELSEWHERE) as store:
        ended = made.run()
        assert ended.code == 0, ended.text
        (received,) = store.uids()
    assert received in {Spec(9, study, 1, 1).sop_uid for study in (1, 3)}
    assert uids(made) == set()
    (row,) = made.results()
    assert (row["Outcome"], row["Expected"]) == ("complete", "1")


def test_references_are_retrieved_without_a_query(tmp_path: Path, archive: Server) -> None:
    spec = SPECS[0]
    rows = [["StudyInstanceUID", "SeriesInstanceUID"], [spec.study_uid, spec.series_uid]]
    made = job(tmp_path, archive, rows, select={"level": "series"})
    ended = made.run()
    assert ended.code == 0, ended.text
    assert uids(made) == {s.sop_uid for s in SPECS if s.series_uid == spec.series_uid}
    assert "archive.queries" not in made.log()


def test_what_an_archive_can_is_learned_once(tmp_path: Path, archive: Server) -> None:
    made = job(tmp_path, archive, ROWS, select={"where": {"Modality": "CT"}})
    assert made.run().code == 0
    assert made.log().count("archive.queries") == 1
    assert "archive.queries reason=relational" in made.log()
    with closing(sqlite3.connect(made.state / "ledger.sqlite")) as db:
        ((known,),) = db.execute("SELECT value FROM meta WHERE name LIKE 'queries %'").fetchall()
    assert "relational" in known


def test_a_kill_between_selection_and_retrieve_costs_no_second_query(
    tmp_path: Path, archive: Server
) -> None:
    made = job(tmp_path, archive, [["PatientID"], ["P00001"]], request={"throttle_time": 3},
               select={"queries": "hierarchical"})  # fmt: skip
    with made.start() as running:
        assert running.says("To stop extraction")
        deadline = time.monotonic() + 60
        while "row.selected" not in made.log() and time.monotonic() < deadline:
            time.sleep(0.05)
        running.kill()
    assert "row.selected" in made.log()
    asked = finds(made)
    made.change("request", throttle_time=0)
    ended = made.run()
    assert ended.code == 0, ended.text
    assert outcomes(made) == ["complete"]
    assert uids(made) == {s.sop_uid for s in SPECS if s.patient == 1}
    assert finds(made) == asked
    assert made.log().count("row.selected") == 1


def test_two_rows_that_mean_the_same_retrieve_it_once(tmp_path: Path, archive: Server) -> None:
    spec = SPECS[0]
    rows = [["PatientID", "AccessionNumber"], ["P00001", "A0000101"], ["", "A0000101"]]
    made = job(tmp_path, archive, rows, select={"level": "study"}, request={"threads": 2})
    assert made.run().code == 0
    assert outcomes(made) == ["complete", "complete"]
    assert [row["Stored"] for row in made.results()] == ["6", "6"]
    assert made.log().count("request.done") == 1
    assert spec.sop_uid in uids(made)


def test_a_plan_retrieves_nothing_and_its_review_exactly_what_it_lists(
    tmp_path: Path, archive: Server
) -> None:
    made = job(tmp_path, archive, ROWS, select={"level": "series", "at_most": {"studies": 1}})
    plan = tmp_path / "plan.csv"
    ended = made.command("plan", "--output", str(plan))
    assert ended.code == 0, ended.text
    for shown in ("Rows matched", "Rows empty", "Instances", "Estimated size", "Free on the disk"):
        assert shown in ended.out
    assert uids(made) == set()
    assert plan.stat().st_mode & 0o777 == 0o600
    with plan.open(encoding="utf-8", newline="") as file:
        header, *lines = list(csv.reader(file))
    assert sorted(line[header.index("Instances")] for line in lines) == ["2", "2", "4", "4"]
    kept = [one for one in lines if one[header.index("Modality")] == "MR"][:1]
    with plan.open("w", encoding="cp1252", newline="") as file:
        csv.writer(file, delimiter=";").writerows([header, *kept])
    ended = made.run("--plan", str(plan))
    assert ended.code == 0, ended.text
    (series,) = {line[header.index("SeriesInstanceUID")] for line in kept}
    assert uids(made) == {s.sop_uid for s in SPECS if s.series_uid == series}
    refused = made.run()
    assert (refused.code, "plan" in refused.text) == (2, True)


def test_a_plan_needs_no_select(tmp_path: Path, archive: Server) -> None:
    rows = [["StudyInstanceUID"], [SPECS[0].study_uid], ["1.2.3"]]
    made = Job(tmp_path, archive, LOCAL_PORT, "c-move", ["QueryRetrieveLevel=STUDY"], rows)
    plan = tmp_path / "plan.csv"
    ended = made.command("plan", "--output", str(plan))
    assert ended.code == 0, ended.text
    assert made.run("--plan", str(plan)).code == 0
    assert uids(made) == {s.sop_uid for s in SPECS if s.study_uid == SPECS[0].study_uid}


def test_ctrl_c_ends_a_plan_that_goes_on_later(tmp_path: Path, archive: Server) -> None:
    made = job(tmp_path, archive, ROWS, select={}, request={"throttle_time": 30})
    with Running(("plan", str(made.config)), tmp_path, "plan") as running:
        assert running.says("To stop extraction")
        running.signal(signal.SIGINT)
        ended = running.wait(60)
    assert ended.code == 130, ended.text
    assert "The plan is not complete" in ended.text


def test_counts_that_are_asked_for_are_made(tmp_path: Path, archive: Server) -> None:
    counts = {
        "NumberOfPatientRelatedStudies": "2",
        "NumberOfPatientRelatedSeries": "4",
        "NumberOfPatientRelatedInstances": "12",
    }
    elements = ["QueryRetrieveLevel=PATIENT", "PatientID=P00001", *counts]
    made = Job(tmp_path, archive, LOCAL_PORT, "c-find", elements,
               request={"model": "patient", "complete": "true"})  # fmt: skip
    ended = made.run()
    assert ended.code == 0, ended.text
    (row,) = made.results()
    assert {name: row[name] for name in counts} == counts


def test_counts_are_those_of_the_archive_or_made_by_drilling(
    tmp_path: Path, archive: Server
) -> None:
    """Orthanc tells most of them itself, dcmqrscp none at all; the rows are the same."""
    counts = {
        "NumberOfPatientRelatedStudies": "2",
        "NumberOfPatientRelatedInstances": "12",
        "NumberOfStudyRelatedSeries": "2",
        "NumberOfStudyRelatedInstances": "6",
        "ModalitiesInStudy": "CT\\MR",
    }
    elements = ["QueryRetrieveLevel=STUDY", "AccessionNumber", *counts]
    rows = [["PatientID"], ["P00001"], ["P00002"]]
    made = Job(tmp_path, archive, LOCAL_PORT, "c-find", elements, rows,
               request={"complete": "true", "threads": 2})  # fmt: skip
    ended = made.run()
    assert ended.code == 0, ended.text
    found = made.results()
    accessions = [f"A0000{patient}0{study}" for patient in (1, 2) for study in (1, 2)]
    assert sorted(row["AccessionNumber"] for row in found) == accessions
    assert all({name: row[name] for name in counts} == counts for row in found)


# --- an archive that answers the bare minimum


@pytest.fixture
def strict() -> Iterator[StrictArchive]:
    many = [
        Spec(7, study, 1, 1, study_date=f"202001{study % 28 + 1:02}") for study in range(1, 151)
    ]
    with StrictArchive([*SPECS, *many]) as server:
        yield server


def plan_of(made: Job) -> list[dict[str, str]]:
    output = made.folder / "plan.csv"
    ended = made.command("plan", "--output", str(output))
    assert ended.code in {0, 1}, ended.text
    with output.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_accession_numbers_are_exact_where_an_archive_takes_them_for_wildcards(
    tmp_path: Path, strict: StrictArchive
) -> None:
    rows = [["AccessionNumber"], ["A0000101"], ["A00001"]]
    made = job(tmp_path, strict, rows, select={"level": "study"})
    found = plan_of(made)
    assert [(one["Line"], one["StudyInstanceUID"]) for one in found] == [("2", SPECS[0].study_uid)]
    assert found[0]["Instances"] == "6", "counted, as this archive does not tell"


def test_what_an_archive_cannot_count_is_counted(tmp_path: Path, strict: StrictArchive) -> None:
    where = {"ModalitiesInStudy": "MR", "NumberOfSeriesRelatedInstances": ">= 3"}
    made = job(tmp_path, strict, [["PatientID"], ["P00001"]], select={"where": where})
    found = plan_of(made)
    wanted = {s.series_uid for s in SPECS if s.patient == 1 and s.series == 2}
    assert {one["SeriesInstanceUID"] for one in found} == wanted


def test_what_a_hierarchical_archive_can_is_learned(tmp_path: Path, strict: StrictArchive) -> None:
    made = job(tmp_path, strict, ROWS, select={"where": {"Modality": "CT"}})
    made.run()  # it looks up, and cannot retrieve
    assert made.log().count("archive.queries") == 1
    assert "archive.queries reason=hierarchical" in made.log()


def test_a_limit_on_matches_is_met_by_smaller_queries(
    tmp_path: Path, strict: StrictArchive
) -> None:
    where = {"StudyDate": "20200101-20200131"}
    made = job(tmp_path, strict, [["PatientID"], ["P00007"]],
               select={"level": "study", "where": where}, pacs={"max_matches": 100})  # fmt: skip
    assert len(plan_of(made)) == 150
    beyond = job(tmp_path / "2", strict, [["PatientID"], ["P00007"]], select={"level": "study"},
                 pacs={"max_matches": 100})  # fmt: skip
    assert plan_of(beyond) == []
    assert "truncated" in beyond.command("plan").text


def test_counts_are_made_where_an_archive_ignores_them(
    tmp_path: Path, strict: StrictArchive
) -> None:
    counts = {
        "NumberOfStudyRelatedSeries": "2",
        "NumberOfStudyRelatedInstances": "6",
        "NumberOfPatientRelatedStudies": "2",
        "ModalitiesInStudy": "CT\\MR",
    }
    elements = ["QueryRetrieveLevel=STUDY", "AccessionNumber=A0000101", *counts]
    plain = Job(tmp_path / "1", strict, LOCAL_PORT, "c-find", elements)
    assert plain.run().code == 0
    assert {plain.results()[0][name] for name in counts} == {""}
    made = Job(tmp_path / "2", strict, LOCAL_PORT, "c-find", elements, request={"complete": "true"})
    assert made.run().code == 0
    (row,) = [one for one in made.results() if one["AccessionNumber"] == "A0000101"]
    assert {name: row[name] for name in counts} == counts
    assert "StudyInstanceUID" not in row


def test_nothing_is_asked_that_would_mean_everything(tmp_path: Path) -> None:
    class Nowhere:
        aet, port = "NOWHERE", free_port()

    made = job(tmp_path, Nowhere(), [], select={"where": {"StudyDescription": "/mammo/i"}})
    ended = made.run()
    assert ended.code == 2
    assert "ask for everything the archive holds" in ended.text


@pytest.fixture
def studies_only() -> Iterator[StrictArchive]:
    with StrictArchive(SPECS, answers=("STUDY",)) as server:
        yield server


def test_an_archive_that_can_be_asked_for_studies_alone_gives_a_plan_without_counts(
    tmp_path: Path, studies_only: StrictArchive
) -> None:
    made = job(tmp_path, studies_only, ROWS, select={"level": "study"})
    found = plan_of(made)
    wanted = [Spec(1, 1).study_uid, Spec(2, 1).study_uid]
    assert [(one["StudyInstanceUID"], one["Instances"]) for one in found] == [
        (uid, "") for uid in wanted
    ]
    below = [one for one in studies_only.asked if one.QueryRetrieveLevel != "STUDY"]
    assert len(below) == 1, "what was refused once is not asked for again"
    shown = made.command("plan").text
    for line in ("at least 0\n", "unknown size   2\n", "not known whether enough"):
        assert line in shown, shown


def test_what_has_to_be_known_and_cannot_be_asked_is_no_empty_row(
    tmp_path: Path, studies_only: StrictArchive
) -> None:
    rows = [["AccessionNumber"], ["A0000101"]]
    for number, select in enumerate(
        [
            {"level": "series"},
            {"level": "study", "where": {"Modality": "CT"}},
            {"level": "study", "at_most": {"instances": 5}},
        ]
    ):
        made = job(tmp_path / str(number), studies_only, rows, select=select)
        ended = made.command("plan")
        assert (ended.code, "Rows refused                1" in ended.text) == (1, True), ended.text
        assert "information model (asked at SERIES level)" in ended.text, ended.text
