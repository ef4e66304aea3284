"""Hostile peers (fault catalogue, section C): bounds on memory and threads, others are served.

The hostile peers come from 127.0.0.2, the honest one from 127.0.0.1. The process, without any of
them, has 25 MB; numbers in the tests are what their hostile peers did to pynetdicom and DCMTK.
"""

import random
import re
import socket
import struct
import time
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest

from pydicombatch.receive.process.parent import ProcessReceiver
from pydicombatch.receive.server.settings import Limits
from tests.support import hand_made as raw
from tests.support.honest import HonestPeer
from tests.support.receiving import Heard, receiver, until

HOSTILE = "127.0.0.2"
MEGABYTE = 1 << 20


def status(heard: Heard, name: str) -> int:
    assert isinstance(heard.receiver, ProcessReceiver)
    found = (Path(f"/proc/{one}/status").read_text() for one in heard.receiver.pids)
    return sum(int(re.findall(rf"^{name}:\s+(\d+)", text, re.MULTILINE)[0]) for text in found)


def seconds_of_cpu(heard: Heard) -> float:
    assert isinstance(heard.receiver, ProcessReceiver)
    found = [Path(f"/proc/{one}/stat").read_text() for one in heard.receiver.pids]
    fields = [text.rpartition(")")[2].split() for text in found]
    return sum(int(one[11]) + int(one[12]) for one in fields) / 100


@contextmanager
def attacked(
    tmp_path: Path,
    limits: Limits | None = None,
    growth: int = 40 * MEGABYTE,
    first: bytes = b"",
) -> Iterator[Heard]:
    """Receive, echo throughout, and measure what it cost after the `first` data set."""
    with receiver(tmp_path / "s", process=True, limits=limits) as heard:
        if first:
            with raw.Peer(heard.port) as peer:
                peer.associate()
                assert peer.store(first) == 0x0124
        honest = HonestPeer(heard.port)
        memory, threads = status(heard, "VmHWM") << 10, status(heard, "Threads")
        try:
            yield heard
        finally:
            waits = honest.waits()
        assert max(waits) < 1.0
        assert (status(heard, "VmHWM") << 10) - memory < growth
        processes = len(heard.receiver.pids)  # type: ignore[union-attr]
        most = threads + 6 * processes  # those that sync, whoever comes
        assert status(heard, "Threads") <= most
        assert heard.receiver.restarts == 0  # type: ignore[union-attr]


def crowd(stack: ExitStack, port: int, count: int, first: bytes) -> list[raw.Peer]:
    peers = []
    for _ in range(count):
        peers.append(stack.enter_context(raw.Peer(port, HOSTILE)))
        peers[-1].send(first)
    return peers


@pytest.mark.parametrize("kind", [1, 4])
def test_f50_a_unit_of_four_gigabytes_is_cut_at_its_header(tmp_path: Path, kind: int) -> None:
    """Of 300 MB that follow pynetdicom keeps 299; DCMTK cuts after 3."""
    with attacked(tmp_path) as heard, ExitStack() as stack:
        for peer in crowd(stack, heard.port, 10, b""):
            if kind == 4:
                peer.associate()
            sent = 0
            with suppress(OSError):
                peer.send(struct.pack(">BxI", kind, 0xFFFFFFFF))
                while sent < 30 * MEGABYTE:
                    peer.send(bytes(65536))
                    sent += 65536
            assert peer_is_cut(peer)


def peer_is_cut(peer: raw.Peer) -> bool:
    with suppress(OSError):
        return peer.answer()[0] in {0, 7}
    return True


def test_f51_a_data_set_without_end_is_cut_at_the_cap_and_removed(tmp_path: Path) -> None:
    """300 MB of it cost all others 290 MB for every peer."""
    limits = Limits(largest_object=8 * MEGABYTE)
    with attacked(tmp_path, limits) as heard, ExitStack() as stack:
        for peer in crowd(stack, heard.port, 10, b""):
            peer.associate()
            with suppress(OSError):
                peer.send(raw.p_data(raw.pdv(3, 3, raw.command(1))))
                peer.send(raw.p_data(raw.pdv(3, 0, raw.data_set())))
                for _ in range(2000):
                    peer.send(raw.p_data(raw.pdv(3, 0, bytes(16000))))
            assert peer_is_cut(peer)
        until(lambda: not any(path.name.endswith(".dcm") for path in heard.spool.iterdir()))
        sizes = [path.stat().st_size for path in heard.spool.iterdir()]
        assert sum(sizes) == 0  # at most a file prepared for the next instance


