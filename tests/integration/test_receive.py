"""Our storage SCP against DCMTK's and pynetdicom's senders."""

import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from io import BytesIO
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.uid import UID
from pynetdicom import AE
from pynetdicom.association import Association
from pynetdicom.dimse_primitives import C_STORE

from pydicombatch.core.attribution import expectation
from pydicombatch.core.errors import ConfigError
from pydicombatch.core.header import of_file
from pydicombatch.core.model import Arrival, Identifiers, Key, Request, RequestType
from pydicombatch.receive.scp import StorageScp
from pydicombatch.receive.spool import Spool
from tests.support.instances import (
    ENCODINGS,
    PRIVATE,
    SECONDARY_CAPTURE,
    Spec,
    dataset,
    file,
    specs,
    to_bytes,
)
from tests.support.ports import LOOPBACK, free_port
from tests.support.servers import run

AET = "SAMPLE_AE"
SMALL = Spec(bits=8, sop_class=SECONDARY_CAPTURE, modality="OT")
EXPLICIT = "1.2.840.10008.1.2.1"


class Receiving:
    """The receiver with what it announced."""

    def __init__(self, spool: Spool, scp: StorageScp) -> None:
        self.spool = spool
        self.scp = scp
        self.arrivals: list[Arrival] = []

    def announce(self, arrival: Arrival) -> None:
        assert self.spool.path(arrival.file).stat().st_size == arrival.size
        self.arrivals.append(arrival)

    def content(self, arrival: Arrival) -> bytes:
        return self.spool.path(arrival.file).read_bytes()

    @property
    def files(self) -> list[Path]:
        return list(self.spool.directory.iterdir())


Start = Callable[..., Receiving]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    running: list[StorageScp] = []

    def make(
        retained: Callable[[Identifiers], tuple[int, ...]] = lambda _: (), **more: object
    ) -> Receiving:
        spool = Spool(tmp_path / "spool")
        spool.prepare()
        scp = StorageScp(AET, 0, LOOPBACK, spool, "r1", retained, **more)  # type: ignore[arg-type]
        one = Receiving(spool, scp)
        scp.start(one.announce)
        running.append(scp)
        return one

    yield make
    for scp in running:
        scp.close()


def associate(port: int, sop_class: str, syntax: str, called: str = AET) -> Association:
    entity = AE("FEEDER")
    entity.add_requested_context("1.2.840.10008.1.1")
    entity.add_requested_context(sop_class, syntax)
    return entity.associate(LOOPBACK, port, ae_title=called)


def store(
    port: int,
    raw: bytes,
    *,
    named: str = "",
    originator: tuple[str, int] | None = None,
    cut: int = 0,
    extra: bytes = b"",
) -> int:
    """Send the bytes of a file's data set, exactly, and return the status."""
    header = of_file(raw)
    found = header.identifiers
    association = associate(port, found.sop_class_uid, header.transfer_syntax_uid)
    assert association.is_established
    try:
        request = C_STORE()
        request.MessageID, request.Priority = 1, 2
        request.AffectedSOPClassUID = UID(found.sop_class_uid)
        request.AffectedSOPInstanceUID = UID(named or found.sop_instance_uid)
        if originator:
            request.MoveOriginatorApplicationEntityTitle = originator[0]
            request.MoveOriginatorMessageID = originator[1]
        data = extra + raw[header.start : len(raw) - cut]
        request.DataSet = BytesIO(data)
        context = association.accepted_contexts[-1].context_id
        assert context is not None
        association._reactor_checkpoint.clear()
        while not association._is_paused:
            time.sleep(0.001)
        association.dimse.send_msg(request, context)
        _, response = association.dimse.get_msg(block=True)
        assert isinstance(response, C_STORE)
        assert response.Status is not None
        association._reactor_checkpoint.set()
        return response.Status
    finally:
        association.release()


def by_study(spec: Spec, number: int = 1, message_id: int = 7) -> object:
    key = Key("StudyInstanceUID", spec.study_uid)
    return expectation(number, message_id, Request("i", 1, RequestType.MOVE, "study", (key,)))


