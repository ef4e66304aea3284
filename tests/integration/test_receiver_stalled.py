"""A disk that stalls while the receiver makes instances durable, in both ways of receiving."""

import os
import socket
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from pydicombatch.backends.dimse.command import Tag
from pydicombatch.core.attribution import Expectation
from pydicombatch.receive.process.parent import ProcessReceiver
from pydicombatch.receive.server.settings import Durability, Limits
from tests.support import hand_made as raw
from tests.support import shim
from tests.support.adopting import Lent, get_response, lent
from tests.support.receiving import Heard, receiver, until

PATIENT = "SYN001"
WAYS = [True, False]
EACH = pytest.mark.parametrize("compiled", WAYS, ids=["compiled", "interpreted"])
PENDING = get_response(0xFF00, None, {Tag.REMAINING: 1})
LONG_ENOUGH = 0.5  # seconds in which what could be answered would be


def uid(number: int) -> str:
    return f"{raw.UID}.{number}"


def data(number: int) -> bytes:
    return raw.data_set(uid(number), patient=PATIENT, pixels=300)


def message(number: int) -> bytes:
    return raw.store(data(number), instance=uid(number), message_id=number)


@dataclass(frozen=True)
class Site:
    """A receiver in a process of its own, on a disk that can be told to stall or to fail."""

    heard: Heard
    stall: Path
    error: Path  # of an fsync of files
    names: Path  # of directories

    @contextmanager
    def peer(self, kept: int = 3) -> Iterator[raw.Peer]:
        """Associate and send a few instances: the others are expected to be like them."""
        with raw.Peer(self.heard.port) as one:
            one.associate()
            for number in range(1, kept + 1):
                one.send(message(number))
                assert one.status() == 0
            self.heard.wait(kept)
            yield one


@contextmanager
def site(
    folder: Path, monkeypatch: pytest.MonkeyPatch, *, compiled: bool, limits: Limits | None = None
) -> Iterator[Site]:
    spool = folder / "spool"
    told = folder / "stall", folder / "error", folder / "names"
    with monkeypatch.context() as patch:
        patch.setenv("LD_PRELOAD", str(shim.library(shim.STALL)))
        for name, path in zip(("ROOT", "WHILE", "ERROR", "NAMES"), (spool, *told), strict=True):
            patch.setenv(f"STALL_{name}", str(path.resolve()))
        with receiver(
            spool, process=True, compiled=compiled, limits=limits, durability=Durability.BATCH
        ) as heard:
            try:
                yield Site(heard, *told)
            finally:
                told[0].unlink(missing_ok=True)


def is_silent(peer: raw.Peer) -> bool:
    """Whether nothing comes of a peer for a while."""
    peer.socket.settimeout(LONG_ENOUGH)
    try:
        peer.socket.recv(1, socket.MSG_PEEK)
    except TimeoutError:
        return True
    finally:
        peer.socket.settimeout(20)
    return False


def processor_time(heard: Heard) -> float:
    """Return the seconds that the processes of the receiver have worked."""
    assert isinstance(heard.receiver, ProcessReceiver)
    fields = [Path(f"/proc/{pid}/stat").read_text().split() for pid in heard.receiver.pids]
    return sum(int(one[13]) + int(one[14]) for one in fields) / os.sysconf("SC_CLK_TCK")


@contextmanager
def stalled(
    folder: Path, monkeypatch: pytest.MonkeyPatch, *, compiled: bool, limits: Limits | None = None
) -> Iterator[tuple[Site, raw.Peer]]:
    """A receiver whose disk stalls, and a peer that waits for the answer to its fourth instance."""
    with (
        site(folder, monkeypatch, compiled=compiled, limits=limits) as one,
        one.peer() as peer,
    ):
        one.stall.touch()
        peer.send(message(4))
        assert is_silent(peer)
        yield one, peer


@EACH
def test_others_are_answered_and_received_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, compiled: bool
) -> None:
    with stalled(tmp_path, monkeypatch, compiled=compiled) as (one, peer):
        with raw.Peer(one.heard.port) as other:
            begun = time.monotonic()
            other.associate()
            assert other.echo() == 0
            other.send(message(5))
            with raw.Peer(one.heard.port) as third:
                third.associate()
                assert third.echo() == 0
            assert time.monotonic() - begun < 1
            assert is_silent(other)
            assert is_silent(peer)
            one.stall.unlink()
            assert (peer.status(), other.status()) == (0, 0)
            peer.send(message(6))
            other.send(message(7))
            assert (peer.status(), other.status()) == (0, 0)
        arrivals = one.heard.wait(7)
        assert {each.identifiers.sop_instance_uid for each in arrivals} == set(
            map(uid, range(1, 8))
        )


@EACH
def test_a_peer_that_does_not_wait_for_its_answer_gets_all_of_them_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, compiled: bool
) -> None:
    with stalled(tmp_path, monkeypatch, compiled=compiled) as (one, peer):
        spent = processor_time(one.heard)
        peer.send(message(5) + raw.echo_rq() + message(6)[:100])
        assert is_silent(peer)
        assert processor_time(one.heard) - spent < LONG_ENOUGH / 4
        one.stall.unlink()
        assert [peer.status() for _ in range(3)] == [0, 0, 0]
        peer.send(message(6)[100:])
        assert peer.status() == 0
        found = [each.identifiers.sop_instance_uid for each in one.heard.wait(6)]
        assert found == list(map(uid, range(1, 7)))


