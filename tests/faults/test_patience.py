"""F06, F07, F16: whom to ask again, when, and with how many threads; what a restart remembers."""

import socket
import sqlite3
import time
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from pydicombatch.core.keepalive import end_when_dead
from tests.conftest import DcmqrscpFactory, OrthancFactory
from tests.support.dcmqrscp import DcmqrscpServer
from tests.support.extraction import AET, Job
from tests.support.fake_archive import FakeArchive, Final, Script, Step
from tests.support.holding import answering, moving, sending
from tests.support.instances import Spec, dataset, files, specs
from tests.support.orthanc import OrthancServer
from tests.support.ports import free_port

LOCAL_PORT = free_port()
SERVERS_PORT = free_port()
LEVEL = ["QueryRetrieveLevel=STUDY"]
STUDIES = [dataset(Spec(study=number)) for number in range(1, 7)]
TIMEOUTS = {"quiet": 1, "grace": 5, "response": 20}
UNKNOWN = f"The archive does not know move destination {AET}"


def job(folder: Path, archive: FakeArchive, count: int = 6, **more: Any) -> Job:
    sections: dict[str, Any] = {"pacs": {"timeouts": TIMEOUTS}, **more}
    rows = [["StudyInstanceUID"], *([one.StudyInstanceUID] for one in STUDIES[:count])]
    return Job(folder, archive, LOCAL_PORT, "c-move", LEVEL, rows, **sections)


def attempts(done: Job) -> list[tuple[str, str]]:
    """Return when each attempt began, and when the next was due in the end."""
    with closing(sqlite3.connect(done.state / "ledger.sqlite")) as db:
        sql = "SELECT started, coalesce(due, '') FROM attempt JOIN request ON request.id = request"
        return list(db.execute(f"{sql} ORDER BY attempt.id"))


def test_f06_an_unknown_destination_stops_the_run_with_one_sentence(tmp_path: Path) -> None:
    with FakeArchive(Script([[Final(0xA801)]])) as archive:
        done = job(tmp_path, archive, request={"threads": 2})
        ended = done.run()
        assert ended.code == 3
        assert len(archive.asked) <= 2
    assert ended.text.count(UNKNOWN) == 1
    assert "register SAMPLE_AE with our host and port" in ended.text
    assert done.results() == []


def test_f06_an_archive_that_forgets_the_destination_stops_the_run_too(tmp_path: Path) -> None:
    unknown: list[Step] = [Final(0xA801)]
    answers = [sending([STUDIES[0]]), unknown]
    with FakeArchive(Script(answers, destinations={AET: LOCAL_PORT})) as archive:
        done = job(tmp_path, archive, retry={"attempts": 9, "wait": 0.1, "longest_wait": 0.1})
        ended = done.run()
        assert ended.code == 3
        assert len(archive.asked) == 4
    assert ended.text.count(f"{UNKNOWN}. Ask its administrator") == 1
    assert [row["Outcome"] for row in done.results()] == ["complete"]


@pytest.mark.parametrize(
    ("reject", "sentence"),
    [
        ((1, 1, 7), "The archive does not answer to the AE title FAKE"),
        ((1, 1, 3), "The archive FAKE does not recognise our AE title SAMPLE_AE"),
    ],
)
def test_f07_a_rejection_for_good_stops_the_run_with_its_reason(
    tmp_path: Path, reject: tuple[int, int, int], sentence: str
) -> None:
    with FakeArchive(Script(reject=[reject] * 50)) as archive:
        ended = job(tmp_path, archive, request={"threads": 4}).run()
        assert ended.code == 3
        assert archive.associations <= 4
        assert archive.asked == []
    assert ended.text.count(sentence) == 1


@pytest.mark.parametrize("reason", [1, 2], ids=["congestion", "local limit"])
def test_f07_a_rejection_for_load_lowers_the_concurrency_and_costs_no_attempt(
    tmp_path: Path, reason: int
) -> None:
    script = Script(
        moving(STUDIES),
        reject=[(2, 3, reason)] * 3,
        destinations={AET: LOCAL_PORT},
        queries=answering(STUDIES),
    )
    with FakeArchive(script) as archive:
        retry = {"attempts": 9, "wait": 0.1, "longest_wait": 0.5}
        done = job(tmp_path, archive, request={"threads": 4}, retry=retry)
        ended = done.run()
    assert ended.code == 0, ended.text
    assert len(attempts(done)) == len(STUDIES)
    assert "threads.fewer threads=2" in done.log()