def test_every_transfer_syntax_is_stored_byte_by_byte_as_it_was_sent(start: Start) -> None:
    receiving = start(accept_unsolicited=True)
    for encoding, syntax in ENCODINGS.items():
        raw = file(SMALL, encoding)
        assert store(receiving.scp.port, raw) == 0x0000
        arrival = receiving.arrivals[-1]
        content = receiving.content(arrival)
        assert content[of_file(content).start :] == raw[of_file(raw).start :], encoding
        assert arrival.transfer_syntax_uid == syntax
        assert dcmread(BytesIO(content)).file_meta.TransferSyntaxUID == syntax
        assert arrival.identifiers.sop_instance_uid == SMALL.sop_uid


def test_the_same_instance_from_another_sender_gives_the_same_file(
    start: Start, tmp_path: Path
) -> None:
    receiving = start(accept_unsolicited=True)
    (tmp_path / "one.dcm").write_bytes(file(SMALL))
    for title in ("FEEDER7", "FEEDER8"):
        port = str(receiving.scp.port)
        run("storescu", "-aet", title, "-aec", AET, "-xe", LOOPBACK, port, tmp_path / "one.dcm")
    first, second = map(receiving.content, receiving.arrivals)
    assert first == second
    assert b"FEEDER" not in first


@pytest.mark.parametrize("sop_class", [PRIVATE, "1.2.3.4.5.6", "1.2.840.10008.5.1.4.1.1.999"])
def test_private_and_unknown_classes_are_stored(start: Start, sop_class: str) -> None:
    receiving = start(accept_unsolicited=True)
    spec = Spec(sop_class=sop_class)
    assert store(receiving.scp.port, file(spec)) == 0x0000
    assert receiving.arrivals[0].identifiers.sop_class_uid == sop_class


def test_dcmtk_sends_a_study_over_one_association(start: Start, tmp_path: Path) -> None:
    receiving = start(accept_unsolicited=True)
    wanted = list(specs(series=2, instances=10))
    folder = tmp_path / "in"
    folder.mkdir()
    for spec in wanted:
        (folder / f"{spec.sop_uid}.dcm").write_bytes(file(spec))
    run("storescu", "-aec", AET, "+sd", LOOPBACK, str(receiving.scp.port), folder)
    uids = {one.identifiers.sop_instance_uid for one in receiving.arrivals}
    assert uids == {spec.sop_uid for spec in wanted}
    for one in receiving.arrivals:
        sent = dcmread(folder / f"{one.identifiers.sop_instance_uid}.dcm")
        assert dcmread(receiving.spool.path(one.file)).PixelData == sent.PixelData


def test_four_associations_at_once_lose_nothing(start: Start, tmp_path: Path) -> None:
    receiving = start(accept_unsolicited=True)
    senders = []
    for patient in range(1, 5):
        folder = tmp_path / str(patient)
        folder.mkdir()
        for spec in specs(instances=15):
            one = Spec(patient=patient, instance=spec.instance)
            (folder / f"{one.sop_uid}.dcm").write_bytes(file(one))
        arguments = ("storescu", "-aec", AET, "+sd", LOOPBACK, str(receiving.scp.port), folder)
        senders.append(threading.Thread(target=run, args=arguments))
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join()
    assert len({one.identifiers.sop_instance_uid for one in receiving.arrivals}) == 60
    assert len({one.file for one in receiving.arrivals}) == 60
    recovered = {one.file: one for one in receiving.spool.leftovers()}
    assert recovered == {one.file: one for one in receiving.arrivals}


def test_an_echo_is_answered(start: Start) -> None:
    run("echoscu", "-aec", AET, LOOPBACK, str(start().scp.port))


def test_another_called_title_is_rejected(start: Start) -> None:
    receiving = start(accept_unsolicited=True)
    association = associate(receiving.scp.port, SMALL.sop_class, EXPLICIT, called="OTHER_AE")
    assert association.is_rejected


def test_nobodys_instance_is_refused_and_counted(start: Start) -> None:
    receiving = start()
    assert store(receiving.scp.port, file(SMALL)) == 0x0124
    assert store(receiving.scp.port, file(SMALL), originator=(AET, 7)) == 0x0124
    assert receiving.scp.refused() == 2
    assert receiving.files == []


