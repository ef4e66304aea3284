"""The demo archive as DCMTK's tools see it, and what they leave on disk against what it holds."""

import re
import socket
import subprocess
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from pydicom import Dataset, dcmread
from pynetdicom import AE, evt
from pynetdicom.events import EventHandlerType

from pydicombatch.core.errors import FatalError
from pydicombatch.demo.archive import DemoArchive
from pydicombatch.demo.patients import synthetic_instances
from tests.support.ports import LOOPBACK, free_port
from tests.support.servers import ServerProcess, program

INSTANCES = synthetic_instances()
PATIENT_MOVE = "1.2.840.10008.5.1.4.1.2.1.2"
STUDY_FIND = "1.2.840.10008.5.1.4.1.2.2.1"


def tool(name: str, *arguments: object) -> str:
    """Run a DCMTK tool and return all it said, whatever its exit code; a missing one fails."""
    done = subprocess.run(
        [program(name), *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=60,
    )
    return done.stdout.decode("latin-1")


def keys(level: str, **values: str) -> list[str]:
    found = ["-k", f"QueryRetrieveLevel={level}"]
    for keyword, value in values.items():
        found += ["-k", f"{keyword}={value}" if value else keyword]
    return found


@pytest.fixture
def archive() -> Iterator[DemoArchive]:
    with DemoArchive(INSTANCES) as running:
        yield running


@pytest.fixture
def store(archive: DemoArchive, tmp_path: Path) -> Iterator[Path]:
    """DCMTK's storescp, registered as STORE; the folder it writes to."""
    folder, port = tmp_path / "stored", free_port()
    folder.mkdir()
    arguments = [program("storescp"), "-aet", "STORE", "-od", str(folder), "+B", str(port)]
    server = ServerProcess(arguments, tmp_path / "storescp.log", (port,))
    archive.register("STORE", LOOPBACK, port)
    server.start()
    try:
        yield folder
    finally:
        server.stop()


def pixels(folder: Path) -> dict[str, bytes]:
    read = [dcmread(file) for file in folder.iterdir()]
    return {str(ds.SOPInstanceUID): ds.PixelData for ds in read}


def held(**values: str) -> dict[str, bytes]:
    chosen = (ds for ds in INSTANCES if all(str(ds[k].value) == v for k, v in values.items()))
    return {str(ds.SOPInstanceUID): ds.PixelData for ds in chosen}


def test_it_answers_an_echo(archive: DemoArchive) -> None:
    said = tool("echoscu", "-v", LOOPBACK, archive.port)
    assert "Received Echo Response (Success)" in said


@pytest.mark.parametrize(
    ("root", "level", "values", "count"),
    [
        ("-P", "PATIENT", {"PatientID": ""}, 5),
        ("-P", "STUDY", {"PatientID": "DEMO-0001", "StudyInstanceUID": ""}, 2),
        ("-S", "STUDY", {"StudyDate": "20240101-20240331"}, 3),
        ("-S", "STUDY", {"PatientName": "phantom*"}, 4),
        ("-S", "SERIES", {"Modality": "M?"}, 4),
        ("-S", "SERIES", {"RequestAttributesSequence[0].RequestedProcedureID": "*A0003"}, 2),
        ("-S", "IMAGE", {"NumberOfFrames": "12"}, 54),
        ("-S", "IMAGE", {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.2", "Rows": "96"}, 29),
        ("-S", "STUDY", {"StudyInstanceUID": "1.2.3"}, 0),
    ],
)
def test_findscu_gets_what_matches(
    archive: DemoArchive, root: str, level: str, values: dict[str, str], count: int
) -> None:
    said = tool("findscu", "-v", root, *keys(level, **values), LOOPBACK, archive.port)
    assert len(re.findall(r"Find Response: \d+", said)) == count
    assert "Received Final Find Response (Success)" in said


def test_findscu_reads_accents_and_counters(archive: DemoArchive) -> None:
    asked = keys("STUDY", PatientID="DEMO-0004", PatientName="", NumberOfStudyRelatedInstances="")
    said = tool("findscu", "-v", "-S", *asked, LOOPBACK, archive.port)
    assert "[Phantôme^Hélène ]" in said
    assert re.search(r"IS \[1 ?\]", said)


def test_a_level_that_the_model_does_not_have_is_refused_with_a900(archive: DemoArchive) -> None:
    for level in ("PATIENT", "NONSENSE"):
        said = tool("findscu", "-v", "-S", *keys(level), LOOPBACK, archive.port)
        assert "(Error: DataSetDoesNotMatchSOPClass)" in said


@pytest.mark.filterwarnings("ignore:Invalid value for VR")
def test_nonsense_in_an_identifier_leaves_the_archive_alive(archive: DemoArchive) -> None:
    tool(
        "findscu",
        "-S",
        *keys("STUDY", StudyDate="x-y-z", SeriesNumber="twelve"),
        LOOPBACK,
        archive.port,
    )
    assert "Success" in tool("echoscu", "-v", LOOPBACK, archive.port)


def test_movescu_and_storescp_get_every_instance_byte_for_byte(
    archive: DemoArchive, store: Path
) -> None:
    for patient in sorted({str(ds.PatientID) for ds in INSTANCES}):
        asked = keys("PATIENT", PatientID=patient)
        said = tool("movescu", "-v", "-P", "-aem", "STORE", *asked, LOOPBACK, archive.port)
        assert "Received Final Move Response (Success)" in said
    assert pixels(store) == held()


def test_movescu_gets_a_series_and_is_told_of_each_instance(
    archive: DemoArchive, store: Path
) -> None:
    series = str(INSTANCES[0].SeriesInstanceUID)
    asked = keys("SERIES", SeriesInstanceUID=series)
    said = tool("movescu", "-v", "-S", "-aem", "STORE", *asked, LOOPBACK, archive.port)
    assert len(re.findall(r"Received Move Response \d+ \(Pending\)", said)) == 12
    assert pixels(store) == held(SeriesInstanceUID=series)


def test_getscu_gets_a_study(archive: DemoArchive, tmp_path: Path) -> None:
    for study in sorted({str(ds.StudyInstanceUID) for ds in INSTANCES}):
        folder = tmp_path / study[-8:]
        folder.mkdir()
        asked = keys("STUDY", StudyInstanceUID=study)
        tool("getscu", "-v", "-S", "-od", folder, *asked, LOOPBACK, archive.port)
        assert pixels(folder) == held(StudyInstanceUID=study)


def test_an_unknown_destination_is_refused_with_a801(archive: DemoArchive) -> None:
    asked = keys("PATIENT", PatientID="DEMO-0001")
    said = tool("movescu", "-v", "-P", "-aem", "NOBODY", *asked, LOOPBACK, archive.port)
    assert "(Refused: MoveDestinationUnknown)" in said


def test_a_move_of_everything_is_refused_with_a900(archive: DemoArchive, store: Path) -> None:
    asked = keys("PATIENT", PatientID="*")
    said = tool("movescu", "-v", "-P", "-aem", "STORE", *asked, LOOPBACK, archive.port)
    assert "DoesNotMatchSOPClass" in said
    assert list(store.iterdir()) == []


def test_a_move_of_nothing_succeeds_with_no_instance(archive: DemoArchive, store: Path) -> None:
    asked = keys("STUDY", StudyInstanceUID="1.2.3")
    said = tool("movescu", "-v", "-S", "-aem", "STORE", *asked, LOOPBACK, archive.port)
    assert "Received Final Move Response (Success)" in said
    assert list(store.iterdir()) == []


class Destination:
    """A storage SCP that refuses some instances and notes who was said to ask for each."""

    def __init__(self, refused: frozenset[str] = frozenset()) -> None:
        self.originators: dict[str, set[tuple[str, int]]] = {}
        self._refused = refused
        self._lock = threading.Lock()
        self._ae = AE("STORE")
        self._ae.maximum_associations = 50
        for sop_class in sorted({str(ds.SOPClassUID) for ds in INSTANCES}):
            self._ae.add_supported_context(sop_class)
        handlers: list[EventHandlerType] = [(evt.EVT_C_STORE, self._store)]
        server = self._ae.start_server((LOOPBACK, 0), block=False, evt_handlers=handlers)
        assert server is not None
        self.port = int(server.server_address[1])

    def _store(self, event: evt.Event) -> int:
        request: Any = event.request
        uid = str(request.AffectedSOPInstanceUID)
        said = (
            str(request.MoveOriginatorApplicationEntityTitle).strip(),
            int(str(request.MoveOriginatorMessageID)),
        )
        with self._lock:
            self.originators.setdefault(uid, set()).add(said)
        return 0xA700 if uid in self._refused else 0x0000

    def close(self) -> None:
        self._ae.shutdown()


def move(
    archive: DemoArchive, aet: str, message_id: int, patient: str
) -> list[tuple[Dataset, Dataset | None]]:
    """Send one C-MOVE to STORE under a title and message id of our own; all responses."""
    ae = AE(aet)
    ae.add_requested_context(PATIENT_MOVE)
    identifier = Dataset()
    identifier.QueryRetrieveLevel = "PATIENT"
    identifier.PatientID = patient
    association = ae.associate(LOOPBACK, archive.port)
    assert association.is_established
    try:
        return list(association.send_c_move(identifier, "STORE", PATIENT_MOVE, msg_id=message_id))
    finally:
        association.release()


def test_a_refused_instance_is_counted_and_listed(archive: DemoArchive) -> None:
    wanted = [str(ds.SOPInstanceUID) for ds in INSTANCES if ds.PatientID == "DEMO-0003"]
    destination = Destination(frozenset(wanted[:3]))
    try:
        archive.register("STORE", LOOPBACK, destination.port)
        status, identifier = move(archive, "ASKER", 7, "DEMO-0003")[-1]
    finally:
        destination.close()
    assert status.Status == 0xB000
    assert status.NumberOfCompletedSuboperations == 5
    assert status.NumberOfFailedSuboperations == 3
    assert identifier is not None
    assert sorted(identifier.FailedSOPInstanceUIDList) == sorted(wanted[:3])


def test_eight_moves_at_once_name_their_own_originators(archive: DemoArchive) -> None:
    destination = Destination()
    patients = sorted({str(ds.PatientID) for ds in INSTANCES})
    jobs = [(f"ASKER{number}", 100 + number, patients[number % 5]) for number in range(8)]
    try:
        archive.register("STORE", LOOPBACK, destination.port)
        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda job: move(archive, *job), jobs))
    finally:
        destination.close()
    assert [answer[-1][0].Status for answer in answers] == [0x0000] * 8
    for ds in INSTANCES:
        askers = {(aet, message) for aet, message, patient in jobs if patient == ds.PatientID}
        assert destination.originators[str(ds.SOPInstanceUID)] == askers


def test_a_cancelled_query_ends_early(archive: DemoArchive) -> None:
    ae = AE("ASKER")
    ae.add_requested_context(STUDY_FIND)
    identifier = Dataset()
    identifier.QueryRetrieveLevel = "IMAGE"
    association = ae.associate(LOOPBACK, archive.port)
    assert association.is_established
    statuses = []
    try:
        for number, (status, _) in enumerate(
            association.send_c_find(identifier, STUDY_FIND, msg_id=3)
        ):
            if number == 0:
                association.send_c_cancel(3, query_model=STUDY_FIND)
            statuses.append(status.Status)
    finally:
        association.release()
    assert statuses[-1] in {0xFE00, 0x0000}
    assert statuses[-1] == 0xFE00 or len(statuses) == len(INSTANCES) + 1


def test_a_stopped_archive_frees_its_port_and_can_start_again() -> None:
    archive = DemoArchive(INSTANCES)
    archive.start()
    port = archive.port
    archive.stop()
    archive.stop()
    with pytest.raises(OSError, match="refused"):
        socket.create_connection((LOOPBACK, port), timeout=2)
    archive.start()
    try:
        assert "Success" in tool("echoscu", "-v", LOOPBACK, archive.port)
    finally:
        archive.stop()


def test_a_port_that_is_taken_is_an_error_with_a_remedy() -> None:
    with socket.create_server((LOOPBACK, 0)) as taken:
        archive = DemoArchive(INSTANCES, port=int(taken.getsockname()[1]))
        with pytest.raises(FatalError, match="Choose another port"):
            archive.start()
