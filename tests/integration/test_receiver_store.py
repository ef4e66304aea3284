"""What becomes of an instance: kept, attributed, announced, or refused with the right status."""

import struct
import threading
import time
from contextlib import suppress
from io import BytesIO
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset

from pydicombatch.core.attribution import Expectation
from pydicombatch.core.file_meta import file_meta
from pydicombatch.core.model import Identifiers
from pydicombatch.receive.server.settings import Durability, Limits
from tests.support import hand_made as raw
from tests.support.receiving import receiver, until
from tests.support.servers import run

BIG = "1.2.840.10008.1.2.2"
KINDS = pytest.mark.parametrize("process", [False, True])


@KINDS
@pytest.mark.parametrize("durability", list(Durability))
def test_a_stored_instance_lies_in_the_spool_as_it_was_sent(
    tmp_path: Path, process: bool, durability: Durability
) -> None:
    data = raw.data_set(pixels=200_000)
    with (
        receiver(tmp_path / "s", process=process, durability=durability) as heard,
        raw.Peer(heard.port) as peer,
    ):
        peer.associate()
        assert peer.store(data) == 0
        (arrival,) = heard.wait(1)
        assert arrival.identifiers == Identifiers(
            raw.CT, raw.UID, "1.2.3.4", "1.2.3.4.5", "SYN001", "A1"
        )
        assert arrival.requests == (1,)
        assert arrival.transfer_syntax_uid == raw.EXPLICIT
        assert arrival.file.name == "run-1-00000001.dcm"
        path = heard.spool / arrival.file.name
        assert arrival.size == path.stat().st_size
        assert path.stat().st_mode & 0o777 == 0o600
        assert heard.content(arrival) == data
        read = dcmread(path)
        assert read.file_meta.MediaStorageSOPInstanceUID == raw.UID
        assert read.file_meta.TransferSyntaxUID == raw.EXPLICIT


@KINDS
def test_what_nobody_asked_for_is_refused_and_counted_and_leaves_no_file(
    tmp_path: Path, process: bool
) -> None:
    """S03."""
    with receiver(tmp_path / "s", process=process) as heard, raw.Peer(heard.port) as peer:
        peer.associate()
        assert peer.store(raw.data_set(patient="STRANGER", pixels=100_000)) == 0x0124
        assert peer.store(raw.data_set()) == 0
        heard.wait(1)
        until(lambda: heard.receiver.refused() == 1)
        assert len(heard.files()) == 1


@KINDS
def test_what_an_earlier_request_asked_for_is_kept(tmp_path: Path, process: bool) -> None:
    def retained(found: Identifiers) -> tuple[int, ...]:
        return (41, 42) if found.patient_id == "LATE" else ()

    with (
        receiver(tmp_path / "s", process=process, retained=retained) as heard,
        raw.Peer(heard.port) as peer,
    ):
        peer.associate()
        assert peer.store(raw.data_set(patient="LATE", pixels=300_000)) == 0
        assert heard.wait(1)[0].requests == (41, 42)
        assert heard.files() == ["run-41+42-00000001.dcm"]
        assert peer.store(raw.data_set(patient="NEVER")) == 0x0124


def test_a_lookup_that_fails_refuses_and_harms_nobody(tmp_path: Path) -> None:
    def retained(_: Identifiers) -> tuple[int, ...]:
        raise OSError

    with receiver(tmp_path / "s", retained=retained) as heard, raw.Peer(heard.port) as peer:
        peer.associate()
        assert peer.store(raw.data_set(patient="LATE")) == 0x0124
        assert peer.echo() == 0


def test_unsolicited_instances_are_kept_when_that_is_wanted(tmp_path: Path) -> None:
    with receiver(tmp_path / "s", unsolicited=True) as heard, raw.Peer(heard.port) as peer:
        peer.associate()
        assert peer.store(raw.data_set(patient="STRANGER")) == 0
        assert heard.wait(1)[0].file.name == "run-x-00000001.dcm"


@KINDS
def test_the_move_originator_decides_until_its_request_is_settled(
    tmp_path: Path, process: bool
) -> None:
    with receiver(tmp_path / "s", process=process) as heard, raw.Peer(heard.port) as peer:
        heard.receiver.expect(Expectation(7, 333, ()))
        peer.associate()
        stranger = raw.data_set(patient="ANY")
        peer.send(raw.store(stranger, originator=("OURS", 333)))
        assert peer.status() == 0
        assert heard.wait(1)[0].requests == (7,)
        heard.receiver.settle(7)
        heard.receiver.expect(Expectation(8, 334, ()))
        peer.send(raw.store(stranger, originator=("OURS", 333)))
        assert peer.status() == 0x0124