def test_f52_peers_that_send_a_little_and_hold_are_dropped_in_time(tmp_path: Path) -> None:
    """Twelve of them lock pynetdicom out for good, and DCMTK for longer than 15 s."""
    with attacked(tmp_path, Limits(associate_seconds=2.0)) as heard, ExitStack() as stack:
        begun = time.monotonic()
        peers = crowd(stack, heard.port, 60, raw.associate_rq()[:20])
        for peer in peers:
            assert peer.exactly(16) in {b"", struct.pack(">BxIBBBB", 3, 4, 0, 2, 3, 2)}
        assert time.monotonic() - begun < 10


def test_f52_the_default_deadline_of_an_association_is_ten_seconds() -> None:
    assert Limits().associate_seconds <= 10.0


def test_f52_peers_that_stop_inside_a_unit_are_aborted(tmp_path: Path) -> None:
    with attacked(tmp_path, Limits(unit_seconds=1.0)) as heard, ExitStack() as stack:
        peers = crowd(stack, heard.port, 20, raw.associate_rq())
        for peer in peers:
            assert peer.answer()[0] == 2
            peer.send(raw.store(raw.data_set())[:100])
        for peer in peers:
            assert peer.answer()[0] == 7
        until(lambda: all(path.stat().st_size == 0 for path in heard.spool.iterdir()))


def test_f53_peers_that_send_a_little_and_close_leave_nothing(tmp_path: Path) -> None:
    """Twelve of them lock pynetdicom out for 30 s."""
    with attacked(tmp_path) as heard, ExitStack() as stack:
        for peer in crowd(stack, heard.port, 100, raw.associate_rq()[:20]):
            peer.socket.close()


def test_f54_500_peers_of_a_byte_a_moment_leave_room_for_the_honest(tmp_path: Path) -> None:
    """They made 1002 threads, 761 MB and 102 seconds of CPU in pynetdicom."""
    limits = Limits(associate_seconds=4.0)
    with attacked(tmp_path, limits, growth=100 * MEGABYTE) as heard, ExitStack() as stack:
        peers = crowd(stack, heard.port, 500, b"\1")
        for byte in raw.associate_rq()[1:6]:
            for peer in peers:
                with suppress(OSError):
                    peer.send(bytes((byte,)))
            time.sleep(0.3)


def test_f54_requests_that_are_nearly_complete_are_bounded_together(tmp_path: Path) -> None:
    limits = Limits(held_bytes=4 * MEGABYTE)
    half = struct.pack(">BxI", 1, 500_000) + bytes(400_000)
    with attacked(tmp_path, limits) as heard, ExitStack() as stack:  # all would be 80 MB
        for _ in range(200):
            peer = stack.enter_context(raw.Peer(heard.port, HOSTILE))
            with suppress(OSError):
                peer.send(half)


def test_f55_1500_connects_without_a_word_cost_nothing(tmp_path: Path) -> None:
    """They made 173 threads, 395 MB and 93 seconds of CPU in pynetdicom."""
    with attacked(tmp_path) as heard:
        before = seconds_of_cpu(heard)
        for _ in range(1500):
            raw.Peer(heard.port, HOSTILE).socket.close()
        assert seconds_of_cpu(heard) - before < 3.0


def test_f55_more_than_its_share_is_rejected_as_transient(tmp_path: Path) -> None:
    limits = Limits(connections_per_address=5)
    with attacked(tmp_path, limits) as heard, ExitStack() as stack:
        for peer in crowd(stack, heard.port, 5, raw.associate_rq()):
            assert peer.answer()[0] == 2
        sixth = stack.enter_context(raw.Peer(heard.port, HOSTILE))
        assert sixth.answer() == (3, bytes((0, 2, 3, 2)))


def test_f56_200_associations_at_once_with_an_instance_each_are_all_kept(tmp_path: Path) -> None:
    """Of 200 pynetdicom stored 43."""
    with attacked(tmp_path) as heard, ExitStack() as stack:
        peers = crowd(stack, heard.port, 200, raw.associate_rq())
        for peer in peers:
            assert peer.answer()[0] == 2
        for number, peer in enumerate(peers):
            uid = f"{raw.UID}.{number}"
            peer.send(raw.store(raw.data_set(uid, pixels=20_000), instance=uid))
        assert [peer.status() for peer in peers] == [0] * 200
        heard.wait(200)
        found = {arrival.identifiers.sop_instance_uid for arrival in heard.arrivals}
        assert len(found) == len(heard.files()) == 200