@EACH
def test_what_a_peer_sent_that_has_gone_is_kept_and_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, compiled: bool
) -> None:
    with site(tmp_path, monkeypatch, compiled=compiled) as one:
        with one.peer() as peer:
            one.stall.touch()
            peer.send(message(4))
            assert is_silent(peer)
            reset = struct.pack("ii", 1, 0)
            peer.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, reset)
        spent = processor_time(one.heard)
        time.sleep(LONG_ENOUGH)
        assert processor_time(one.heard) - spent < LONG_ENOUGH / 4
        with raw.Peer(one.heard.port) as other:  # it may have the descriptor of the first one
            other.associate()
            assert other.echo() == 0
            one.stall.unlink()
            one.heard.wait(4)
            assert other.echo() == 0
        assert one.heard.arrivals[-1].identifiers.sop_instance_uid == uid(4)


@EACH
def test_what_is_decided_meanwhile_is_true_of_what_comes_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, compiled: bool
) -> None:
    with stalled(tmp_path, monkeypatch, compiled=compiled) as (one, peer):
        begun = time.monotonic()
        one.heard.receiver.expect(Expectation(2, 2, (("PatientID", frozenset({PATIENT})),)))
        assert time.monotonic() - begun < 1
        one.stall.unlink()
        assert peer.status() == 0
        peer.send(message(5))
        assert peer.status() == 0
        assert [each.requests for each in one.heard.wait(5)] == [(1,)] * 4 + [(1, 2)]


@EACH
def test_no_deadline_ends_an_association_that_waits_for_us(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, compiled: bool
) -> None:
    limits = Limits(idle_seconds=1, message_seconds=1, unit_seconds=1)
    with stalled(tmp_path, monkeypatch, compiled=compiled, limits=limits) as (one, peer):
        time.sleep(2.5)
        one.stall.unlink()
        assert peer.status() == 0
        assert peer.answer()[0] == 7, "silent for a second it is aborted"


@EACH
@pytest.mark.parametrize("what", ["files", "names"])
def test_what_cannot_be_synced_is_refused_and_the_association_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, compiled: bool, what: str
) -> None:
    with site(tmp_path, monkeypatch, compiled=compiled) as one, one.peer() as peer:
        error = one.error if what == "files" else one.names
        error.touch()
        for number in (4, 5):
            peer.send(message(number))
            assert peer.status() == 0xA700
        error.unlink()
        for number in (6, 7):
            peer.send(message(number))
            assert peer.status() == 0
        found = [each.identifiers.sop_instance_uid for each in one.heard.wait(5)]
        assert found == [uid(number) for number in (1, 2, 3, 6, 7)]
        assert len(one.heard.files()) == 5


@EACH
def test_what_is_complete_is_kept_told_and_answered_before_it_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, compiled: bool
) -> None:
    with stalled(tmp_path, monkeypatch, compiled=compiled) as (one, peer):
        one.heard.receiver.settle(1)
        one.stall.unlink()
        one.heard.receiver.close()
        assert peer.status() == 0
        assert one.heard.arrivals[-1].identifiers.sop_instance_uid == uid(4)
        until(lambda: not list(one.heard.spool.glob("*.part")))


@contextmanager
def lent_and_stalled(one: Site) -> Iterator[Lent]:
    """Lend an association on which some have come, and one comes while the disk stalls."""
    with lent(one.heard) as peer:
        for number in range(1, 4):
            assert peer.store(data(number), uid(number), number) == 0
            peer.send(PENDING)
        one.heard.wait(3)
        one.stall.touch()
        peer.send(message(4))
        time.sleep(LONG_ENOUGH)
        yield peer


@EACH
def test_an_association_of_ours_that_is_dropped_costs_nothing_that_came(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, compiled: bool
) -> None:
    with site(tmp_path, monkeypatch, compiled=compiled) as one:
        with lent_and_stalled(one) as peer:
            peer.adopted.end()
            time.sleep(LONG_ENOUGH)
        one.stall.unlink()
        arrivals = one.heard.wait(4)
        assert arrivals[-1].identifiers.sop_instance_uid == uid(4)
        with one.peer(0) as other:
            assert other.echo() == 0
        assert isinstance(one.heard.receiver, ProcessReceiver)
        assert one.heard.receiver.restarts == 0


@EACH
def test_what_we_send_meanwhile_is_not_cut_by_an_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, compiled: bool
) -> None:
    """An archive that reads nothing: our C-CANCEL would not be so long."""
    ours = raw.p_data(raw.pdv(1, 0, bytes(range(256)) * 400)) * 60
    with site(tmp_path, monkeypatch, compiled=compiled) as one, lent_and_stalled(one) as peer:
        peer.adopted.send(ours)
        time.sleep(LONG_ENOUGH)
        spent = processor_time(one.heard)
        time.sleep(LONG_ENOUGH)
        assert processor_time(one.heard) - spent < LONG_ENOUGH / 4
        one.stall.unlink()
        time.sleep(LONG_ENOUGH)
        peer.archive.settimeout(10)
        heard = b""
        while len(heard) < len(ours):
            heard += peer.archive.recv(1 << 20)
        assert heard.startswith(ours)
        answer = heard[len(ours) :] or peer.archive.recv(4096)
        assert raw.status_of(answer[6:]) == 0
        assert one.heard.wait(4)[-1].identifiers.sop_instance_uid == uid(4)
        assert peer.store(data(5), uid(5), 5) == 0
