"""`check --loop` against archives that are configured well, and wrongly in one way each."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pydicom.dataset import Dataset
from pynetdicom import AE
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]

from tests.conftest import DcmqrscpFactory, OrthancFactory
from tests.support.dcmqrscp import DcmqrscpServer
from tests.support.extraction import AET, Ended, Job
from tests.support.fake_archive import Asked, FakeArchive, Final, Pending, Script, Step
from tests.support.instances import files, specs
from tests.support.orthanc import OrthancServer
from tests.support.ports import free_port
from tests.support.storage import StorageServer

LOCAL_PORT, CLOSED_PORT = free_port(), free_port()
ELEMENTS = ["QueryRetrieveLevel=STUDY", "StudyInstanceUID=1.2"]


@pytest.fixture(scope="module")
def elsewhere() -> Iterator[StorageServer]:
    with StorageServer("LOST_AE") as server:
        yield server


@pytest.fixture(scope="module")
def orthanc(start_orthanc: OrthancFactory, elsewhere: StorageServer) -> OrthancServer:
    known = [(AET, LOCAL_PORT), ("FAR_AE", CLOSED_PORT), ("LOST_AE", elsewhere.port)]
    server = start_orthanc(known)
    server.load(files(specs(studies=2, series=2, instances=3)))
    return server


@pytest.fixture(scope="module")
def dcmqrscp(start_dcmqrscp: DcmqrscpFactory, elsewhere: StorageServer) -> DcmqrscpServer:
    known = [(AET, LOCAL_PORT), ("FAR_AE", CLOSED_PORT), ("LOST_AE", elsewhere.port)]
    server = start_dcmqrscp(known)
    server.load(files(specs(studies=2, series=2, instances=3)))
    return server


@pytest.fixture(params=["orthanc", "dcmqrscp"])
def server(request: pytest.FixtureRequest) -> OrthancServer | DcmqrscpServer:
    found: OrthancServer | DcmqrscpServer = request.getfixturevalue(request.param)
    return found


def check(folder: Path, archive: Any, kind: str = "c-move", **more: Any) -> Ended:
    job = Job(folder, archive, LOCAL_PORT, kind, ELEMENTS, **more)
    ended = job.command("check", "--loop")
    assert not job.out.exists()
    assert sorted(one.name for one in folder.iterdir()) == ["config.yml"]
    return ended


@pytest.mark.parametrize("kind", ["c-move", "c-find", "c-get"])
def test_a_series_comes_back_and_nothing_is_left(
    server: OrthancServer | DcmqrscpServer, tmp_path: Path, kind: str
) -> None:
    ended = check(tmp_path, server, kind)
    assert ended.code == 0, ended.text
    assert "ok    C-FIND: found a series of 3 instances" in ended.out
    assert ended.out.splitlines()[-1].startswith("ok    loop: 3 instances came back")


def test_a_title_that_the_archive_does_not_know_is_named(
    server: OrthancServer | DcmqrscpServer, tmp_path: Path
) -> None:
    ended = check(tmp_path, server, local={"aet": "NOBODY"})
    assert ended.code == 3
    assert all(one in ended.out for one in ("know", "move destination", "NOBODY"))


def test_a_port_that_the_archive_cannot_reach_is_named(
    server: OrthancServer | DcmqrscpServer, tmp_path: Path
) -> None:
    """F23."""
    ended = check(tmp_path, server, local={"aet": "FAR_AE"})
    assert ended.code == 3
    assert "cannot connect to" in ended.out
    assert str(LOCAL_PORT) in ended.out.splitlines()[-1]


def test_instances_that_go_to_another_machine_are_missed(
    server: OrthancServer | DcmqrscpServer, tmp_path: Path, elsewhere: StorageServer
) -> None:
    """F23."""
    ended = check(tmp_path, server, local={"aet": "LOST_AE"})
    assert ended.code == 3
    assert f"nobody connected to port {LOCAL_PORT}" in ended.out
    assert elsewhere.uids()


def test_an_archive_that_may_not_store_here_is_named(
    server: OrthancServer | DcmqrscpServer, tmp_path: Path
) -> None:
    accept = {"accept": {"calling_aets": ["SOMEBODY"]}}
    ended = check(tmp_path, server, local=accept)
    assert ended.code == 3
    assert "local.accept.calling_aets" in ended.out
    accept = {"accept": {"addresses": ["192.0.2.0/24"]}}
    ended = check(tmp_path, server, local=accept)
    assert "local.accept.addresses" in ended.out


def test_instances_from_another_title_are_said_to_be(
    orthanc: OrthancServer, tmp_path: Path
) -> None:
    ended = check(tmp_path, orthanc, pacs={"aet": "ALIAS"})
    assert ended.code == 0, ended.text
    assert "under AE title ORTHANC, not ALIAS itself" in ended.out


def test_a_rejection_is_explained_before_anything_is_asked(
    dcmqrscp: DcmqrscpServer, tmp_path: Path
) -> None:
    ended = check(tmp_path, dcmqrscp, pacs={"aet": "WRONG"})
    assert ended.code == 3
    assert "does not answer to the AE title WRONG" in ended.out
    assert "loop" not in ended.out


@pytest.mark.parametrize("kind", ["orthanc", "dcmqrscp"])
def test_our_own_title_that_the_archive_does_not_accept_is_named(
    start_orthanc: OrthancFactory, start_dcmqrscp: DcmqrscpFactory, tmp_path: Path, kind: str
) -> None:
    known = [("KNOWN_AE", LOCAL_PORT)]
    if kind == "orthanc":
        verbs = ("Echo", "Find", "FindWorklist", "Get", "Move", "Store")
        closed: dict[str, object] = {f"DicomAlwaysAllow{verb}": False for verb in verbs}
        server: Any = start_orthanc(known, settings=closed)
    else:
        server = start_dcmqrscp(known, callers="peer0")
    ended = check(tmp_path, server)
    assert ended.code == 3
    said = {
        "orthanc": f"does not recognise our AE title {AET}",
        "dcmqrscp": f"say so when they do not know {AET}",  # it says that it is not DCMQRSCP
    }
    assert said[kind] in ended.out
    assert "loop" not in ended.out


def test_instances_from_another_address_are_said_to_be(
    server: OrthancServer | DcmqrscpServer, tmp_path: Path
) -> None:
    """The archive listens at one address of its machine, and sends from another one."""
    ended = check(tmp_path, server, pacs={"hostname": "127.0.0.2"})
    assert ended.code == 0, ended.text
    assert f"from 127.0.0.1, not {server.aet} itself" in ended.out


def test_what_is_said_to_be_sent_but_never_arrives_is_missed(tmp_path: Path) -> None:
    """Orthanc and dcmqrscp notice when they cannot deliver; some archives say success first."""
    with liar(lambda asked: [Final(completed=1)]) as archive:
        ended = check(tmp_path, archive)
    assert ended.code == 3
    assert f"says it has sent all, but nobody connected to port {LOCAL_PORT}" in ended.out
    assert "firewall" in ended.out


def test_an_archive_that_calls_us_otherwise_is_named(tmp_path: Path) -> None:
    """Our port is registered, but under a title that is not ours."""

    def call_another(_asked: Asked) -> list[Step]:
        ae = AE("PEER")
        ae.add_requested_context(Verification)
        ae.associate("127.0.0.1", LOCAL_PORT, ae_title="OLD_TITLE").release()
        return [Final(0xB000, completed=0, failed=1)]

    with liar(call_another) as archive:
        ended = check(tmp_path, archive)
    assert ended.code == 3
    assert f"PEER connects to us but calls us OLD_TITLE, not {AET}" in ended.out


def liar(moved: Callable[[Asked], list[Step]]) -> FakeArchive:
    """Make an archive that shows one series and does with a C-MOVE what it is told."""
    found = Dataset()
    found.StudyInstanceUID, found.SeriesInstanceUID, found.SOPInstanceUID = (
        "1.2",
        "1.2.3",
        "1.2.3.4",
    )
    match: list[Step] = [Pending(match=found), Final()]
    script = Script(
        answers=lambda asked: match if asked.operation == "FIND" else moved(asked),
        queries=lambda _: match,
    )
    return FakeArchive(script, aet="PEER")


@pytest.mark.parametrize(
    ("pacs", "said"),
    [({"port": CLOSED_PORT}, "No listener"), ({"hostname": "no.host.invalid"}, "does not resolve")],
)
def test_an_archive_that_is_not_there_is_named(
    orthanc: OrthancServer, tmp_path: Path, pacs: dict[str, object], said: str
) -> None:
    ended = check(tmp_path, orthanc, pacs=pacs)
    assert ended.code == 3
    assert said in ended.out


def test_an_archive_that_holds_nothing_is_said_to(
    start_orthanc: OrthancFactory, tmp_path: Path
) -> None:
    ended = check(tmp_path, start_orthanc())
    assert ended.code == 3
    assert "shows us no series" in ended.out


def test_a_destination_of_its_own_is_left_alone(orthanc: OrthancServer, tmp_path: Path) -> None:
    ended = check(tmp_path, orthanc, request={"destination": "LOST_AE"})
    assert ended.code == 0
    assert "not tested: instances go to LOST_AE" in ended.out
