"""Several processes serve a port as one would: shared out, bounded and repaired together."""

import os
import select
import signal
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pydicombatch.core.attribution import Expectation
from pydicombatch.receive.process.parent import ProcessReceiver
from pydicombatch.receive.process.siblings import how_many, run_of, share_of
from pydicombatch.receive.server.entrance import Entrance, Inlet
from pydicombatch.receive.server.listen import listen
from pydicombatch.receive.server.settings import Limits, Settings
from tests.support import hand_made as raw
from tests.support.receiving import Heard, receiver, until

SETTINGS = Settings(0, "OURS", "/spool", "run")


@contextmanager
def several(folder: Path, processes: int = 3, **settings: Any) -> Iterator[Heard]:
    with receiver(folder / "s", process=True, processes=processes, **settings) as heard:
        yield heard


def of(heard: Heard) -> ProcessReceiver:
    assert isinstance(heard.receiver, ProcessReceiver)
    return heard.receiver


def associated(stack: ExitStack, heard: Heard, address: str = "127.0.0.1") -> raw.Peer:
    peer = stack.enter_context(raw.Peer(heard.port, address))
    peer.associate()
    return peer


def run_in(name: str) -> str:
    return name.split("-", maxsplit=1)[0]


def test_every_core_gets_one_and_a_rate_is_kept_by_one_alone() -> None:
    assert 1 <= how_many(SETTINGS) <= min(4, len(os.sched_getaffinity(0)))
    assert how_many(replace(SETTINGS, megabytes_per_second=1.0)) == 1
    assert how_many(replace(SETTINGS, processes=3)) == 3


def test_what_all_may_cost_is_shared_and_no_two_write_the_same_names() -> None:
    shares = [share_of(SETTINGS, number, 4) for number in range(4)]
    assert len({one.run for one in shares}) == 4
    assert [one.run for one in shares] == [run_of(SETTINGS, number) for number in range(4)]
    assert sum(one.limits.held_bytes for one in shares) == SETTINGS.limits.held_bytes
    assert sum(one.limits.unconfirmed for one in shares) == SETTINGS.limits.unconfirmed


def test_associations_are_shared_out_evenly_and_every_instance_arrives(tmp_path: Path) -> None:
    with several(tmp_path) as heard, ExitStack() as stack:
        peers = [associated(stack, heard) for _ in range(9)]
        for number, peer in enumerate(peers):
            for other in range(5):
                uid = f"{raw.UID}.{number}.{other}"
                peer.send(raw.store(raw.data_set(uid), instance=uid))
                assert peer.status() == 0
        arrivals = heard.wait(45)
        runs = Counter(run_in(one.file.name) for one in arrivals)
        assert len({one.identifiers.sop_instance_uid for one in arrivals}) == 45
        assert runs == {"run": 15, "run.1": 15, "run.2": 15}
        assert sorted(one.file.name for one in arrivals) == heard.files()


def test_who_leaves_makes_room_wherever_he_was_served(tmp_path: Path) -> None:
    limits = Limits(connections=8, connections_per_address=4)
    with several(tmp_path, limits=limits) as heard:
        for _ in range(5):
            with ExitStack() as guests:
                for _ in range(4):
                    until(lambda: comes_in(guests, heard))
                assert not comes_in(guests, heard)


def comes_in(stack: ExitStack, heard: Heard) -> bool:
    """Whether one more finds room, who then stays; those who have left may be noted later."""
    peer = raw.Peer(heard.port)
    peer.send(raw.associate_rq())
    if peer.answer()[0] == 2:  # accepted
        stack.enter_context(peer)
        return True
    peer.socket.close()
    return False


@pytest.mark.parametrize("which", [0, 1, 2])
def test_when_any_of_them_dies_all_are_started_anew_and_nothing_is_lost(
    tmp_path: Path, which: int
) -> None:
    with several(tmp_path) as heard, ExitStack() as stack:
        one, port = of(heard), heard.port
        before, stored = one.pids, 0
        for peer in [associated(stack, heard) for _ in range(6)]:
            for _ in range(5):
                stored += peer.store(raw.data_set()) == 0
        os.kill(before[which], signal.SIGKILL)
        until(lambda: one.restarts == 1)
        assert heard.port == port
        assert not set(before) & set(one.pids)
        one.expect(Expectation(2, 2, ()))
        for peer in [associated(stack, heard) for _ in range(3)]:
            stored += peer.store(raw.data_set()) == 0
        names = [arrival.file.name for arrival in heard.wait(stored)]
        until(lambda: all(ended(pid) for pid in before))
    assert stored == 33
    assert len(set(names)) == len(names) == 33
    assert sorted(names) == heard.files()


