"""Instances that come on our own association: durable before they are acknowledged, or refused."""

import os
import select
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from pydicombatch.backends.dimse.command import Tag
from pydicombatch.core.adoption import Adoption
from pydicombatch.core.attribution import Expectation
from pydicombatch.receive.nowhere import Nowhere
from pydicombatch.receive.process.parent import ProcessReceiver
from pydicombatch.receive.server.settings import Limits
from tests.support import hand_made as raw
from tests.support.adopting import GET, MESSAGE, ORIGIN, STORAGE, Lent, get_response, lent
from tests.support.receiving import COMPILED, Heard, receiver, until

MINE = Expectation(4, MESSAGE, (("StudyInstanceUID", frozenset({"1.2.3.4"})),))
UIDS = [f"{raw.UID}.{number}" for number in range(1, 100)]


def response(status: int, data: bytes | None = None) -> bytes:
    return get_response(status, data, {Tag.REMAINING: 1})


PENDING, FINAL = response(0xFF00), response(0x0000)


@pytest.fixture(autouse=True, params=[True, False], ids=["compiled", "interpreted"])
def _compiled(request: pytest.FixtureRequest) -> Iterator[None]:
    token = COMPILED.set(request.param)
    yield
    COMPILED.reset(token)


@pytest.fixture
def heard(tmp_path: Path) -> Iterator[Heard]:
    with receiver(tmp_path / "s", process=True, expect=False, listens=False) as one:
        one.receiver.expect(MINE)
        yield one


def stored(lent_one: Lent, uids: list[str], pending: bytes = PENDING) -> None:
    """Store as an archive does during a C-GET."""
    for number, uid in enumerate(uids):
        assert lent_one.store(raw.data_set(uid), uid, number + 1) == 0
        lent_one.send(pending)


def test_instances_are_there_when_they_are_announced_and_the_rest_is_given_back(
    heard: Heard,
) -> None:
    with lent(heard) as one:
        stored(one, UIDS[:30])
        one.send(FINAL + b"behind it")
        returned = one.returned()
    assert returned.rest is not None
    assert (FINAL + b"behind it").startswith(returned.rest)
    assert returned.rest.startswith(FINAL[:6])
    assert (returned.broken, returned.refused, returned.unsent) == ("", 0, b"")
    assert {k: sorted(v) for k, v in returned.stored.items()} == {raw.CT: sorted(UIDS[:30])}
    arrivals = heard.wait(30)
    assert {a.requests for a in arrivals} == {(4,)}
    assert sorted(a.identifiers.sop_instance_uid for a in arrivals) == sorted(UIDS[:30])
    for arrival in arrivals:
        assert heard.content(arrival) == raw.data_set(arrival.identifiers.sop_instance_uid)


def test_the_connection_goes_on_where_it_was_given_back(heard: Heard) -> None:
    """Nothing is read beyond what is given back, and nothing is hung up."""
    with lent(heard) as one:
        stored(one, UIDS[:3])
        one.send(FINAL)
        rest = one.returned().rest
        assert rest == FINAL
        one.send(b"the next answer")
        assert one.ours.recv(100) == b"the next answer"
        one.ours.sendall(b"the next question")
        assert one.archive.recv(100) == b"the next question"


@pytest.mark.parametrize("piece", [1, 7, 128, 100_000])
def test_it_does_not_matter_how_it_is_cut(heard: Heard, piece: int) -> None:
    stream = PENDING + raw.store(raw.data_set(pixels=2000), size=500) + PENDING + PENDING
    final = response(0xB000, b"list" * 100)
    with lent(heard) as one:
        for begin in range(0, len(stream), piece):
            one.send(stream[begin : begin + piece])
        assert one.status() == 0
        for begin in range(0, len(final), piece):
            one.send(final[begin : begin + piece])
        rest = one.returned().rest
        assert rest is not None
        left = b""
        while len(rest) + len(left) < len(final):
            left += one.ours.recv(1 << 16)
    assert rest + left == final
    assert heard.content(heard.wait(1)[0]) == raw.data_set(pixels=2000)


