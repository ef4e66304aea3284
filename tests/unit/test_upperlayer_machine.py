"""The state machine: every phase, every cut, any bytes at all; no socket."""

import random
import struct
from itertools import pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pydicombatch.receive.upperlayer import events
from pydicombatch.receive.upperlayer.machine import Association
from pydicombatch.receive.upperlayer.negotiation import Policy
from pydicombatch.receive.upperlayer.phase import Phase
from tests.support import hand_made as raw

POLICY = Policy("OURS", max_pdu=16384, longest_request=65536)
DATA = raw.data_set(pixels=5000)


def run(
    stream: bytes, cuts: list[int] | None = None, policy: Policy = POLICY
) -> tuple[list[events.Event], bytes, Association]:
    """Feed a stream in pieces, answer every C-STORE, join neighbouring fragments."""
    association = Association(policy)
    happened: list[events.Event] = []
    output = b""
    places = sorted({0, len(stream), *(cut % (len(stream) + 1) for cut in cuts or [])})
    for begin, end in pairwise(places):
        piece = memoryview(bytearray(stream[begin:end]))
        while piece:
            found, consumed = association.receive(piece)
            happened += [_kept(event) for event in found]
            if association.awaits_answer:
                association.answer(0)
            output += association.take_output()
            assert consumed
            piece = piece[consumed:]
    return _joined(happened), output, association


def _kept(event: events.Event) -> events.Event:
    if isinstance(event, events.Fragment):
        return events.Fragment(memoryview(bytes(event.data)))
    return event


def _joined(happened: list[events.Event]) -> list[events.Event]:
    joined: list[events.Event] = []
    for event in happened:
        last = joined[-1] if joined else None
        if isinstance(event, events.Fragment) and isinstance(last, events.Fragment):
            joined[-1] = events.Fragment(memoryview(bytes(last.data) + bytes(event.data)))
        else:
            joined.append(event)
    return joined


def kinds(happened: list[events.Event]) -> list[str]:
    return [type(event).__name__ for event in happened]


SESSION = b"".join(
    (
        raw.associate_rq(),
        raw.echo_rq(),
        raw.store(DATA, size=1000),
        # command and data in one unit, each in two values, one of them empty
        raw.p_data(
            raw.pdv(3, 1, raw.command(1, 8)[:50]),
            raw.pdv(3, 3, raw.command(1, 8)[50:]),
            raw.pdv(3, 0, DATA[:77]),
            raw.pdv(3, 0, b""),
            raw.pdv(3, 0, DATA[77:]),
            raw.pdv(3, 2, b""),
        ),
        raw.p_data(raw.pdv(3, 3, raw.command(0x20, 9))),  # C-FIND: not ours
        raw.p_data(raw.pdv(3, 2, b"identifier")),
        raw.p_data(raw.pdv(3, 3, raw.command(0x20, 10, data=False))),
        raw.RELEASE_RQ,
    )
)


def test_a_whole_session_is_told_event_by_event() -> None:
    happened, output, association = run(SESSION)
    assert kinds(happened) == [
        "Associated", "Echoed",
        "StoreBegun", "Fragment", "StoreEnded",
        "StoreBegun", "Fragment", "StoreEnded",
        "Released",
    ]  # fmt: skip
    fragments = [bytes(e.data) for e in happened if isinstance(e, events.Fragment)]
    assert fragments == [DATA, DATA]
    begun = next(e for e in happened if isinstance(e, events.StoreBegun))
    assert begun.transfer_syntax_uid == raw.EXPLICIT
    assert begun.command.sop_instance_uid == raw.UID
    assert association.phase is Phase.CLOSING
    assert output.endswith(struct.pack(">BxI4x", 6, 4))
    statuses = _statuses(output)
    assert statuses == [0, 0, 0, 0x0211, 0x0211]


def _statuses(output: bytes) -> list[int]:
    found, position = [], 0
    while position < len(output):
        kind, length = struct.unpack_from(">BxI", output, position)
        if kind == 4:
            found.append(raw.status_of(output[position + 6 : position + 6 + length]))
        position += 6 + length
    return found


@given(st.lists(st.integers(0, len(SESSION)), max_size=40))
@example(list(range(len(SESSION))))
@settings(deadline=None)
def test_any_fragmentation_gives_the_same_events_and_the_same_answers(cuts: list[int]) -> None:
    whole, whole_output, _ = run(SESSION)
    cut, cut_output, _ = run(SESSION, cuts)
    assert cut == whole
    assert cut_output == whole_output


