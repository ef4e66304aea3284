"""The receiver's process: crashes are repaired, the engine's death is its own."""

import os
import resource
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from pydicombatch.core.attribution import Expectation
from pydicombatch.core.errors import FatalError
from pydicombatch.receive.process.parent import ProcessReceiver
from pydicombatch.receive.server.settings import Settings
from tests.support import hand_made as raw
from tests.support.receiving import EVERYTHING, Heard, proportional_set_size, receiver, until


def process_of(heard: Heard) -> ProcessReceiver:
    assert isinstance(heard.receiver, ProcessReceiver)
    return heard.receiver


def associated(heard: Heard) -> raw.Peer:
    peer = raw.Peer(heard.port)
    peer.associate()
    return peer


def test_a_crash_is_repaired_and_nothing_acknowledged_is_lost(tmp_path: Path) -> None:
    with receiver(tmp_path / "s", process=True) as heard:
        one = process_of(heard)
        port, stored = heard.port, 0
        for crash in range(3):
            with associated(heard) as peer:
                for _ in range(10):
                    stored += peer.store(raw.data_set()) == 0
                os.kill(one.pids[0], signal.SIGKILL)
            until(lambda crash=crash: one.restarts == crash + 1)  # type: ignore[misc]
            assert heard.port == port
        with associated(heard) as peer:
            assert peer.store(raw.data_set()) == 0
        heard.wait(stored + 1)
    names = [arrival.file.name for arrival in heard.arrivals]
    assert stored == 30
    assert sorted(names) == heard.files()
    assert len(set(names)) == len(names) == 31


def test_expectations_survive_a_crash_but_not_the_settled_ones(tmp_path: Path) -> None:
    with receiver(tmp_path / "s", process=True, expect=False) as heard:
        one = process_of(heard)
        one.expect(Expectation(5, 50, (("PatientID", frozenset({"P5"})),)))
        one.expect(Expectation(6, 60, ()))
        one.settle(5)
        os.kill(one.pids[0], signal.SIGKILL)
        until(lambda: one.restarts == 1)
        one.expect(Expectation(7, 70, ()))
        with associated(heard) as peer:
            assert peer.store(raw.data_set(patient="P5")) == 0x0124
            peer.send(raw.store(raw.data_set(patient="P6"), originator=("OURS", 60)))
            assert peer.status() == 0
            assert peer.store(raw.data_set(patient="P7")) == 0x0124
        assert [a.requests for a in heard.wait(1)] == [(6,)]


def test_a_request_that_leaves_during_a_crash_is_expected_on_return(tmp_path: Path) -> None:
    with receiver(tmp_path / "s", process=True, expect=False) as heard:
        one = process_of(heard)
        for number in range(1, 4):
            os.kill(one.pids[0], signal.SIGKILL)
            one.expect(Expectation(number, 0, (("PatientID", frozenset({f"P{number}"})),)))
            with associated(heard) as peer:
                assert peer.store(raw.data_set(patient=f"P{number}")) == 0


def test_crash_upon_crash_is_fatal(tmp_path: Path) -> None:
    with receiver(tmp_path / "s", process=True) as heard:
        one = process_of(heard)

        def crash_on() -> None:
            for number in range(2, 20):
                os.kill(one.pids[0], signal.SIGKILL)
                one.expect(Expectation(number, 0, ()))

        with pytest.raises(FatalError):
            crash_on()


def test_half_received_files_of_a_crash_are_removed(tmp_path: Path) -> None:
    with receiver(tmp_path / "s", process=True) as heard, associated(heard) as peer:
        peer.send(raw.store(raw.data_set(pixels=100_000))[:50_000])
        until(lambda: any(p.suffix == ".part" for p in heard.spool.iterdir()))
        one = process_of(heard)
        os.kill(one.pids[0], signal.SIGKILL)
        until(lambda: one.restarts == 1)
        until(lambda: list(heard.spool.iterdir()) == [])


ENGINE = """
import os, sys, signal
from pydicombatch.receive.process.parent import ProcessReceiver
from pydicombatch.receive.server.settings import Settings
one = ProcessReceiver(Settings(0, "OURS", sys.argv[1], "run", floor=0), lambda _: ())
one.start(lambda _: None)
print(one.port, *one.pids, flush=True)
sys.stdin.read()
"""