def test_an_instance_of_another_study_is_not_that_of_the_request(heard: Heard) -> None:
    with lent(heard) as one:
        assert one.store(raw.data_set(study="9.9")) == 0x0124
        one.send(FINAL)
        returned = one.returned()
    assert (returned.refused, returned.stored) == (1, {})
    until(lambda: heard.receiver.refused() == 1)
    assert (heard.arrivals, heard.files()) == ([], [])


def test_an_instance_that_an_earlier_request_named_belongs_to_that(tmp_path: Path) -> None:
    with (
        receiver(
            tmp_path / "s", process=True, expect=False, listens=False, retained=lambda _: (2, 3)
        ) as heard,
        lent(heard) as one,
    ):
        assert one.store(raw.data_set()) == 0
        assert heard.wait(1)[0].requests == (2, 3)


def test_unsolicited_instances_are_kept_if_they_are_welcome(tmp_path: Path) -> None:
    with (
        receiver(
            tmp_path / "s", process=True, expect=False, listens=False, unsolicited=True
        ) as heard,
        lent(heard) as one,
    ):
        assert one.store(raw.data_set()) == 0
        assert heard.wait(1)[0].requests == ()


@pytest.mark.parametrize("cut", [1, 2, 40, 300])
def test_what_ends_before_its_own_lengths_is_not_kept(heard: Heard, cut: int) -> None:
    with lent(heard) as one:
        assert one.store(raw.data_set()[:-cut]) == 0xC000
        assert one.store(raw.data_set()) == 0, "the others still come"
        one.send(FINAL)
        returned = one.returned()
    assert (returned.refused, returned.stored) == (1, {raw.CT: (raw.UID,)})
    heard.wait(1)
    assert len(heard.files()) == 1


def test_nothing_and_what_is_named_otherwise_are_refused(heard: Heard) -> None:
    with lent(heard) as one:
        assert one.store(b"") == 0xC000
        assert one.store(raw.data_set(), instance=UIDS[0]) == 0xA900
        one.send(FINAL)
        assert one.returned().refused == 2
    assert heard.files() == []


def test_an_association_that_ends_in_between_leaves_nothing(heard: Heard) -> None:
    with lent(heard) as one:
        stored(one, UIDS[:2])
        one.send(raw.store(raw.data_set(pixels=9000), size=1000)[:5000])
        one.archive.close()
        returned = one.returned()
    assert (returned.rest, returned.broken) == (None, "")
    assert len(heard.wait(2)) == 2
    heard.receiver.close()
    assert sorted(path.name for path in heard.spool.iterdir()) == heard.files()
    assert len(heard.files()) == 2


def test_nothing_is_taken_below_the_floor(tmp_path: Path) -> None:
    with (
        receiver(tmp_path / "s", process=True, listens=False, floor=1 << 62) as heard,
        lent(heard) as one,
    ):
        assert one.store(raw.data_set()) == 0xA700
        until(heard.receiver.is_full)


def test_an_instance_that_is_larger_than_any_is_refused_while_it_comes(tmp_path: Path) -> None:
    with (
        receiver(
            tmp_path / "s", process=True, listens=False, limits=Limits(largest_object=5000)
        ) as heard,
        lent(heard) as one,
    ):
        assert one.store(raw.data_set(pixels=50_000)) == 0xA700
        assert one.store(raw.data_set(pixels=100)) == 0
        assert len(heard.wait(1)) == 1


def test_several_associations_get_names_of_their_own_in_all_processes(tmp_path: Path) -> None:
    with receiver(tmp_path / "s", process=True, listens=False, processes=2) as heard:

        def work(number: int) -> None:
            with lent(heard) as one:
                stored(one, UIDS[number * 20 : number * 20 + 20])
                one.send(FINAL)
                assert one.returned().rest == FINAL

        threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        arrivals = heard.wait(80)
        assert {a.identifiers.sop_instance_uid for a in arrivals} == set(UIDS[:80])
        assert len(heard.files()) == 80
        runs = {name.split("-")[0] for name in heard.files()}
    assert len(runs) == 2, "both have served"


