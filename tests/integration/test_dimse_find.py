"""C-ECHO and C-FIND on real archives."""

import threading

import pytest

from pydicombatch.backends.dimse import DimseArchive, Peer, Timeouts
from pydicombatch.core.elements import parse_key
from pydicombatch.core.errors import FatalError, RequestError, TransientError, Unreachable
from pydicombatch.core.model import Match, Request, RequestType, Verdict
from tests.conftest import DcmqrscpFactory, OrthancFactory, Server
from tests.support.dcmqrscp import DcmqrscpServer
from tests.support.instances import Spec, files, specs
from tests.support.orthanc import OrthancServer
from tests.support.ports import LOOPBACK, free_port

ACCENTS = Spec(patient=9, patient_name="Müller^Jürgen", charset="ISO_IR 100")


def request(*elements: str, model: str = "study") -> Request:
    keys = tuple(parse_key(element) for element in elements)
    return Request("identity", 1, RequestType.FIND, model, keys)


def archive(server: Server, model: str = "study", **peer: object) -> DimseArchive:
    settings: dict[str, object] = {"hostname": LOOPBACK, "port": server.port, "aet": server.aet}
    settings |= {"calling_aet": "SAMPLE_AE"} | peer
    return DimseArchive(Peer(**settings), model, RequestType.FIND)  # type: ignore[arg-type]


def ask(one: DimseArchive, wanted: Request) -> list[dict[str, str]]:
    found: list[Match] = []
    answer = one.find(wanted, found.append)
    assert (answer.status, answer.verdict, answer.reason) == (0, Verdict.DONE, "")
    return [dict(match.values) for match in found]


@pytest.fixture(scope="module")
def loaded() -> list[bytes]:
    several = files(specs(patients=2, studies=2, series=2, instances=2))
    return [*several, *files(iter([ACCENTS]))]


def test_an_echo_is_answered(server: Server) -> None:
    one = archive(server)
    assert one.echo().status == 0x0000
    one.close()


@pytest.mark.parametrize(
    ("model", "keys", "expected"),
    [
        ("patient", ["QueryRetrieveLevel=PATIENT", "PatientID=P0000*"], 3),
        ("study", ["QueryRetrieveLevel=STUDY", "StudyInstanceUID", "PatientID=P00001"], 2),
        ("study", ["QueryRetrieveLevel=SERIES", f"StudyInstanceUID={Spec().study_uid}",
                   "SeriesInstanceUID"], 2),
        ("study", ["QueryRetrieveLevel=IMAGE", f"StudyInstanceUID={Spec().study_uid}",
                   f"SeriesInstanceUID={Spec().series_uid}", "SOPInstanceUID"], 2),
        ("patient", ["QueryRetrieveLevel=IMAGE", "PatientID=P00001",
                     f"StudyInstanceUID={Spec().study_uid}",
                     f"SeriesInstanceUID={Spec().series_uid}", "SOPInstanceUID"], 2),
    ],
)  # fmt: skip
def test_every_level_is_queried(server: Server, model: str, keys: list[str], expected: int) -> None:
    one = archive(server, model)
    found = ask(one, request(*keys, model=model))
    one.close()
    assert len(found) == expected
    assert [list(row) for row in found] == [
        [parse_key(key).path for key in keys] for _ in range(expected)
    ]


def test_values_come_back_under_the_paths_asked_for(server: Server) -> None:
    one = archive(server)
    rows = ask(
        one,
        request("QueryRetrieveLevel=STUDY", "PatientID=P00002", "StudyInstanceUID",
                "AccessionNumber", "(0008,0020)", "StudyDate"),
    )  # fmt: skip
    one.close()
    expected = {(Spec(2, number).study_uid, f"A00002{number:02}") for number in (1, 2)}
    assert {(row["StudyInstanceUID"], row["AccessionNumber"]) for row in rows} == expected
    assert {row["StudyDate"] for row in rows} == {"20200102"}


def test_a_query_that_matches_nothing_is_done(server: Server) -> None:
    one = archive(server)
    assert ask(one, request("QueryRetrieveLevel=STUDY", "PatientID=NOBODY")) == []
    one.close()


def test_a_key_inside_a_sequence_reaches_the_archive(orthanc: OrthancServer) -> None:
    one = archive(orthanc)
    rows = ask(
        one,
        request("QueryRetrieveLevel=STUDY", "PatientID=P00001", "StudyInstanceUID",
                "ProcedureCodeSequence[0].CodeValue"),
    )  # fmt: skip
    one.close()
    assert {row["ProcedureCodeSequence[0].CodeValue"] for row in rows} == {"77477000"}


@pytest.mark.parametrize("charset", ["ISO_IR 192", "ISO_IR 100"])
def test_accents_are_sent_and_read(orthanc: OrthancServer, charset: str) -> None:
    one = archive(orthanc, charset=charset)
    rows = ask(one, request("QueryRetrieveLevel=STUDY", "PatientName=Müller*", "PatientID"))
    one.close()
    assert rows == [
        {"QueryRetrieveLevel": "STUDY", "PatientName": "Müller^Jürgen", "PatientID": "P00009"}
    ]