def test_an_instance_belongs_to_the_request_whose_move_it_is(start: Start) -> None:
    receiving = start()
    receiving.scp.expect(by_study(SMALL, 4, 7))  # type: ignore[arg-type]
    receiving.scp.expect(by_study(SMALL, 5, 8))  # type: ignore[arg-type]
    assert store(receiving.scp.port, file(SMALL), originator=(AET, 8)) == 0x0000
    assert store(receiving.scp.port, file(SMALL)) == 0x0000
    assert [one.requests for one in receiving.arrivals] == [(5,), (4, 5)]
    assert receiving.arrivals[1].file.name == "r1-4+5-00000002.dcm"


def test_late_instances_of_a_settled_request_are_welcome_by_their_uids(start: Start) -> None:
    def retained(instance: Identifiers) -> tuple[int, ...]:
        return (4,) if instance.study_instance_uid == SMALL.study_uid else ()

    receiving = start(retained)
    receiving.scp.expect(by_study(SMALL, 4, 7))  # type: ignore[arg-type]
    receiving.scp.settle(4)
    other = Spec(patient=8)
    assert store(receiving.scp.port, file(other), originator=(AET, 7)) == 0x0124
    assert store(receiving.scp.port, file(SMALL)) == 0x0000
    assert receiving.arrivals[0].requests == (4,)


def test_a_command_that_names_another_instance_is_refused(start: Start) -> None:
    receiving = start(accept_unsolicited=True)
    assert store(receiving.scp.port, file(SMALL), named="1.2.3") == 0xA900
    assert receiving.files == []


@pytest.mark.parametrize("encoding", ["implicit", "explicit", "big-endian", "rle", "deflated"])
def test_an_instance_shorter_than_its_lengths_is_refused(start: Start, encoding: str) -> None:
    receiving = start(accept_unsolicited=True)
    status = store(receiving.scp.port, file(SMALL, encoding), cut=100)
    assert status & 0xF000 == 0xC000
    assert receiving.files == []


@pytest.mark.parametrize("content", [b"\0\0\0\0", b"nonsense", b"\x08\0\x18\0UI\0\0"])
def test_what_is_no_data_set_is_refused(start: Start, content: bytes) -> None:
    receiving = start(accept_unsolicited=True)
    raw = file(SMALL)
    cut = len(raw) - of_file(raw).start
    assert store(receiving.scp.port, raw, cut=cut, extra=content) in {0xC000, 0xA900}
    assert receiving.files == []
    assert receiving.arrivals == []


def test_file_meta_inside_the_data_set_is_left_out(start: Start) -> None:
    receiving = start(accept_unsolicited=True)
    raw = file(SMALL)
    start_of_data = of_file(raw).start
    assert store(receiving.scp.port, raw, extra=raw[132:start_of_data]) == 0x0000
    content = receiving.content(receiving.arrivals[0])
    assert content[of_file(content).start :] == raw[start_of_data:]


def test_a_full_disk_is_told_to_the_archive_and_leaves_nothing(start: Start) -> None:
    receiving = start(accept_unsolicited=True)
    gone = receiving.spool.directory.rename(receiving.spool.directory.with_name("gone"))
    assert store(receiving.scp.port, file(SMALL)) == 0xA700
    gone.rename(receiving.spool.directory)
    assert store(receiving.scp.port, file(SMALL)) == 0x0000
    assert len(receiving.arrivals) == len(receiving.files) == 1


def test_what_could_not_be_announced_is_not_acknowledged(tmp_path: Path) -> None:
    def fail(_: Arrival) -> None:
        raise RuntimeError("the queue is closed")

    spool = Spool(tmp_path / "spool")
    spool.prepare()
    scp = StorageScp(AET, 0, LOOPBACK, spool, "r1", lambda _: (1,))
    scp.start(fail)
    try:
        assert store(scp.port, file(SMALL)) == 0xA700
        assert list(spool.directory.iterdir()) == []
    finally:
        scp.close()


