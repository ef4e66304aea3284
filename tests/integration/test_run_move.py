"""C-MOVE into files, by the command line, on real archives: done means stored, as it was sent."""

import stat
from pathlib import Path

import pytest

from pydicombatch import Extraction
from tests.conftest import DcmqrscpFactory, OrthancFactory, Server
from tests.support.dcmqrscp import DcmqrscpServer
from tests.support.extraction import AET, Job
from tests.support.instances import (
    ENCODINGS,
    MULTI_FRAME,
    PRIVATE,
    SECONDARY_CAPTURE,
    Spec,
    file,
    files,
    pixels,
    specs,
)
from tests.support.orthanc import OrthancServer
from tests.support.ports import free_port
from tests.support.storage import StorageServer
from tests.support.written import data_set_of, everything_written, header_of

SPECS = list(specs(patients=2, studies=2, series=2, instances=26))  # 208 instances
SERIES = list(dict.fromkeys((one.study_uid, one.series_uid) for one in SPECS))
FILES = files(iter(SPECS))
COLUMNS = ["StudyInstanceUID", "SeriesInstanceUID"]
LOCAL_PORT = free_port()
OTHER_PORT = free_port()
MODALITIES = [(AET, LOCAL_PORT), ("ELSEWHERE", OTHER_PORT)]

# What an archive may hold that is no plain CT: one instance each, in a series of its own.
ODD_STUDY = 9
ODD = [
    Spec(ODD_STUDY, 1, number, bits=8, sop_class=SECONDARY_CAPTURE, modality="OT", rows=32)
    for number, _ in enumerate(ENCODINGS, start=1)
] + [
    Spec(ODD_STUDY, 1, 20, sop_class=PRIVATE, modality="OT"),
    Spec(ODD_STUDY, 1, 21, sop_class=f"{PRIVATE}.5", modality="OT"),
    Spec(ODD_STUDY, 1, 22, sop_class=MULTI_FRAME, frames=3, modality="OT"),
]
ODD_ENCODINGS = [*ENCODINGS, "explicit", "explicit", "explicit"]
ODD_FILES = {
    spec.sop_uid: file(spec, encoding) for spec, encoding in zip(ODD, ODD_ENCODINGS, strict=True)
}


def load(server: Server) -> None:
    server.load(FILES)


@pytest.fixture(scope="module")
def orthanc(start_orthanc: OrthancFactory) -> OrthancServer:
    server = start_orthanc(MODALITIES)
    load(server)
    server.load(ODD_FILES.values())
    return server


@pytest.fixture(scope="module")
def dcmqrscp(start_dcmqrscp: DcmqrscpFactory) -> DcmqrscpServer:
    server = start_dcmqrscp(MODALITIES)
    load(server)
    return server


def series_job(folder: Path, server: Server, count: int = len(SERIES), **more: object) -> Job:
    rows = [COLUMNS, *map(list, SERIES[:count])]
    return Job(folder, server, LOCAL_PORT, "c-move", ["QueryRetrieveLevel=SERIES"], rows, **more)


@pytest.mark.parametrize("threads", [1, 8])
def test_208_instances_are_stored_as_they_were_loaded(
    tmp_path: Path, server: Server, threads: int
) -> None:
    job = series_job(tmp_path, server, request={"threads": threads})
    ended = job.run()
    assert ended.code == 0, ended.text
    stored = job.stored()
    assert set(stored) == {spec.sop_uid for spec in SPECS}
    for spec in SPECS:
        ds = stored[spec.sop_uid].dataset
        assert ds.PixelData == pixels(spec).tobytes()
        assert (ds.PatientID, ds.SeriesInstanceUID) == (spec.patient_id, spec.series_uid)
        assert stored[spec.sop_uid].path == job.out.joinpath(
            spec.patient_id, spec.study_uid, spec.series_uid, f"{spec.sop_uid}.dcm"
        )
    assert header_of(job.results_file) == [
        "QueryRetrieveLevel", "SeriesInstanceUID", "Status", "StudyInstanceUID",
        "Outcome", "Expected", "Stored", "Failed", "Quarantined",
    ]  # fmt: skip
    assert [tuple(row.values()) for row in job.results()] == [
        ("SERIES", series, "0x0", study, "complete", "26", "26", "0", "0")
        for study, series in SERIES
    ]
    assert "Instances stored in this run      208" in ended.out