def test_what_is_kept_already_is_acknowledged_and_not_kept_again(heard: Heard) -> None:
    """In a further round of the same C-GET, with other contexts."""
    with lent(heard, known=frozenset(UIDS[:3])) as one:
        stored(one, UIDS[:6])
        one.send(FINAL)
        returned = one.returned()
    assert set(returned.stored[raw.CT]) == set(UIDS[:6])
    assert returned.refused == 0
    arrivals = heard.wait(3)
    assert [a.identifiers.sop_instance_uid for a in arrivals] == UIDS[3:6]
    assert len(heard.files()) == 3


def test_what_the_owner_sends_stands_between_two_messages(heard: Heard) -> None:
    """A C-CANCEL leaves while instances come; every answer is whole."""
    cancel = raw.p_data(raw.pdv(GET, 3, raw.command(0x0FFF, data=False)))
    with lent(heard) as one:
        stored(one, UIDS[:10])
        one.adopted.send(cancel)
        assert one.archive.recv(len(cancel), socket.MSG_WAITALL) == cancel
        stored(one, UIDS[10:20])
        one.send(response(0xFE00))
        returned = one.returned()
    assert returned.rest == response(0xFE00)
    assert len(returned.stored[raw.CT]) == 20


def test_whoever_ends_it_is_told_to_nobody_but_drops_it_at_once(heard: Heard) -> None:
    with lent(heard) as one:
        stored(one, UIDS[:5])
        one.send(raw.store(raw.data_set(pixels=9000), size=1000)[:5000])
        one.adopted.end()
        with pytest.raises(ConnectionError):
            one.hear()
        one.ours.close()
        one.archive.settimeout(20)
        with suppress(ConnectionResetError):  # as something was not read
            assert one.archive.recv(10) == b"", "the receiver has let it go"
    heard.wait(5)
    with lent(heard) as another:
        stored(another, UIDS[5:7])
    assert len(heard.wait(7)) == 7


def test_an_archive_that_leaves_the_connection_without_a_word_is_lost(heard: Heard) -> None:
    with lent(heard) as one:
        stored(one, UIDS[:2])
        one.archive.close()
        returned = one.returned()
    assert returned.rest is None
    assert set(returned.stored[raw.CT]) == set(UIDS[:2])


def test_a_breach_of_the_protocol_is_told_in_our_words(heard: Heard) -> None:
    with lent(heard) as one:
        stored(one, UIDS[:2])
        one.send(raw.p_data(raw.pdv(7, 3, raw.command(1))))
        returned = one.returned()
    assert returned.rest is None
    assert "context that was not accepted" in returned.broken
    one.archive.close()