def gone(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return True
    return state == "Z"


def refuses(port: int) -> bool:
    try:
        raw.Peer(port).socket.close()
    except ConnectionRefusedError:
        return True
    return False


def test_it_ends_when_the_engine_is_killed_and_ignores_the_terminal(tmp_path: Path) -> None:
    engine = subprocess.Popen(
        [sys.executable, "-c", ENGINE, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    assert engine.stdout is not None
    port, *pids = map(int, engine.stdout.readline().split())
    for pid in pids:
        os.kill(pid, signal.SIGINT)
        os.kill(pid, signal.SIGTERM)
    with raw.Peer(port) as peer:
        peer.associate()
        assert peer.echo() == 0
    engine.kill()
    engine.wait()
    until(lambda: all(map(gone, pids)) and refuses(port), 5.0)
    assert engine.stdin is not None
    engine.stdin.close()
    engine.stdout.close()


def test_it_inherits_neither_descriptors_nor_libraries_it_does_not_need(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as ours, receiver(tmp_path, process=True) as heard:
        os.set_inheritable(ours.fileno(), True)
        inode = os.fstat(ours.fileno()).st_ino
        for pid in process_of(heard).pids:
            maps = Path(f"/proc/{pid}/maps").read_text()
            links = [str(path.readlink()) for path in Path(f"/proc/{pid}/fd").iterdir()]
            assert f"socket:[{inode}]" not in links
            assert "numpy" not in maps
            assert "pandas" not in maps


def test_it_stays_small_during_a_large_object(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    full = request.config.getoption("--full", default=False)
    size = 500_000_000 if full else 100_000_000
    with receiver(tmp_path / "s", process=True) as heard, raw.Peer(heard.port, timeout=100) as peer:
        peer.associate()
        assert peer.store(raw.data_set(pixels=size)) == 0
        pids = process_of(heard).pids
        assert sum(map(proportional_set_size, pids)) < 60_000
        for pid in pids:
            peak = Path(f"/proc/{pid}/status").read_text()
            high = next(int(x.split()[1]) for x in peak.splitlines() if x.startswith("VmHWM"))
            assert high < 60_000


def test_it_stays_small_when_a_patient_is_not_written_in_ascii(tmp_path: Path) -> None:
    with receiver(tmp_path / "s", process=True) as heard, associated(heard) as peer:
        asked = frozenset({"M\u00fcller", "M\\xfcller"})  # the second one's set is not told
        process_of(heard).expect(Expectation(9, 90, (("PatientID", asked),)))
        for term, codec in ((b"ISO_IR 100", "latin-1"), (b"", "latin-1"), (b"GB18030", "gb18030")):
            head = raw.explicit(0x00080005, "CS", term)
            text = "M\u00fcller".encode(codec).ljust(10)
            body = head + raw.data_set(patient="0123456789").replace(b"0123456789", text)
            assert peer.store(body) == 0
        heard.wait(3)
        patients = [arrival.identifiers.patient_id for arrival in heard.arrivals]
        assert patients == ["M\u00fcller", "M\\xfcller", "M\u00fcller"]
        size = sum(map(proportional_set_size, process_of(heard).pids))
    assert size < 40_000  # kB; pydicom alone would be 50,000 more


def test_an_engine_that_cannot_take_arrivals_is_told_and_loses_none(tmp_path: Path) -> None:
    def broken(_: object) -> None:
        raise RuntimeError

    one = ProcessReceiver(Settings(0, "OURS", str(tmp_path), "run", floor=0), lambda _: ())
    one.start(broken)
    one.expect(EVERYTHING)
    with raw.Peer(one.port) as peer:
        peer.associate()
        assert peer.store(raw.data_set()) == 0

    def again() -> bool:
        try:
            one.expect(EVERYTHING)
        except FatalError:
            return True
        return False

    until(again)
    one.close()
    assert [path.name for path in tmp_path.iterdir()] == ["run-1-00000001.dcm"]


def test_few_descriptors_mean_few_peers_not_a_crash(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    command = ["prlimit", "--nofile=96:96", sys.executable, "-c", ENGINE, str(tmp_path)]
    assert soft <= hard
    engine = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    assert engine.stdout is not None
    assert engine.stdin is not None
    port, *_ = map(int, engine.stdout.readline().split())
    peers = [raw.Peer(port, "127.0.0.2") for _ in range(60)]
    for peer in peers[:10]:
        peer.associate()
    with raw.Peer(port) as honest:
        honest.associate()
        assert honest.echo() == 0
    for peer in peers:
        peer.socket.close()
    engine.kill()
    engine.wait()
    engine.stdin.close()
    engine.stdout.close()


def test_what_lay_in_the_spool_before_is_left_to_those_who_recover_it(tmp_path: Path) -> None:
    with receiver(tmp_path / "s", process=True) as first, associated(first) as peer:
        assert peer.store(raw.data_set()) == 0
        first.wait(1)
    with receiver(tmp_path / "s", process=True) as heard:
        os.kill(process_of(heard).pids[0], signal.SIGKILL)
        until(lambda: process_of(heard).restarts == 1)
        with associated(heard) as peer:
            assert peer.store(raw.data_set()) == 0
        names = [arrival.file.name for arrival in heard.wait(1)]
    assert names == ["run-1-00000002.dcm"]


def test_no_name_is_given_twice_even_if_the_file_is_gone_when_a_crash_is_repaired(
    tmp_path: Path,
) -> None:
    """A name that was announced would not be announced again, after the next crash."""
    with receiver(tmp_path / "s", process=True, processes=1) as heard:
        one = process_of(heard)
        with associated(heard) as peer:
            for _ in range(3):
                assert peer.store(raw.data_set()) == 0
        for arrival in heard.wait(3):
            (heard.spool / arrival.file.name).unlink()  # it was stored meanwhile
        os.kill(one.pids[0], signal.SIGKILL)
        until(lambda: one.restarts == 1)
        with associated(heard) as peer:
            assert peer.store(raw.data_set()) == 0
        heard.wait(4)
    names = [arrival.file.name for arrival in heard.arrivals]
    assert len(set(names)) == 4