def test_nothing_that_a_run_leaves_can_be_read_by_others(
    tmp_path: Path, orthanc: OrthancServer
) -> None:
    """S13."""
    job = series_job(tmp_path, orthanc, 1)
    assert job.run().code == 0
    assert stat.S_IMODE(job.out.stat().st_mode) == 0o700
    written = list(everything_written(job.out))
    assert {job.state, job.state / "ledger.sqlite", job.state / "run.log"} <= {
        path for path, _ in written
    }
    assert {mode for path, mode in written if path.is_dir()} == {0o700}
    assert {mode for path, mode in written if path.is_file()} == {0o600}
    assert not list((job.state / "spool").iterdir())


def test_unknown_classes_and_every_transfer_syntax_are_kept_as_they_were_sent(
    tmp_path: Path, orthanc: OrthancServer
) -> None:
    job = Job(
        tmp_path, orthanc, LOCAL_PORT, "c-move", ["QueryRetrieveLevel=STUDY"],
        [["StudyInstanceUID"], [ODD[0].study_uid]],
    )  # fmt: skip
    ended = job.run()
    assert ended.code == 0, ended.text
    stored = job.stored()
    assert set(stored) == set(ODD_FILES)
    for spec, encoding in zip(ODD, ODD_ENCODINGS, strict=True):
        assert stored[spec.sop_uid].syntax == ENCODINGS[encoding], encoding
        assert stored[spec.sop_uid].data == data_set_of(ODD_FILES[spec.sop_uid]), encoding


def test_a_destination_elsewhere_gets_the_instances_and_nothing_is_stored_here(
    tmp_path: Path, server: Server
) -> None:
    more = {"destination": "ELSEWHERE", "threads": 2}
    job = series_job(tmp_path, server, 2, request=more)
    with StorageServer("ELSEWHERE", OTHER_PORT) as elsewhere:
        ended = job.run()
    assert ended.code == 0, ended.text
    assert sorted(elsewhere.uids()) == sorted(spec.sop_uid for spec in SPECS[:52])
    assert {one.originator_aet for one in elsewhere.received} == {AET}
    assert not job.stored()
    assert [(row["Status"], row["Outcome"], row["Stored"]) for row in job.results()] == [
        ("0x0", "complete", "0")
    ] * 2
    assert "Starting local storage SCP server" not in ended.out


def test_another_calling_title_still_gets_the_instances_to_our_own(
    tmp_path: Path, orthanc: OrthancServer
) -> None:
    job = series_job(tmp_path, orthanc, 1, local={"calling_aet": "CALLER"})
    assert job.run().code == 0
    assert len(job.stored()) == 26
    with StorageServer("ELSEWHERE", OTHER_PORT) as elsewhere:
        job.change("request", destination="ELSEWHERE")
        assert job.run("--restart").code == 0
    assert {one.originator_aet for one in elsewhere.received} == {"CALLER"}


def test_without_a_batch_file_there_is_a_single_request(
    tmp_path: Path, orthanc: OrthancServer
) -> None:
    study, series = SERIES[0]
    elements = [
        "QueryRetrieveLevel=SERIES", f"StudyInstanceUID={study}", f"SeriesInstanceUID={series}"
    ]  # fmt: skip
    job = Job(tmp_path, orthanc, LOCAL_PORT, "c-move", elements)
    assert job.run().code == 0
    assert len(job.results()) == 1
    assert len(job.stored()) == 26


def test_rows_that_overlap_store_every_instance_once(
    tmp_path: Path, orthanc: OrthancServer
) -> None:
    study = SERIES[0][0]
    rows = [["StudyInstanceUID"], [study], [study], [f"{study}\\{SERIES[2][0]}"]]
    job = Job(tmp_path, orthanc, LOCAL_PORT, "c-move", ["QueryRetrieveLevel=STUDY"], rows)
    job.change("request", threads=3)
    ended = job.run()
    assert ended.code == 0, ended.text
    assert "1 rows ask the same as an earlier one" in ended.err
    assert len(job.stored()) == 104
    assert [(row["Outcome"], row["Stored"]) for row in job.results()] == [
        ("complete", "52"), ("complete", "104"),
    ]  # fmt: skip


def test_the_library_moves_without_the_command_line(tmp_path: Path, server: Server) -> None:
    job = series_job(tmp_path, server, 2)
    summary = Extraction.from_file(job.config).run()
    assert (summary.exit_code(), summary.requests, summary.instances) == (0, 2, 52)
    assert summary.bytes == sum(one.path.stat().st_size for one in job.stored().values())
    again = Extraction.from_file(job.config).run()
    assert (again.exit_code(), again.requests, again.counts.instances) == (0, 0, 52)


def test_an_echo_is_a_request_too(tmp_path: Path, server: Server) -> None:
    job = Job(tmp_path, server, LOCAL_PORT, "c-echo", [])
    ended = job.run()
    assert ended.code == 0, ended.text
    (row,) = job.results()
    assert (row["Status"], row["Outcome"]) == ("0x0", "complete")