def test_there_is_a_sign_of_life_while_instances_come_and_none_when_they_do_not(
    heard: Heard,
) -> None:
    stream = raw.store(raw.data_set(pixels=60_000), size=1000)
    with lent(heard) as one:
        assert one.hear(2.5) is None
        assert one.signs == 0, "the archive is silent"
        for begin in range(0, len(stream), len(stream) // 12):
            one.send(stream[begin : begin + len(stream) // 12])
            assert one.hear(0.25) is None
        assert one.signs >= 2
        assert one.status() == 0


def test_an_answer_that_we_owe_is_no_silence_of_the_archive(tmp_path: Path) -> None:
    with (
        receiver(
            tmp_path / "s", process=True, listens=False, processes=1, limits=Limits(unconfirmed=2)
        ) as heard,
        lent(heard) as one,
    ):
        heard.gate.clear()  # the engine takes nothing
        uids = iter(UIDS)
        stream = b"".join(raw.store(raw.data_set(uid), instance=uid) for uid in UIDS[:6])
        one.send(stream)
        assert one.hear(3.5) is None
        assert one.signs >= 2
        heard.gate.set()
        for _ in range(6):
            assert one.status() == 0
        assert next(uids)
        heard.wait(6)


def test_a_slow_archive_is_not_left_by_the_receiver(tmp_path: Path) -> None:
    """The deadlines are those of the one who asked."""
    limits = Limits(idle_seconds=0.3, message_seconds=0.3, unit_seconds=0.3)
    with (
        receiver(tmp_path / "s", process=True, listens=False, limits=limits) as heard,
        lent(heard) as one,
    ):
        stream = raw.store(raw.data_set())
        for piece in (stream[:100], stream[100:]):
            time.sleep(1.0)
            one.send(piece)
        assert one.status() == 0


@pytest.mark.parametrize("tcp", [True, False])
def test_a_socket_pair_serves_as_well_as_a_connection(heard: Heard, tcp: bool) -> None:
    """TLS ends in the engine; its bytes come over a pair."""
    with lent(heard, tcp=tcp) as one:
        stored(one, UIDS[:5])
        big = raw.data_set(UIDS[9], pixels=3_000_000)
        sending = threading.Thread(
            target=one.send, args=(raw.store(big, instance=UIDS[9], size=100_000),)
        )
        sending.start()
        assert one.status() == 0
        sending.join()
        one.send(PENDING + FINAL)
        assert one.returned().rest == FINAL
    assert heard.content(heard.wait(6)[-1]) == big


def test_a_crash_in_the_middle_of_a_c_get_loses_nothing_that_was_acknowledged(
    heard: Heard,
) -> None:
    assert isinstance(heard.receiver, ProcessReceiver)
    acknowledged = 0
    for crash in range(3):
        with lent(heard) as one:
            for uid in UIDS[crash * 20 : crash * 20 + 20]:
                acknowledged += one.store(raw.data_set(uid), uid) == 0
            one.send(raw.store(raw.data_set(pixels=9000), size=1000)[:4000])
            for pid in heard.receiver.pids:
                os.kill(pid, signal.SIGKILL)
            with pytest.raises(ConnectionError):
                one.hear()
        until(lambda crash=crash: heard.receiver.restarts == crash + 1)  # type: ignore[misc]
    with lent(heard) as one:
        stored(one, UIDS[80:82])
        one.send(FINAL)
        assert one.returned().rest == FINAL
    arrivals = heard.wait(acknowledged + 2)
    names = [arrival.file.name for arrival in arrivals]
    assert acknowledged == 60
    assert sorted(names) == heard.files()
    assert len(set(names)) == 62


def test_nobody_can_connect_to_a_receiver_that_does_not_listen(heard: Heard) -> None:
    assert heard.port == 0


def test_many_associations_come_and_go_without_a_trace(heard: Heard) -> None:
    assert isinstance(heard.receiver, ProcessReceiver)
    pids = heard.receiver.pids
    with lent(heard) as one:
        stored(one, UIDS[:1])
    until(lambda: _descriptors(pids) == _descriptors(pids))
    before = _descriptors(pids)
    for number in range(40):
        with lent(heard) as one:
            stored(one, UIDS[number : number + 1])
            if number % 2:
                one.send(FINAL)
                assert one.returned().rest == FINAL
    until(lambda: _descriptors(pids) <= before)


def _descriptors(pids: list[int]) -> int:
    return sum(len(list(Path(f"/proc/{pid}/fd").iterdir())) for pid in pids)


def test_a_test_reads_what_came_before_it_was_asked() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        nowhere = Nowhere({UIDS[0]})
        about = STORAGE, frozenset({GET, 5}), GET, MESSAGE, 131072, 0, ORIGIN
        received = raw.store(raw.data_set(UIDS[0]), instance=UIDS[0]) + FINAL
        passing = nowhere.adopt(ours.fileno(), Adoption(*about, received=received))
        assert select.select([passing], [], [], 0)[0]
        returned = passing.hear()
        passing.close()
        assert returned is not None
        assert returned.rest == FINAL
        assert (nowhere.asked_for, dict(returned.stored)) == (1, {raw.CT: (UIDS[0],)})
        assert raw.status_of(theirs.recv(4096)[6:]) == 0
