"""A C-GET on an association whose archive plays bytes: what is taken, and what ends it."""

import struct
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from pydicombatch.backends.dimse import DimseArchive, Peer, Timeouts
from pydicombatch.backends.dimse.command import Tag
from pydicombatch.backends.dimse.contexts import Proposal
from pydicombatch.backends.dimse.kept import Kept
from pydicombatch.core.errors import TransientError
from pydicombatch.core.model import Answer, Key, Request, RequestType
from pydicombatch.receive.process.parent import ProcessReceiver
from tests.support import hand_made as raw
from tests.support.adopting import get_response
from tests.support.ports import LOOPBACK
from tests.support.raw_peer import RawPeer
from tests.support.receiving import EVERYTHING, Heard, receiver

GET, STORE = 1, 5  # presentation contexts: 3 is that of the C-ECHO
MESSAGE = 9
UIDS = [f"{raw.UID}.{number}" for number in range(1, 10)]
SHORT = Timeouts(connect=2, association=2, response=1.5, total=60)


def acceptance() -> bytes:
    """An A-ASSOCIATE-AC (PS3.8 9.3.3) with a role selection: the archive sends CT to us."""
    body = struct.pack(">HH", 1, 0) + b"FAKE".ljust(16) + b"SAMPLE_AE".ljust(16) + bytes(32)
    body += raw.item(0x10, b"1.2.840.10008.3.1.1.1")
    for context in (GET, 3, STORE):
        syntax = raw.item(0x40, raw.EXPLICIT.encode())
        body += raw.item(0x21, bytes([context, 0, 0, 0]) + syntax)
    uid = raw.CT.encode()
    role = raw.item(0x54, struct.pack(">H", len(uid)) + uid + b"\0\1")
    user = raw.item(0x51, struct.pack(">L", 16384)) + raw.item(0x52, b"1.2.3") + role
    return raw.pdu(2, body + raw.item(0x50, user))


def response(status: int, data: bytes | None = None, message_id: int = MESSAGE) -> bytes:
    counts = {Tag.REMAINING: 0, Tag.COMPLETED: 1, Tag.FAILED: 0}
    return get_response(status, data, counts, message_id)


def instance(uid: str) -> bytes:
    """A C-STORE on our context."""
    command, data = raw.command(1, instance=uid), raw.data_set(uid)
    return raw.p_data(raw.pdv(STORE, 3, command)) + raw.p_data(raw.pdv(STORE, 2, data))


PENDING, FINAL = response(0xFF00), response(0x0000)
ASKED = (acceptance(), b"")  # after the association request, and after the command of ours


@pytest.fixture
def heard(tmp_path: Path) -> Iterator[Heard]:
    with receiver(tmp_path / "s", process=True, expect=False, listens=False) as one:
        one.receiver.expect(EVERYTHING)
        yield one


@contextmanager
def archive(
    *script: bytes | float | None, timeouts: Timeouts = SHORT
) -> Iterator[tuple[DimseArchive, RawPeer]]:
    with RawPeer([*ASKED, *script]) as peer:
        one = Peer(LOOPBACK, peer.port, "FAKE", "SAMPLE_AE", timeouts=timeouts)
        session = DimseArchive(one, "study", RequestType.GET)
        try:
            yield session, peer
        finally:
            session.close()


def get(session: DimseArchive, heard: Heard, message_id: int = MESSAGE) -> tuple[Answer, Kept]:
    assert isinstance(heard.receiver, ProcessReceiver)
    keys = (Key("QueryRetrieveLevel", "STUDY"), Key("StudyInstanceUID", "1.2.3.4"))
    request = Request("identity", 1, RequestType.GET, "study", keys)
    kept = Kept(heard.receiver)
    storage = (Proposal(raw.CT, (raw.EXPLICIT,)),)
    answer, _ = session.get_once(request, message_id, storage, kept)
    return answer, kept


def uids(heard: Heard, count: int) -> list[str]:
    return [one.identifiers.sop_instance_uid for one in heard.wait(count)]


def test_instances_are_kept_and_the_final_response_is_ours(heard: Heard) -> None:
    script = (PENDING + instance(UIDS[0]), PENDING + instance(UIDS[1]), PENDING + FINAL)
    with archive(*script) as (session, _):
        answer, kept = get(session, heard)
    assert (answer.status, answer.tally.completed) == (0x0000, 1)
    assert (kept.uids, kept.classes, kept.refused) == (set(UIDS[:2]), {raw.CT}, 0)
    assert uids(heard, 2) == UIDS[:2]


def test_a_pending_response_with_a_data_set_is_passed_over_by_the_one_who_asked(
    heard: Heard,
) -> None:
    """What has come behind it goes to the receiver again."""
    odd = response(0xFF00, b"\x08\0\x58\0UI\0\0")
    script = (instance(UIDS[0]), odd + odd + instance(UIDS[1]), odd + FINAL)
    with archive(*script) as (session, _):
        answer, kept = get(session, heard)
    assert answer.status == 0x0000
    assert kept.uids == set(UIDS[:2])
    assert uids(heard, 2) == UIDS[:2]