def test_f57_a_deflated_bomb_is_stored_as_it_came_and_never_exploded(tmp_path: Path) -> None:
    """1 MB that inflates to 1 GB took 3 GB of pynetdicom; here 256 KB and 256 MB take no 40 MB."""
    engine = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    size = 256 * MEGABYTE
    bomb = engine.compress(raw.data_set(pixels=0)[:-12])
    bomb += engine.compress(struct.pack("<HH2sHI", 0x7FE0, 0x10, b"OW", 0, size))
    bomb += b"".join(engine.compress(bytes(MEGABYTE)) for _ in range(256)) + engine.flush()
    request = raw.associate_rq(contexts=((3, raw.CT, (raw.DEFLATED,)),))
    with attacked(tmp_path) as heard, ExitStack() as stack:
        peers = [stack.enter_context(raw.Peer(heard.port, HOSTILE, 60)) for _ in range(3)]
        for peer in peers:
            peer.associate(request)
            peer.send(raw.store(bomb))
        assert [peer.status() for peer in peers] == [0, 0, 0]
        assert {heard.content(arrival) for arrival in heard.wait(3)} == {bomb}


def test_f58_sequences_50000_deep_are_refused_without_harm(tmp_path: Path) -> None:
    """They are a segmentation fault in DCMTK, and a RecursionError in pydicom."""
    sequence = struct.pack("<HH2sHI", 8, 0x1110, b"SQ", 0, 0xFFFFFFFF)
    item = struct.pack("<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF)
    deep = raw.data_set()[:70] + 50_000 * (sequence + item)
    with attacked(tmp_path) as heard, raw.Peer(heard.port, HOSTILE) as peer:
        peer.associate()
        assert [peer.store(deep) for _ in range(5)] == [0xC000] * 5
        assert peer.echo() == 0
        assert heard.files() == []


UNUSUAL = raw.explicit(0x00080005, "CS", b"\\ISO 2022 IR 87") + raw.data_set(
    patient="\x1b$B;3\x1b(B"
)


def test_f59_400_mutated_recordings_and_as_many_random_ones_harm_nobody(tmp_path: Path) -> None:
    """They made 180 threads and 393 MB of pynetdicom, and locked everybody out.

    Some of the mutated need pydicom, whose import is no growth: it is there before we measure.
    """
    chosen = random.Random(59)
    session = raw.associate_rq() + raw.echo_rq() + raw.store(raw.data_set()) + raw.RELEASE_RQ
    with attacked(tmp_path, first=UNUSUAL, growth=24 * MEGABYTE) as heard:
        for number in range(800):
            data = bytearray(session) if number % 2 else bytearray(chosen.randbytes(500))
            for _ in range(chosen.randrange(1, 9)):
                data[chosen.randrange(len(data))] = chosen.randrange(256)
            with raw.Peer(heard.port, HOSTILE) as peer, suppress(OSError):
                peer.send(bytes(data))
                peer.socket.shutdown(socket.SHUT_WR)


def test_f60_associations_one_after_another_are_cheap(tmp_path: Path) -> None:
    """An association costs pynetdicom 50 ms; here it may cost 15 ms, all contexts included."""
    contexts = [(i, f"{raw.CT}.{i}", (raw.IMPLICIT, raw.EXPLICIT)) for i in range(1, 256, 2)]
    request = raw.associate_rq(contexts=contexts)
    with attacked(tmp_path) as heard:
        before = seconds_of_cpu(heard)
        for _ in range(300):
            with raw.Peer(heard.port, HOSTILE) as peer:
                peer.associate(request)
                peer.send(raw.RELEASE_RQ)
                assert peer.answer()[0] == 6
        assert (seconds_of_cpu(heard) - before) / 300 < 0.015


def test_tiny_values_and_floods_of_echoes_keep_nobody_else_waiting(tmp_path: Path) -> None:
    tiny = 3000 * raw.p_data(raw.pdv(3, 0, b"x"))
    with attacked(tmp_path) as heard, ExitStack() as stack:
        peers = crowd(stack, heard.port, 30, raw.associate_rq())
        for peer in peers:
            assert peer.answer()[0] == 2
            peer.socket.settimeout(0.2)
        for number, peer in enumerate(peers):
            with suppress(OSError):  # it answers echoes no faster than we read: some block
                if number % 2:
                    peer.send(raw.p_data(raw.pdv(3, 3, raw.command(1))) + tiny)
                else:
                    peer.send(2000 * raw.echo_rq())


def test_slow_delivery_works_while_it_makes_progress(tmp_path: Path) -> None:
    """F18."""
    stream = raw.associate_rq() + raw.store(raw.data_set())
    with attacked(tmp_path) as heard, raw.Peer(heard.port, HOSTILE) as peer:
        for byte in stream:
            peer.send(bytes((byte,)))
        assert peer.answer()[0] == 2
        assert peer.status() == 0
        heard.wait(1)