def test_psonly_is_spoken_with_dcmqrscp(dcmqrscp: DcmqrscpServer) -> None:
    one = archive(dcmqrscp, "psonly")
    rows = ask(one, request("QueryRetrieveLevel=PATIENT", "PatientID", model="psonly"))
    one.close()
    assert {row["PatientID"] for row in rows} == {"P00001", "P00002", "P00009"}


def test_psonly_is_refused_by_orthanc_with_a_remedy(orthanc: OrthancServer) -> None:
    one = archive(orthanc, "psonly")
    with pytest.raises(FatalError) as caught:
        one.find(request("QueryRetrieveLevel=PATIENT", "PatientID", model="psonly"), print)
    assert caught.value.problem == "The archive ORTHANC does not offer the psonly model for C-FIND"
    assert "patient or study" in caught.value.remedy
    assert one.echo().status == 0x0000
    one.close()


def test_one_association_serves_many_requests(server: Server) -> None:
    one = archive(server)
    wanted = request("QueryRetrieveLevel=STUDY", "PatientID=P00001", "StudyInstanceUID")
    assert [len(ask(one, wanted)) for _ in range(20)] == [2] * 20
    one.close()


def test_an_association_that_died_with_a_restart_is_opened_again(
    start_orthanc: OrthancFactory, start_dcmqrscp: DcmqrscpFactory
) -> None:
    for server in (start_orthanc(), start_dcmqrscp()):
        server.load(files(specs(instances=1)))
        one = archive(server)
        wanted = request("QueryRetrieveLevel=STUDY", "PatientID=P00001", "StudyInstanceUID")
        assert len(ask(one, wanted)) == 1
        server.kill()
        server.start()
        assert len(ask(one, wanted)) == 1
        server.stop()
        with pytest.raises(Unreachable, match=f"No listener at {LOOPBACK}:{server.port}"):
            one.find(wanted, print)
        one.close()


def test_a_port_where_nobody_listens_is_unreachable() -> None:
    peer = Peer(LOOPBACK, free_port(), "NOBODY", "SAMPLE_AE")
    with pytest.raises(Unreachable, match=r"No listener at 127\.0\.0\.1"):
        DimseArchive(peer, "study", RequestType.FIND).echo()


def test_a_host_without_an_address_is_unreachable() -> None:
    peer = Peer("archive.invalid", 104, "NOBODY", "SAMPLE_AE")
    with pytest.raises(Unreachable, match=r"archive\.invalid does not resolve"):
        DimseArchive(peer, "study", RequestType.FIND).echo()


def test_an_unknown_called_title_is_fatal_and_names_it(dcmqrscp: DcmqrscpServer) -> None:
    with pytest.raises(FatalError) as caught:
        archive(dcmqrscp, aet="WRONG").echo()
    assert caught.value.problem == "The archive does not answer to the AE title WRONG"
    assert "pacs.aet" in caught.value.remedy


def test_a_value_that_does_not_fit_is_refused_before_it_is_sent(orthanc: OrthancServer) -> None:
    one = archive(orthanc)
    with pytest.raises(RequestError) as caught:
        one.find(request("QueryRetrieveLevel=IMAGE", "Rows=many"), print)
    assert "many" not in str(caught.value)
    assert len(ask(one, request("QueryRetrieveLevel=STUDY", "PatientID=P00001"))) == 2
    one.close()


def test_no_thread_is_left_and_none_is_needed(server: Server) -> None:
    before = set(threading.enumerate())
    one = archive(server)
    ask(one, request("QueryRetrieveLevel=STUDY", "PatientID=P00001"))
    assert set(threading.enumerate()) == before
    one.close()
    one.close()
    assert set(threading.enumerate()) == before


@pytest.mark.timeout(900)
def test_no_response_is_lost_in_thousands_of_queries(server: Server, *, full: bool) -> None:
    one = archive(server, timeouts=Timeouts(response=10))
    wanted = [
        request("QueryRetrieveLevel=STUDY", f"StudyInstanceUID={Spec(patient, study).study_uid}",
                "PatientID")
        for patient in (1, 2) for study in (1, 2)
    ]  # fmt: skip
    counted = [0, 0]
    for number in range(20_000 if full else 2_000):
        rows = ask(one, wanted[number % 4])
        assert [row["PatientID"] for row in rows] == [f"P{1 + number % 4 // 2:05}"]
        counted[0] += len(rows)
        counted[1] += 1
    one.close()
    assert counted == [20_000, 20_000] if full else [2_000, 2_000]


def test_many_archives_query_at_once_without_disturbing_each_other(server: Server) -> None:
    failures: list[BaseException] = []

    def work(patient: int) -> None:
        one = archive(server)
        wanted = request("QueryRetrieveLevel=STUDY", f"PatientID=P0000{patient}")
        try:
            for _ in range(25):
                assert [row["PatientID"] for row in ask(one, wanted)] == [f"P0000{patient}"] * 2
        except (AssertionError, TransientError) as exc:
            failures.append(exc)
        finally:
            one.close()

    threads = [threading.Thread(target=work, args=(1 + number % 2,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