def test_the_association_serves_the_next_request(heard: Heard) -> None:
    script = (
        instance(UIDS[0]), FINAL,
        b"", instance(UIDS[1]), response(0x0000, message_id=10),
    )  # fmt: skip
    with archive(*script) as (session, peer):
        get(session, heard)
        _, kept = get(session, heard, 10)
        assert kept.uids == {UIDS[1]}
        assert len(peer.received) == 1 + 2 * 2 + 2, "one association"
    assert uids(heard, 2) == UIDS[:2]


@pytest.mark.parametrize(
    ("piece", "words"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "no DICOM PDU"),
        (raw.ABORT, "aborted the association"),
        (raw.RELEASE_RQ, "released the association too early"),
        (raw.pdu(2, bytes(80)), "a PDU nobody asked for"),
        (raw.pdu(4, bytes(200_000)), "longer than we said we take"),
        (raw.p_data(raw.pdv(7, 3, raw.command(1))), "context that was not accepted"),
        (raw.p_data(raw.pdv(3, 3, raw.command(1))), "context that was not agreed upon"),
        (raw.p_data(raw.pdv(3, 3, raw.command(0x30, data=False))), "something else"),
        (response(0x0000, message_id=8), "something else"),
        (raw.p_data(raw.pdv(GET, 3, b"nonsense")), "broke the protocol"),
        (raw.p_data(raw.pdv(STORE, 2, b"data")), "out of order"),
        (b"\x04\0\0\0\0\x06\0\0\0\x63\1\3", "broke the protocol"),
        (FINAL[:40], "was silent for"),
        (instance(UIDS[1])[:300], "was silent for"),
    ],
)
def test_nonsense_ends_the_association_and_costs_nothing_that_was_acknowledged(
    heard: Heard, piece: bytes, words: str
) -> None:
    script = (instance(UIDS[0]), piece)
    with archive(*script) as (session, _), pytest.raises(TransientError, match=words):
        get(session, heard)
    assert uids(heard, 1) == UIDS[:1]
    assert len(heard.files()) == 1


def test_a_connection_that_is_closed_in_the_middle_is_lost(heard: Heard) -> None:
    with archive(instance(UIDS[0]), instance(UIDS[1])[:300], None) as (session, peer):
        threading.Timer(0.5, peer.__exit__).start()
        with pytest.raises(TransientError, match="closed the connection"):
            get(session, heard)
    assert uids(heard, 1) == UIDS[:1]


def test_an_archive_that_says_nothing_is_left_after_its_time(heard: Heard) -> None:
    with archive(instance(UIDS[0])) as (session, _):
        begun = time.monotonic()
        with pytest.raises(TransientError, match=r"was silent for 1\.5 s"):
            get(session, heard)
        assert 1.4 < time.monotonic() - begun < 6


def test_counts_keep_a_slow_c_get_alive(heard: Heard) -> None:
    script: Sequence[bytes | float] = (instance(UIDS[0]), PENDING, *([0.4] * 3))
    with archive(*script, timeouts=Timeouts(2, 2, 2.5, 60)) as (session, peer):

        def count() -> None:
            for _ in range(12):
                time.sleep(0.4)
                peer.push(PENDING)
            peer.push(FINAL)

        threading.Thread(target=count).start()
        answer, _ = get(session, heard)
    assert answer.status == 0x0000


def test_a_request_has_an_end_whatever_comes(heard: Heard) -> None:
    with archive(instance(UIDS[0]), timeouts=Timeouts(2, 2, 30, 2.0)) as (session, peer):
        stop = threading.Event()

        def count() -> None:
            while not stop.wait(0.2):
                peer.push(PENDING)

        thread = threading.Thread(target=count)
        thread.start()
        with pytest.raises(TransientError, match="did not end the request within 2 s"):
            get(session, heard)
        stop.set()
        thread.join()


def test_an_abort_from_another_thread_does_not_wait_for_the_archive(heard: Heard) -> None:
    patient = Timeouts(2, 2, 60, 60)
    with archive(instance(UIDS[0]), timeouts=patient) as (session, _):
        threading.Timer(1.0, session.abort).start()
        begun = time.monotonic()
        with pytest.raises(TransientError, match="We aborted the association"):
            get(session, heard)
        assert time.monotonic() - begun < 5
    assert uids(heard, 1) == UIDS[:1]


def test_a_cancel_from_another_thread_reaches_the_archive(heard: Heard) -> None:
    script = (instance(UIDS[0]), b"", response(0xFE00))  # behind the answer, and the cancel
    with archive(*script, timeouts=Timeouts(2, 2, 60, 60)) as (session, peer):
        threading.Timer(1.0, session.cancel).start()
        answer, kept = get(session, heard)
        assert answer.status == 0xFE00
        assert kept.uids == {UIDS[0]}
        assert b"\xff\x0f" in peer.received[-1], "C-CANCEL-RQ"