def test_attempts_and_the_time_of_the_next_survive_a_kill(tmp_path: Path) -> None:
    with FakeArchive(Script([[Final(0xA702)]])) as archive:
        done = job(tmp_path, archive, 1, retry={"attempts": 3, "wait": "6s", "longest_wait": "6s"})
        with done.start(name="first") as running:
            wait_for(lambda: len(archive.asked) == 1 and due(done) != "")
            moment = due(done)
            running.kill()
        ended = done.run()
        assert ended.code == 1
        assert len(archive.asked) == 3
    began = [datetime.fromisoformat(started) for started, _ in attempts(done)]
    assert began[1] >= datetime.fromisoformat(moment)
    assert due(done) == ""


@pytest.mark.parametrize("seconds", [0.5, 10, 120, 1e6])
def test_f17_a_dead_peer_is_given_up_by_the_kernel_in_the_time_that_was_set(seconds: float) -> None:
    with socket.socket() as one:
        end_when_dead(one, seconds)
        idle, interval, probes, unacknowledged = (
            one.getsockopt(socket.IPPROTO_TCP, getattr(socket, name))
            for name in ("TCP_KEEPIDLE", "TCP_KEEPINTVL", "TCP_KEEPCNT", "TCP_USER_TIMEOUT")
        )
        assert one.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
    if seconds <= 2 * 32767:  # the kernel's largest
        assert seconds / 2 <= idle + interval * probes <= max(seconds * 1.6, 8)
    assert unacknowledged == max(1, round(seconds)) * 1000


def due(done: Job) -> str:
    try:
        found = attempts(done)
    except sqlite3.OperationalError:
        return ""
    return found[-1][1] if found else ""


def wait_for(condition: Any, seconds: float = 40) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


# --- evidence of real archives

SPECS = list(specs(patients=1, studies=1, series=2, instances=3))


@pytest.fixture(scope="module")
def orthanc(start_orthanc: OrthancFactory) -> OrthancServer:
    server = start_orthanc([(AET, SERVERS_PORT)])
    server.load(files(iter(SPECS)))
    return server


@pytest.fixture(scope="module")
def dcmqrscp(start_dcmqrscp: DcmqrscpFactory) -> DcmqrscpServer:
    server = start_dcmqrscp([(AET, SERVERS_PORT)])
    server.load(files(iter(SPECS)))
    return server


@pytest.mark.parametrize("verify", ["counts", "instances"])
@pytest.mark.parametrize("model", ["study", "patient"])
@pytest.mark.parametrize("server", ["orthanc", "dcmqrscp"])
def test_f02_real_archives_list_their_instances_and_count_them(
    request: pytest.FixtureRequest, tmp_path: Path, server: str, model: str, verify: str
) -> None:
    archive = request.getfixturevalue(server)
    columns = ["PatientID", "StudyInstanceUID"]
    rows = [columns, [SPECS[0].patient_id, SPECS[0].study_uid]]
    done = Job(
        tmp_path, archive, SERVERS_PORT, "c-move", LEVEL, rows,
        request={"model": model}, pacs={"timeouts": TIMEOUTS},
    )  # fmt: skip
    done.sections["verify"] = verify
    done.write()
    ended = done.run()
    assert ended.code == 0, ended.text
    assert {row["Outcome"] for row in done.results()} == {"complete"}
    assert set(done.stored()) == {one.sop_uid for one in SPECS}
    with closing(sqlite3.connect(done.state / "ledger.sqlite")) as db:
        ((evidence, expected),) = db.execute("SELECT evidence, expected FROM request")
    usual = "related" if server == "orthanc" else "counters"
    assert (evidence, expected) == ("instances" if verify == "instances" else usual, len(SPECS))
