"""C-MOVE on real archives, to a minimal storage SCP."""

import threading
from collections.abc import Iterator

import pytest

from pydicombatch.backends.dimse import DimseArchive, Peer
from pydicombatch.core.elements import parse_key
from pydicombatch.core.errors import RequestError, TransientError
from pydicombatch.core.model import Request, RequestType, Tally, Verdict
from tests.conftest import DcmqrscpFactory, OrthancFactory, Server
from tests.support.dcmqrscp import DcmqrscpServer
from tests.support.instances import Spec, files, specs
from tests.support.orthanc import OrthancServer
from tests.support.ports import LOOPBACK, free_port
from tests.support.storage import StorageServer

STUDY = ("QueryRetrieveLevel=STUDY", f"StudyInstanceUID={Spec().study_uid}")
EXPECTED = {spec.sop_uid for spec in specs(series=2, instances=5)}


def request(*elements: str, model: str = "study") -> Request:
    return Request("identity", 1, RequestType.MOVE, model, tuple(map(parse_key, elements)))


def archive(server: Server, model: str = "study") -> DimseArchive:
    return DimseArchive(
        Peer(LOOPBACK, server.port, server.aet, "SAMPLE_AE"), model, RequestType.MOVE
    )


@pytest.fixture(scope="module")
def storage() -> Iterator[StorageServer]:
    with StorageServer() as server:
        yield server


@pytest.fixture(autouse=True)
def nothing_received(storage: StorageServer) -> None:
    storage.received.clear()


@pytest.fixture(scope="module")
def orthanc(start_orthanc: OrthancFactory, storage: StorageServer) -> OrthancServer:
    server = start_orthanc([(storage.aet, storage.port), ("GONE", free_port())])
    server.load(files(specs(series=2, instances=5)))
    return server


@pytest.fixture(scope="module")
def dcmqrscp(start_dcmqrscp: DcmqrscpFactory, storage: StorageServer) -> DcmqrscpServer:
    server = start_dcmqrscp([(storage.aet, storage.port), ("GONE", free_port())])
    server.load(files(specs(series=2, instances=5)))
    return server


def test_a_study_is_pushed_and_counted(server: Server, storage: StorageServer) -> None:
    one = archive(server)
    progress: list[Tally] = []
    answer = one.move(request(*STUDY), 4711, storage.aet, progress.append)
    one.close()
    assert (answer.status, answer.verdict) == (0x0000, Verdict.DONE)
    assert answer.tally.sent == 10
    assert progress
    assert progress[0].expected == 10
    assert set(storage.uids()) == EXPECTED
    assert {one.originator_message_id for one in storage.received} == {4711}
    assert {one.originator_aet for one in storage.received} == {"SAMPLE_AE"}


@pytest.mark.parametrize(
    ("keys", "count"),
    [
        (("QueryRetrieveLevel=SERIES", STUDY[1], f"SeriesInstanceUID={Spec().series_uid}"), 5),
        (("QueryRetrieveLevel=IMAGE", STUDY[1], f"SeriesInstanceUID={Spec().series_uid}",
          f"SOPInstanceUID={Spec().sop_uid}\\{Spec(instance=2).sop_uid}"), 2),
    ],
)  # fmt: skip
def test_lower_levels_are_pushed(
    server: Server, storage: StorageServer, keys: tuple[str, ...], count: int
) -> None:
    one = archive(server)
    answer = one.move(request(*keys), 5, storage.aet, lambda _: None)
    one.close()
    assert answer.verdict is Verdict.DONE
    assert len(set(storage.uids())) == count


def test_psonly_is_moved_by_dcmqrscp(dcmqrscp: DcmqrscpServer, storage: StorageServer) -> None:
    one = archive(dcmqrscp, "psonly")
    wanted = request("QueryRetrieveLevel=STUDY", "PatientID=P00001", STUDY[1], model="psonly")
    assert one.move(wanted, 6, storage.aet, lambda _: None).verdict is Verdict.DONE
    one.close()
    assert set(storage.uids()) == EXPECTED


def test_an_unknown_destination_stops_the_run_when_the_archive_says_so(
    dcmqrscp: DcmqrscpServer,
) -> None:
    one = archive(dcmqrscp)
    answer = one.move(request(*STUDY), 7, "STRANGER", lambda _: None)
    one.close()
    assert (answer.status, answer.verdict) == (0xA801, Verdict.STOP)
    assert answer.reason == "The archive does not know move destination STRANGER"
    assert "register STRANGER with our host and port" in answer.remedy


def test_an_unknown_destination_is_a_vague_failure_in_orthanc(orthanc: OrthancServer) -> None:
    one = archive(orthanc)
    answer = one.move(request(*STUDY), 8, "STRANGER", lambda _: None)
    one.close()
    assert (answer.status, answer.verdict) == (0xC000, Verdict.RETRY)
    assert "move destination STRANGER" in answer.remedy


def test_a_destination_that_is_down_is_tried_again(server: Server) -> None:
    one = archive(server)
    answer = one.move(request(*STUDY), 9, "GONE", lambda _: None)
    one.close()
    assert answer.verdict is Verdict.RETRY
    assert answer.reason


def test_a_destination_that_refuses_every_instance_is_tried_again(
    start_dcmqrscp: DcmqrscpFactory,
) -> None:
    with StorageServer("FULL_AE", status=0xA700) as full_disk:
        server = start_dcmqrscp([(full_disk.aet, full_disk.port)])
        server.load(files(specs(instances=3)))
        one = archive(server)
        answer = one.move(request(*STUDY), 10, full_disk.aet, lambda _: None)
        one.close()
    assert answer.verdict is Verdict.RETRY
    assert answer.tally.failed == 3


def test_a_query_over_a_mover_negotiates_what_it_lacks(
    server: Server, storage: StorageServer
) -> None:
    one = archive(server)
    found: list[object] = []
    assert one.move(request(*STUDY), 11, storage.aet, lambda _: None).verdict is Verdict.DONE
    one.find(request("QueryRetrieveLevel=STUDY", "StudyInstanceUID"), found.append)
    assert one.move(request(*STUDY), 12, storage.aet, lambda _: None).verdict is Verdict.DONE
    one.close()
    assert len(found) == 1


@pytest.mark.parametrize("blank", ["StudyInstanceUID", "StudyInstanceUID=*",
                                   "StudyInstanceUID=1.2\\", "StudyInstanceUID=?*"])  # fmt: skip
def test_a_move_of_everything_never_leaves(
    orthanc: OrthancServer, storage: StorageServer, blank: str
) -> None:
    """F10."""
    one = archive(orthanc)
    with pytest.raises(RequestError, match="would retrieve everything"):
        one.move(request("QueryRetrieveLevel=STUDY ", blank), 13, storage.aet, print)
    assert storage.uids() == []


def test_an_abort_from_another_thread_ends_the_wait(
    orthanc: OrthancServer, storage: StorageServer
) -> None:
    one = archive(orthanc)
    assert one.echo().status == 0
    threads = [threading.Thread(target=one.abort) for _ in range(3)]

    def abort_once(_: Tally) -> None:
        for thread in threads:
            if not thread.is_alive() and thread.ident is None:
                thread.start()
                thread.join()

    with pytest.raises(TransientError, match="We aborted the association"):
        one.move(request(*STUDY), 14, storage.aet, abort_once)
    assert one.echo().status == 0
    one.close()