def ended(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def test_one_that_hangs_is_ended_with_the_others(tmp_path: Path) -> None:
    with several(tmp_path) as heard, ExitStack() as stack:
        before = of(heard).pids
        peers = [associated(stack, heard) for _ in range(3)]
        os.kill(before[1], signal.SIGSTOP)
        os.kill(before[0], signal.SIGKILL)
        until(lambda: of(heard).restarts == 1, 60)
        assert all(ended(pid) for pid in before)
        assert [peer.socket.recv(1) for peer in peers] == [b"", b"", b""]
        assert associated(stack, heard).store(raw.data_set()) == 0


def test_expectations_are_in_force_in_all_of_them_at_once(tmp_path: Path) -> None:
    with several(tmp_path, expect=False) as heard, ExitStack() as stack:
        peers = [associated(stack, heard) for _ in range(6)]
        for number in range(1, 30):
            patient = f"P{number}"
            of(heard).expect(Expectation(number, 0, (("PatientID", frozenset({patient})),)))
            assert peers[number % 6].store(raw.data_set(patient=patient)) == 0
        of(heard).expect(Expectation(30, 0, ()))
        assert [peer.store(raw.data_set(patient="P99")) for peer in peers] == [0x0124] * 6
        until(lambda: heard.receiver.refused() == 6)
        assert len(heard.wait(29)) == 29


def test_what_is_complete_is_acknowledged_when_all_of_them_close(tmp_path: Path) -> None:
    with several(tmp_path) as heard, ExitStack() as stack:
        peers = [associated(stack, heard) for _ in range(6)]
        heard.gate.clear()
        stored = sum(peer.store(raw.data_set()) == 0 for peer in peers for _ in range(10))
    assert stored == 60
    assert len(heard.arrivals) == len(heard.files()) == 60


class House:
    """A loop that only remembers what it should look at."""

    def __init__(self) -> None:
        self.watched: dict[socket.socket, Callable[[], None]] = {}
        self.guests: list[tuple[socket.socket, str]] = []

    def attach(self, sock: socket.socket, on_ready: Callable[[], None]) -> None:
        self.watched[sock] = on_ready

    def detach(self, sock: socket.socket) -> None:
        del self.watched[sock]

    def welcome(self, sock: socket.socket, address: str) -> None:
        self.guests.append((sock, address))

    def look(self) -> None:
        for sock, on_ready in list(self.watched.items()):
            if select.select([sock], [], [], 0)[0]:
                on_ready()


@contextmanager
def entrance(limits: Limits) -> Iterator[tuple[Entrance, House, socket.socket]]:
    """Yield an entrance with one sibling, and the sibling's end."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    door = Entrance(listen(0, "127.0.0.1"), replace(SETTINGS, limits=limits), [ours])
    house = House()
    door.open(house, house.welcome)
    with theirs:
        yield door, house, theirs
    for sock, _ in house.guests:
        sock.close()
    door.close()


def test_a_sibling_that_takes_nobody_leaves_them_to_the_one_that_listens() -> None:
    with entrance(Limits()) as (door, house, theirs), ExitStack() as stack:
        queue = door_socket(house, theirs)
        with suppress(BlockingIOError):
            while queue.send(b"filled"):
                pass
        for number in range(1, 4):
            stack.enter_context(raw.Peer(door.port))
            house.look()
            assert len(house.guests) == number


def door_socket(house: House, theirs: socket.socket) -> socket.socket:
    """Return the entrance's end of the pair."""
    found = [one for one in house.watched if one.family == socket.AF_UNIX]
    assert theirs not in found
    return found[0]


def test_a_sibling_that_has_gone_is_looked_at_no_more_and_gets_no_guest() -> None:
    with entrance(Limits()) as (door, house, theirs), ExitStack() as stack:
        for _ in range(2):
            stack.enter_context(raw.Peer(door.port))
            house.look()
        assert len(house.guests) == 1
        theirs.close()
        house.look()
        assert len(house.watched) == 1
        for _ in range(2):
            stack.enter_context(raw.Peer(door.port))
            house.look()
        assert len(house.guests) == 3


def test_a_guest_whose_descriptor_found_no_place_counts_as_gone() -> None:
    hub, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    inlet, house = Inlet(theirs), House()
    inlet.open(house, house.welcome)
    with hub:
        hub.send(b"192.0.2.7")  # what the kernel delivers of a message then
        house.look()
        assert house.guests == []
        assert hub.recv(100) == b"192.0.2.7"
    house.look()
    assert house.watched == {}
    inlet.close()


def test_who_has_left_is_told_when_there_is_room_to_tell_it() -> None:
    hub, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    inlet, house = Inlet(theirs), House()
    inlet.open(house, house.welcome)
    told = 0
    with hub:
        hub.settimeout(0)
        for _ in range(5000):
            inlet.left("192.0.2.7")
        for _ in range(100):
            with suppress(BlockingIOError):
                while hub.recv(100) == b"192.0.2.7":
                    told += 1
            inlet.tick(0.0)
    assert told == 5000
    inlet.close()


def test_who_has_not_heard_all_when_it_ends_is_looked_at_no_more() -> None:
    hub, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    inlet, house = Inlet(theirs), House()
    inlet.open(house, house.welcome)
    inlet.left("192.0.2.7")
    hub.close()  # the kernel says for it that the connection was reset
    house.look()
    assert house.watched == {}
    inlet.close()


@pytest.mark.parametrize("pause", [0.0, 0.02, 0.1, 0.3])
def test_closing_while_all_are_started_anew_does_not_wait_for_ever(
    tmp_path: Path, pause: float
) -> None:
    with several(tmp_path) as heard, ExitStack() as stack:
        stored = sum(associated(stack, heard).store(raw.data_set()) == 0 for _ in range(6))
        os.kill(of(heard).pids[1], signal.SIGKILL)
        time.sleep(pause)
        begun = time.monotonic()
    assert time.monotonic() - begun < 30
    assert stored == len(heard.arrivals) == len(heard.files()) == 6


def test_after_a_crash_nobody_is_served_before_the_expectations_are_known(tmp_path: Path) -> None:
    with several(tmp_path, expect=False) as heard, ExitStack() as stack:
        one = of(heard)
        for number in range(2000):
            patient = frozenset({"SYN001" if number == 1999 else f"P{number}"})
            one.expect(Expectation(number + 1, 0, (("PatientID", patient),)))
        for crash in range(1, 4):
            os.kill(one.pids[0], signal.SIGKILL)
            until(lambda crash=crash: one.restarts == crash)  # type: ignore[misc]
            assert associated(stack, heard).store(raw.data_set()) == 0