@pytest.mark.parametrize("size", [7, 100, 16000])
@pytest.mark.parametrize(
    ("data", "instance", "expected"),
    [
        (raw.data_set(), "1.2.3.99", 0xA900),
        (raw.data_set(sop_class="1.2.840.10008.5.1.4.1.1.4"), raw.UID, 0xA900),
        (raw.data_set(pixels=30000)[:-9500], raw.UID, 0xC000),
        (raw.data_set()[:100], raw.UID, 0xC000),
        (b"\xff" * 5000, raw.UID, 0xC000),
        (b"", raw.UID, 0xC000),
        (raw.data_set(patient="STRANGER"), raw.UID, 0x0124),
    ],
)
def test_what_cannot_be_kept_is_refused_however_it_is_cut(
    tmp_path: Path, data: bytes, instance: str, expected: int, size: int
) -> None:
    """F19, F20."""
    with receiver(tmp_path / "s") as heard, raw.Peer(heard.port) as peer:
        peer.associate()
        peer.send(raw.store(data, instance=instance, size=size))
        assert peer.status() == expected
        assert peer.store(raw.data_set()) == 0
        heard.wait(1)
        assert len(heard.files()) == 1


def test_small_fragments_and_ends_that_need_a_walk_give_the_same_file(tmp_path: Path) -> None:
    data = raw.data_set(pixels=9000) + raw.explicit(0xFFFCFFFC, "OB", bytes(64))
    with receiver(tmp_path / "s") as heard, raw.Peer(heard.port) as peer:
        peer.associate()
        for number, size in enumerate((1, 13, 977, 16000), 1):
            peer.send(raw.store(data, size=size))
            assert peer.status() == 0
            assert heard.content(heard.wait(number)[-1]) == data


def test_objects_of_a_hundred_bytes_to_a_hundred_megabytes_are_kept(tmp_path: Path) -> None:
    tiny = raw.explicit(0x00080016, "UI", raw.CT.encode())
    tiny += raw.explicit(0x00080018, "UI", raw.UID.encode())
    tiny += raw.explicit(0x00100020, "LO", b"SYN001")
    assert len(tiny) < 120
    with receiver(tmp_path / "s") as heard, raw.Peer(heard.port, timeout=60) as peer:
        peer.associate()
        for data in (tiny, raw.data_set(pixels=100_000_000)):
            peer.send(raw.store(data, size=16000 if data is tiny else 131000))
            assert peer.status() == 0
            assert heard.content(heard.wait(1)[-1]) == data
            heard.arrivals.clear()


STRAY = raw.explicit(0x00020010, "UI", raw.IMPLICIT.encode())  # says what is not true
META = file_meta(raw.CT, raw.UID, raw.EXPLICIT)[132:]


@pytest.mark.parametrize(
    ("syntax", "stray"),
    [
        (raw.EXPLICIT, STRAY),
        (raw.EXPLICIT, META),
        (raw.IMPLICIT, STRAY),
        (raw.IMPLICIT, struct.pack("<HHI", 2, 0x10, 18) + raw.EXPLICIT.encode()[:18]),
        (BIG, STRAY),
        (BIG, struct.pack(">HH2sH", 2, 0x10, b"UI", 18) + raw.EXPLICIT.encode()[:18]),
    ],
)
@pytest.mark.parametrize("size", [5, 16000])
def test_group_0002_before_a_data_set_is_removed_for_it_would_change_how_the_file_is_read(
    tmp_path: Path, syntax: str, stray: bytes, size: int
) -> None:
    data = re_encoded(syntax)
    request = raw.associate_rq(contexts=((3, raw.CT, (syntax,)),))
    with receiver(tmp_path / "s") as heard, raw.Peer(heard.port) as peer:
        peer.associate(request)
        peer.send(raw.store(stray + data, size=size))
        assert peer.status() == 0
        (arrival,) = heard.wait(1)
        path = heard.spool / arrival.file.name
        assert heard.content(arrival) == data
        assert arrival.size == path.stat().st_size
        read = dcmread(path)
        assert (read.file_meta.TransferSyntaxUID, read.PatientID) == (syntax, "SYN001")
        assert "(0010,0020) LO [SYN001]" in run("dcmdump", path)


