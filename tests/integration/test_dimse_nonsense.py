"""Listeners that are no archives, and answers that are no answers."""

import socket
import struct
import threading
import time
from contextlib import ExitStack

import pytest

from pydicombatch.backends.dimse import DimseArchive, Peer, Timeouts
from pydicombatch.core.errors import TransientError, Unreachable
from pydicombatch.core.model import RequestType
from tests.support.ports import LOOPBACK
from tests.support.raw_peer import RawPeer


def archive(peer: RawPeer) -> DimseArchive:
    timeouts = Timeouts(connect=2, association=1, response=5)
    one = Peer(LOOPBACK, peer.port, "FAKE", "SAMPLE_AE", timeouts=timeouts)
    return DimseArchive(one, "study", RequestType.FIND)


def acceptance(syntax: str = "1.2.840.10008.1.2.1") -> bytes:
    """An A-ASSOCIATE-AC (PS3.8 9.3.3) that accepts contexts 1 and 3."""
    body = struct.pack(">HH", 1, 0) + b"FAKE".ljust(16) + b"SAMPLE_AE".ljust(16) + bytes(32)
    body += item(0x10, b"1.2.840.10008.3.1.1.1")
    for context in (1, 3):
        body += item(0x21, bytes([context, 0, 0, 0]) + item(0x40, syntax.encode()))
    body += item(0x50, item(0x51, struct.pack(">L", 16384)) + item(0x52, b"1.2.3"))
    return struct.pack(">BxL", 2, len(body)) + body


def item(kind: int, content: bytes) -> bytes:
    return struct.pack(">BxH", kind, len(content)) + content


def data(fields: dict[int, int], context: int) -> bytes:
    """A P-DATA-TF with a command of US elements."""
    body = b"".join(struct.pack("<HHLH", 0, tag, 2, value) for tag, value in fields.items())
    body = struct.pack(">LBB", len(body) + 2, context, 3) + body
    return struct.pack(">BxL", 4, len(body)) + body


@pytest.mark.parametrize(
    ("piece", "words"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "does not speak DICOM"),
        (b"\x02\0\xff\xff\xff\xff" + bytes(100), "does not speak DICOM"),
        (b"\x02\0\0\0\0\x04\0\0\0\0", "does not speak DICOM"),
        (b"\x07\0\0\0\0\x04\0\0\2\0", "aborted the association while it was being opened"),
        (b"\x04\0\0\0\0\x06\0\0\0\2\1\3", "aborted the association while it was being opened"),
    ],
)
def test_nonsense_in_place_of_an_acceptance_is_no_archive(piece: bytes, words: str) -> None:
    with RawPeer([piece]) as peer, pytest.raises(Unreachable, match=words):
        archive(peer).echo()


def test_a_listener_that_stays_silent_is_unreachable_in_time() -> None:
    with RawPeer([5.0]) as peer, pytest.raises(Unreachable, match="did not answer our association"):
        archive(peer).echo()


def test_a_listener_that_hangs_up_is_unreachable() -> None:
    with RawPeer([None]) as peer, pytest.raises(Unreachable, match="closed the connection"):
        archive(peer).echo()


def test_a_listener_whose_queue_is_full_is_unreachable_in_time() -> None:
    with socket.create_server((LOOPBACK, 0), backlog=0) as deaf, ExitStack() as stack:
        port = deaf.getsockname()[1]
        for _ in range(3):  # connections the kernel holds, until it drops every further SYN
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex((LOOPBACK, port))
        time.sleep(0.1)
        peer = Peer(LOOPBACK, port, "FAKE", "SAMPLE_AE", timeouts=Timeouts(connect=0.5))
        with pytest.raises(Unreachable, match=rf"No answer from {LOOPBACK}:{port} within 0.5 s"):
            DimseArchive(peer, "study", RequestType.FIND).echo()


def test_an_abort_ends_a_connection_that_is_being_made() -> None:
    with RawPeer([5.0]) as peer:
        one = archive(peer)
        timer = threading.Timer(0.2, one.abort)
        timer.start()
        began = time.monotonic()
        with pytest.raises(TransientError):
            one.echo()
        assert time.monotonic() - began < 0.9
        timer.join()


def test_half_a_pdu_does_not_hold_us() -> None:
    with RawPeer([b"\x02\0\0", 5.0]) as peer:
        began = time.monotonic()
        with pytest.raises(Unreachable, match="did not answer"):
            archive(peer).echo()
        assert time.monotonic() - began < 3


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"\x04\0\xff\xff\xff\xff" + bytes(50), "larger than we offered"),
        (b"\x99\0\0\0\0\4\0\0\0\0", "no DICOM PDU"),
        (b"\x04\0\0\0\0\x06\0\0\0\x02\x01\x02", "out of order"),
        (b"\x04\0\0\0\0\x06\0\0\0\xff\x01\x03", "cut short"),
        (b"\x04\0\0\0\0\x07\0\0\0\x03\x01\x03A", "cut short"),
        (b"\x02\0\0\0\0\4\0\0\0\0", "nobody asked for"),
    ],
)
def test_nonsense_in_place_of_an_answer_is_transient(answer: bytes, words: str) -> None:
    with RawPeer([acceptance(), answer]) as peer, pytest.raises(TransientError, match=words):
        archive(peer).echo()


@pytest.mark.parametrize(
    "fields",
    [
        {0x0100: 0x8030, 0x0120: 9, 0x0800: 0x0101, 0x0900: 0},  # another message id
        {0x0100: 0x8020, 0x0120: 1, 0x0800: 0x0101, 0x0900: 0},  # another operation
        {0x0100: 0x8030, 0x0120: 1, 0x0800: 0x0101},  # no status
        {0x0100: 0x8030, 0x0800: 0x0101, 0x0900: 0},  # to nobody
        {0x0100: 0x0030, 0x0110: 1, 0x0800: 0x0101},  # a request
    ],
)
def test_an_answer_to_something_else_is_never_taken_for_ours(fields: dict[int, int]) -> None:
    wrong = pytest.raises(TransientError, match="something else than a response")
    with RawPeer([acceptance(), data(fields, 3)]) as peer, wrong:
        archive(peer).echo()


def test_the_same_answer_over_the_other_context_is_not_ours() -> None:
    right = {0x0100: 0x8030, 0x0120: 1, 0x0800: 0x0101, 0x0900: 0}
    with RawPeer([acceptance(), data(right, 3)]) as peer:
        assert archive(peer).echo().status == 0
    with RawPeer([acceptance(), data(right, 1)]) as peer, pytest.raises(TransientError):
        archive(peer).echo()


def test_a_transfer_syntax_that_was_never_proposed_is_refused() -> None:
    """F21."""
    refused = pytest.raises(Unreachable, match="never proposed")
    with RawPeer([acceptance(syntax="1.2.840.10008.1.2.4.50")]) as peer, refused:
        archive(peer).echo()


def test_answers_in_crumbs_are_put_together() -> None:
    """F18."""
    whole = data({0x0100: 0x8030, 0x0120: 1, 0x0800: 0x0101, 0x0900: 0}, 3)
    with RawPeer([acceptance(), whole[:5]]) as peer:
        threading.Timer(0.2, lambda: peer.push(whole[5:20])).start()
        threading.Timer(0.4, lambda: peer.push(whole[20:])).start()
        assert archive(peer).echo().status == 0