def test_a_port_in_use_is_one_sentence_with_a_remedy(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind((LOOPBACK, 0))
        other.listen()
        port = other.getsockname()[1]
        scp = StorageScp(AET, port, LOOPBACK, Spool(tmp_path), "r1", lambda _: ())
        with pytest.raises(ConfigError, match=f"Port {port} is in use"):
            scp.start(lambda _: None)
        scp.close()


def test_an_address_that_is_not_ours_is_one_sentence(tmp_path: Path) -> None:
    scp = StorageScp(AET, free_port(), "192.0.2.1", Spool(tmp_path), "r1", lambda _: ())
    with pytest.raises(ConfigError, match=r"local\.bind '192\.0\.2\.1'"):
        scp.start(lambda _: None)


class Slow:
    """A rate that takes as long as the bytes need."""

    def __init__(self, bytes_per_second: float) -> None:
        self.taken = 0
        self._rate = bytes_per_second

    def take(self, count: int) -> None:
        self.taken += count
        time.sleep(count / self._rate)


def test_a_byte_rate_slows_the_sender_down(start: Start) -> None:
    rate = Slow(2_000_000)
    receiving = start(accept_unsolicited=True, rate=rate)
    raw = file(Spec(rows=1024, columns=1024))
    began = time.monotonic()
    assert store(receiving.scp.port, raw) == 0x0000
    assert time.monotonic() - began > 0.9 * len(raw) / 2_000_000
    assert rate.taken >= len(raw) - 1000


def test_closing_waits_for_the_instance_in_flight(tmp_path: Path) -> None:
    entered, go_on = threading.Event(), threading.Event()
    spool = Spool(tmp_path / "spool")
    spool.prepare()

    def announce(_: Arrival) -> None:
        entered.set()
        assert go_on.wait(20)

    scp = StorageScp(AET, 0, LOOPBACK, spool, "r1", lambda _: (1,))
    scp.start(announce)
    statuses: list[int] = []
    sender = threading.Thread(target=lambda: statuses.append(store(scp.port, file(SMALL))))
    sender.start()
    assert entered.wait(20)
    closing = threading.Thread(target=scp.close)
    closing.start()
    closing.join(0.3)
    assert closing.is_alive()
    go_on.set()
    closing.join(20)
    sender.join(20)
    assert statuses == [0x0000]
    assert len(spool.leftovers()) == 1
    scp.close()


CHILD = """
import sys, threading
from pathlib import Path
from pydicombatch.receive.scp import StorageScp
from pydicombatch.receive.spool import Spool
spool = Spool(Path(sys.argv[1]))
spool.prepare()
scp = StorageScp("SAMPLE_AE", int(sys.argv[2]), "127.0.0.1", spool, "r1", lambda _: (1,))
scp.start(lambda _: None)
print("ready", flush=True)
threading.Event().wait()
"""


@pytest.mark.parametrize("seconds", [0.05, 0.15, 0.3, 0.5])
def test_everything_acknowledged_survives_a_kill_and_nothing_half_does(
    tmp_path: Path, seconds: float
) -> None:
    port = free_port()
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(tmp_path / "spool"), str(port)], stdout=subprocess.PIPE
    )
    assert child.stdout is not None
    assert child.stdout.readline() == b"ready\n"
    acknowledged: list[str] = []
    many = [Spec(instance=number, rows=128, columns=128) for number in range(1, 200)]

    def send() -> None:
        association = associate(port, many[0].sop_class, EXPLICIT)
        with suppress(RuntimeError):  # the receiver was killed between two instances
            for spec in many:
                status = association.send_c_store(dataset(spec))
                if "Status" not in status or status.Status:
                    break
                acknowledged.append(spec.sop_uid)
        association.abort()

    sender = threading.Thread(target=send)
    sender.start()
    time.sleep(seconds)
    child.kill()
    child.wait()
    sender.join(60)
    spool = Spool(tmp_path / "spool")
    spool.prepare()
    found = {one.identifiers.sop_instance_uid: one for one in spool.leftovers()}
    assert set(acknowledged) <= set(found)
    for spec in many:
        one = found.pop(spec.sop_uid, None)
        if one is not None:
            kept = dcmread(spool.path(one.file))
            assert kept.PixelData == dcmread(BytesIO(to_bytes(dataset(spec)))).PixelData
    assert found == {}