LONGEST_HELD = POLICY.longest_request + POLICY.longest_command + 6


@given(st.binary(max_size=3000), st.booleans())
def test_no_byte_stream_raises_or_grows_memory_over_its_bound(data: bytes, opened: bool) -> None:
    """F59."""
    stream = (raw.associate_rq() if opened else b"") + data
    happened, _, association = run(stream)
    assert association.held <= LONGEST_HELD
    ends = [e for e in happened if isinstance(e, events.Aborted | events.Released)]
    assert len(ends) <= 1
    if ends:
        assert happened[-1] is ends[0]


@given(st.integers(0, 1 << 32), st.integers(1, 8), st.lists(st.integers(0, 1 << 20), max_size=6))
@settings(max_examples=300, deadline=None)
def test_no_mutated_recording_raises_or_grows_memory_over_its_bound(
    seed: int, changes: int, cuts: list[int]
) -> None:
    """S04."""
    chosen = random.Random(seed)
    stream = bytearray(SESSION)
    for _ in range(changes):
        place = chosen.randrange(len(stream))
        match chosen.randrange(3):
            case 0:
                stream[place] = chosen.randrange(256)
            case 1:
                del stream[place : place + chosen.randrange(1, 40)]
            case _:
                stream[place:place] = chosen.randbytes(chosen.randrange(1, 40))
    whole, output, association = run(bytes(stream))
    assert association.held <= LONGEST_HELD
    assert run(bytes(stream), cuts)[:2] == (whole, output)


def aborts(stream: bytes, reason: int) -> None:
    happened, output, association = run(stream)
    assert isinstance(happened[-1], events.Aborted)
    assert not happened[-1].by_peer
    assert output[-10:] == struct.pack(">BxIBBBB", 7, 4, 0, 0, 2, reason)
    assert association.phase is Phase.CLOSING
    assert association.held == 0


@pytest.mark.parametrize(
    ("stream", "reason"),
    [
        (raw.RELEASE_RQ, 2),
        (raw.p_data(raw.pdv(1, 3, b"x")), 2),
        (raw.pdu(9, bytes(4)), 1),
        (raw.pdu(0, bytes(4)), 1),
        (raw.pdu(2, bytes(4)), 2),
        (raw.pdu(1, bytes(20)), 6),
    ],
)
def test_what_may_not_come_before_an_association_aborts(stream: bytes, reason: int) -> None:
    aborts(stream, reason)


@pytest.mark.parametrize(
    ("behind", "reason"),
    [
        (raw.associate_rq(), 2),
        (raw.pdu(2, bytes(4)), 2),
        (raw.pdu(3, bytes(4)), 2),
        (raw.pdu(6, bytes(4)), 2),
        (raw.pdu(8, bytes(4)), 1),
        (raw.pdu(5, bytes(5)), 6),
        (raw.pdu(4, b"\0\0\0\2\1"), 6),
        (raw.p_data(raw.pdv(5, 3, raw.command(1))), 6),
        (raw.p_data(raw.pdv(3, 2, b"data first")), 6),
        (raw.p_data(raw.pdv(3, 7, b"")), 6),
        (raw.p_data(raw.pdv(3, 3, b"")), 6),
        (raw.p_data(raw.pdv(3, 3, b"nonsense")), 6),
        (raw.p_data(raw.pdv(3, 3, raw.command(0x8001))), 6),
        (raw.p_data(raw.pdv(1, 3, raw.command(1))), 6),
        (raw.p_data(raw.pdv(3, 3, raw.command(1)), raw.pdv(1, 2, b"")), 6),
        (raw.p_data(raw.pdv(3, 3, raw.command(1)), raw.pdv(3, 3, raw.command(1))), 6),
        (raw.p_data(struct.pack(">IBB", 500, 3, 3) + b"short"), 6),
        (raw.p_data(raw.pdv(1, 3, raw.command(0x30, data=False)) + b"\0\0\0"), 6),
        (raw.p_data(struct.pack(">IBB", 1, 3, 3)), 6),
    ],
)
def test_what_breaks_the_protocol_inside_an_association_aborts(behind: bytes, reason: int) -> None:
    aborts(raw.associate_rq() + behind, reason)


def test_a_unit_longer_than_announced_is_refused_by_its_header_alone() -> None:
    """F50."""
    aborts(raw.associate_rq() + struct.pack(">BxI", 4, POLICY.max_pdu + 1), 6)
    aborts(raw.associate_rq() + struct.pack(">BxI", 4, 0xFFFFFFFF), 6)