def re_encoded(syntax: str) -> bytes:
    read = dcmread(BytesIO(raw.data_set()), force=True)
    buffer = DicomBytesIO()
    buffer.is_little_endian, buffer.is_implicit_VR = syntax != BIG, syntax == raw.IMPLICIT
    write_dataset(buffer, read)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "data", [STRAY, STRAY[:-1], STRAY + b"\x10", STRAY + raw.data_set()[:-1], 50 * META]
)
def test_group_0002_before_nothing_or_before_damage_is_refused(tmp_path: Path, data: bytes) -> None:
    with receiver(tmp_path / "s") as heard, raw.Peer(heard.port) as peer:
        peer.associate()
        assert peer.store(data) == 0xC000
        assert peer.store(raw.data_set()) == 0
        heard.wait(1)
        assert len(heard.files()) == 1


@KINDS
def test_below_the_floor_nothing_is_taken_and_the_engine_is_told(
    tmp_path: Path, process: bool
) -> None:
    """F32."""
    with (
        receiver(tmp_path / "s", process=process, floor=1 << 60) as heard,
        raw.Peer(heard.port) as peer,
    ):
        peer.associate()
        assert peer.store(raw.data_set()) == 0xA700
        assert peer.echo() == 0
        until(heard.receiver.is_full)
        assert heard.files() == []


def test_an_object_over_the_cap_ends_its_association_and_leaves_nothing(tmp_path: Path) -> None:
    """F51."""
    limits = Limits(largest_object=1 << 20)
    with receiver(tmp_path / "s", limits=limits) as heard, raw.Peer(heard.port) as peer:
        peer.associate()
        try:
            peer.send(raw.store(raw.data_set(pixels=3 << 20)))
            assert peer.answer()[0] == 7
        except OSError:
            pass
        until(lambda: [p.name for p in heard.spool.iterdir()] == [])


@KINDS
def test_a_slow_engine_delays_answers_and_loses_nothing(tmp_path: Path, process: bool) -> None:
    """F41. Each process has its share of what may be unconfirmed."""
    limits = Limits(unconfirmed=4)
    with (
        receiver(tmp_path / "s", process=process, limits=limits) as heard,
        raw.Peer(heard.port, timeout=1.0) as peer,
    ):
        heard.gate.clear()
        peer.associate()
        answered = 0
        with suppress(TimeoutError):
            while answered < 40:
                assert peer.store(raw.data_set()) == 0
                answered += 1
        assert 2 <= answered <= 8
        with raw.Peer(heard.port) as other:
            other.associate()
            assert other.echo() == 0
        heard.gate.set()
        assert peer.status() == 0
        heard.wait(answered + 1)
        assert len(heard.files()) == answered + 1


def test_a_peer_that_does_not_wait_for_answers_is_answered_in_order(tmp_path: Path) -> None:
    with receiver(tmp_path / "s") as heard, raw.Peer(heard.port) as peer:
        peer.associate()
        data = raw.data_set()
        many = b"".join(raw.store(data, message_id=number) for number in range(1, 51))
        sender = threading.Thread(target=peer.send, args=(many + raw.echo_rq(),))
        sender.start()
        assert [peer.status() for _ in range(51)] == [0] * 51
        sender.join()
        heard.wait(50)


def test_the_byte_rate_is_kept_over_all_associations(tmp_path: Path) -> None:
    with (
        receiver(tmp_path / "s", megabytes_per_second=2.0) as heard,
        raw.Peer(heard.port) as one,
        raw.Peer(heard.port) as two,
    ):
        begun = time.monotonic()
        data = raw.data_set(pixels=1 << 20)
        for peer in (one, two):
            peer.associate()
            threading.Thread(target=peer.send, args=(raw.store(data),)).start()
        assert (one.status(), two.status()) == (0, 0)
        assert time.monotonic() - begun > 0.7


def test_closing_acknowledges_announces_and_hangs_up(tmp_path: Path) -> None:
    with receiver(tmp_path / "s") as heard, raw.Peer(heard.port) as peer:
        peer.associate()
        for number in range(1, 20):
            assert peer.store(raw.data_set(), message_id=number) == 0
        heard.receiver.close()
        assert len(heard.arrivals) == 19
        assert peer.answer()[0] in {0, 7}
        with pytest.raises(ConnectionRefusedError):
            raw.Peer(heard.port)


def test_a_port_in_use_is_a_configuration_error(tmp_path: Path) -> None:
    from pydicombatch.core.errors import ConfigError
    from pydicombatch.receive.process.parent import ProcessReceiver
    from pydicombatch.receive.server.settings import Settings

    with receiver(tmp_path / "s") as heard:
        second = ProcessReceiver(Settings(heard.port, "OURS", str(heard.spool), "r2"), lambda _: ())
        with pytest.raises(ConfigError, match="in use"):
            second.start(lambda _: None)