def test_an_association_request_over_its_limit_is_refused_by_its_header_alone() -> None:
    aborts(struct.pack(">BxI", 1, POLICY.longest_request + 1), 6)


def test_a_command_over_its_limit_is_refused_before_it_is_kept() -> None:
    piece = raw.p_data(raw.pdv(3, 1, bytes(8000)))
    aborts(raw.associate_rq() + 3 * piece, 6)


@pytest.mark.parametrize(
    "before",
    [
        b"",
        raw.associate_rq(),
        raw.associate_rq() + raw.p_data(raw.pdv(3, 1, raw.command(1)[:30])),
        raw.associate_rq() + raw.p_data(raw.pdv(3, 3, raw.command(1))),
        raw.associate_rq()
        + raw.p_data(raw.pdv(3, 3, raw.command(1)))
        + raw.p_data(raw.pdv(3, 0, DATA[:900])),
    ],
)
def test_an_abort_of_the_peer_ends_every_phase_without_an_answer(before: bytes) -> None:
    association = Association(POLICY)
    association.receive(memoryview(before))
    association.take_output()
    happened, _ = association.receive(memoryview(raw.ABORT))
    assert happened[-1] == events.Aborted(by_peer=True, reason="The peer aborted")
    assert association.phase is Phase.CLOSED
    assert association.take_output() == b""


def test_after_goodbye_whatever_comes_is_thrown_away() -> None:
    happened, output, association = run(raw.associate_rq() + raw.RELEASE_RQ + SESSION)
    assert kinds(happened) == ["Associated", "Released"]
    assert association.held == 0
    assert _statuses(output) == []


def test_a_rejection_carries_its_codes_and_closes() -> None:
    happened, output, association = run(raw.associate_rq(called="OTHER"))
    assert happened == [events.Rejected(1, 1, 7)]
    assert output == struct.pack(">BxIBBBB", 3, 4, 0, 1, 1, 7)
    assert association.phase is Phase.CLOSING


def test_nothing_is_read_behind_a_store_before_its_answer() -> None:
    association = Association(POLICY)
    association.receive(memoryview(raw.associate_rq()))
    first, second = raw.store(DATA), raw.store(DATA, message_id=8)
    happened, consumed = association.receive(memoryview(first + second))
    assert consumed == len(first)
    assert association.awaits_answer
    assert association.receive(memoryview(second)) == ([], 0)
    association.take_output()
    association.answer(0xA700, "no room")
    assert _statuses(association.take_output()) == [0xA700]
    happened, consumed = association.receive(memoryview(second))
    assert consumed == len(second)
    assert isinstance(happened[0], events.StoreBegun)


def test_an_answer_that_nothing_waits_for_is_a_mistake_of_ours() -> None:
    with pytest.raises(RuntimeError):
        Association(POLICY).answer(0)


def test_a_cancel_is_ignored() -> None:
    body = raw._element(0x100, b"\xff\x0f") + raw._element(0x120, b"\1\0")
    body += raw._element(0x800, b"\1\1")
    _, output, association = run(raw.associate_rq() + raw.p_data(raw.pdv(3, 3, body)))
    assert _statuses(output) == []
    assert association.phase is Phase.OPEN


def test_our_own_end_is_an_abort_or_a_transient_rejection() -> None:
    fresh = Association(POLICY)
    fresh.abort()
    assert fresh.take_output() == struct.pack(">BxIBBBB", 3, 4, 0, 2, 3, 2)
    _, _, opened = run(raw.associate_rq())
    opened.abort()
    assert opened.take_output() == struct.pack(">BxIBBBB", 7, 4, 0, 0, 0, 0)


def test_fragments_are_views_of_the_bytes_given_not_copies() -> None:
    association = Association(POLICY)
    association.receive(memoryview(raw.associate_rq()))
    buffer = bytearray(raw.store(DATA))
    happened, _ = association.receive(memoryview(buffer))
    fragment = next(e for e in happened if isinstance(e, events.Fragment))
    assert fragment.data.obj is buffer


def test_it_tells_whether_the_peer_owes_us_something() -> None:
    association = Association(POLICY)
    assert not association.between_messages
    association.receive(memoryview(raw.associate_rq()))
    assert association.between_messages
    association.receive(memoryview(b"\4"))
    assert association.inside_pdu
    assert not association.between_messages
