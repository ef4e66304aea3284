"""An association of ours that is adopted: instances are taken, all else is returned as it came."""

import struct
from itertools import pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pydicombatch.backends.dimse.command import Tag, encode
from pydicombatch.backends.dimse.fragments import split
from pydicombatch.core.adoption import Adoption
from pydicombatch.core.model import Origin
from pydicombatch.receive.upperlayer import events
from pydicombatch.receive.upperlayer.machine import Association
from pydicombatch.receive.upperlayer.negotiation import Policy
from pydicombatch.receive.upperlayer.phase import Phase
from tests.support import hand_made as raw
from tests.support.adopting import get_response

GET, MESSAGE = 1, 9  # presentation context, message id
ORIGIN = Origin("ARCHIVE", "archive", "OURS", MESSAGE)
STORAGE = {3: (raw.CT, raw.EXPLICIT)}
ADOPTION = Adoption(STORAGE, frozenset({GET, 5}), GET, MESSAGE, 16384, 0, ORIGIN)
POLICY = Policy("", max_pdu=ADOPTION.longest)
DATA = raw.data_set(pixels=5000)
UIDS = "1.2.826.0.1.3680043.10.1234."


def response(status: int, data: bytes | None = None, message_id: int = MESSAGE) -> bytes:
    return get_response(status, data, {Tag.COMPLETED: 3}, message_id)


PENDING = response(0xFF00)
FINAL = response(0xB000, b"failed instances" * 100)
SESSION = b"".join(
    (
        PENDING,
        raw.store(DATA, size=1000, instance=UIDS + "1"),
        PENDING,
        PENDING,
        raw.store(DATA, instance=UIDS + "2"),
        response(0xFF01),
        raw.store(raw.data_set(), instance=UIDS + "3"),
        PENDING,
    )
)


class Served:
    """An adopted association that is fed; every C-STORE is answered."""

    def __init__(self) -> None:
        self.association = Association(POLICY, ADOPTION)
        self.took: list[tuple[str, bytes]] = []  # UIDs with data sets
        self.output = b""
        self._uid, self._data = "", b""

    def feed(self, piece: memoryview) -> memoryview:
        """Give it bytes; return those that it leaves."""
        while piece and self.association.returned is None:
            happened, consumed = self.association.receive(piece)
            for event in happened:
                self._act(event)
            if self.association.awaits_answer:
                self.association.answer(0)
            self.output += self.association.take_output()
            piece = piece[consumed:]
        return piece

    def _act(self, event: events.Event) -> None:
        if isinstance(event, events.StoreBegun):
            self._uid, self._data = event.command.sop_instance_uid, b""
        elif isinstance(event, events.Fragment):
            self._data += event.data
        elif isinstance(event, events.StoreEnded):
            self.took.append((self._uid, self._data))


def run(
    stream: bytes, cuts: list[int] | None = None
) -> tuple[list[tuple[str, bytes]], bytes, bytes | None, Association]:
    """Feed a stream in pieces.

    Returns
    -------
    What was taken, the answers, what was returned together with all behind it, the machine.
    """
    served, rest = Served(), None
    places = sorted({0, len(stream), *(cut % (len(stream) + 1) for cut in cuts or [])})
    for begin, end in pairwise(places):
        left = served.feed(memoryview(bytearray(stream[begin:end])))
        if served.association.returned is not None:
            rest = served.association.returned + bytes(left) + stream[end:]
            break
    return served.took, served.output, rest, served.association


def values(stream: bytes) -> list[tuple[int, int, bytes]]:
    """Return context, control header and content of every presentation data value, joined."""
    found: list[tuple[int, int, bytes]] = []
    position = 0
    while position < len(stream):
        kind, length = struct.unpack_from(">BxI", stream, position)
        assert kind == 4
        position += 6
        end = position + length
        while position < end:
            size, context, control = struct.unpack_from(">IBB", stream, position)
            found.append((context, control, stream[position + 6 : position + 4 + size]))
            position += 4 + size
        assert position == end
    return found


def test_instances_are_taken_between_the_counts_until_the_final_response() -> None:
    took, output, rest, association = run(SESSION + FINAL)
    assert [uid for uid, _ in took] == [UIDS + "1", UIDS + "2", UIDS + "3"]
    assert [data for _, data in took] == [DATA, DATA, raw.data_set()]
    assert rest == FINAL
    assert len(values(output)) == 3
    assert association.phase is Phase.OPEN


@given(st.lists(st.integers(0, len(SESSION + FINAL)), max_size=40))
@example(list(range(len(SESSION + FINAL))))
@settings(deadline=None)
def test_any_fragmentation_gives_the_same_instances_and_the_same_rest(cuts: list[int]) -> None:
    whole, cut = run(SESSION + FINAL), run(SESSION + FINAL, cuts)
    assert cut[:3] == whole[:3]


FOREIGN = {
    "a final response": response(0x0000),
    "one with a list": FINAL,
    "a pending one with a data set": response(0xFF00, b"x" * 8),
    "one to another message": response(0xFF00, message_id=MESSAGE + 1),
    "a pending one on another context": split(5, encode(
        {Tag.FIELD: 0x8010, Tag.RESPONDED_TO: MESSAGE, Tag.DATA_SET_TYPE: 0x0101,
         Tag.STATUS: 0xFF00}), None, 0),
    "a match nobody asked for": split(5, encode(
        {Tag.FIELD: 0x8020, Tag.RESPONDED_TO: 1, Tag.DATA_SET_TYPE: 1, Tag.STATUS: 0xFF00}),
        b"match", 0),
    "an echo": raw.p_data(raw.pdv(5, 3, raw.command(0x30, data=False))),
    "a release": raw.RELEASE_RQ,
    "an abort": raw.ABORT,
    "no DICOM, but for the reserved byte": b"H\0TP/1.1 200 OK\r\n\r\n",
    "a second answer to our request": raw.pdu(2, bytes(80)),
    "a unit of all lengths": b"\x09\0\xff\xff\xff\xff" + bytes(30),
}  # fmt: skip


@pytest.mark.parametrize("name", FOREIGN)
@pytest.mark.parametrize("cuts", [[], list(range(1 << 15))])
def test_all_else_is_returned_as_it_came_with_what_is_behind_it(name: str, cuts: list[int]) -> None:
    foreign = FOREIGN[name]
    took, output, rest, _ = run(SESSION + foreign + b"behind it", cuts)
    assert len(took) == 3
    assert rest == foreign + b"behind it"
    assert len(values(output)) == 3, "nothing is said for the one who asked"


def test_an_abort_in_the_middle_of_an_instance_is_returned() -> None:
    took, _, rest, _ = run(raw.store(DATA, size=1000)[:3000] + raw.ABORT)
    # the unit under way swallows it, as its length says that it does
    assert (took, rest) == ([], None)
    first = raw.store(DATA, size=1000)
    whole = 6 + struct.unpack_from(">I", first, 2)[0]
    took, _, rest, _ = run(first[:whole] + raw.ABORT)
    assert (took, rest) == ([], raw.ABORT)


@given(st.integers(1, 400), st.integers(0, 300), st.lists(st.integers(0, 3000), max_size=6))
@settings(deadline=None)
def test_a_response_is_returned_whole_wherever_its_units_end(
    first: int, second: int, cuts: list[int]
) -> None:
    """Command and list may share a unit, and each may be cut into values."""
    command = values(FINAL)[0][2]
    listed = b"failed instances" * 10
    head, tail = command[: first % len(command)], command[first % len(command) :]
    part, end = listed[:second], listed[second:]
    unit = raw.p_data(
        raw.pdv(GET, 1, head), raw.pdv(GET, 3, tail), raw.pdv(GET, 0, part), raw.pdv(GET, 2, end)
    )
    took, _, rest, _ = run(SESSION + unit, cuts)
    assert len(took) == 3
    assert rest is not None
    found = values(rest)
    assert b"".join(data for _, control, data in found if control & 1) == command
    assert b"".join(data for _, control, data in found if not control & 1) == listed
    assert [control & 2 for _, control, _ in found][-1] == 2


@pytest.mark.parametrize(
    ("stream", "words"),
    [
        (raw.p_data(raw.pdv(7, 3, raw.command(1))), "context that was not accepted"),
        (raw.p_data(raw.pdv(5, 3, raw.command(1))), "context that was not agreed upon"),
        (raw.p_data(raw.pdv(GET, 3, raw.command(1))), "context that was not agreed upon"),
        (raw.p_data(raw.pdv(3, 2, b"data")), "out of order"),
        (raw.pdu(4, bytes(20000)), "longer than we said we take"),
        (raw.p_data(raw.pdv(GET, 3, b"nonsense")), "command"),
        (raw.p_data(raw.pdv(GET, 1, bytes(16000))) * 2, "longer than any can be"),
    ],
)
def test_a_breach_of_the_protocol_is_told_and_nothing_is_returned(
    stream: bytes, words: str
) -> None:
    association = Association(POLICY, ADOPTION)
    happened, consumed = association.receive(memoryview(SESSION[: len(PENDING)] + stream))
    (broken,) = [one for one in happened if isinstance(one, events.Aborted)]
    assert words in broken.reason
    assert not broken.by_peer
    assert consumed == len(PENDING) + len(stream)
    assert association.phase is Phase.CLOSING
    assert association.returned is None


@given(st.binary(max_size=3000), st.lists(st.integers(0, 3000), max_size=5))
def test_no_byte_stream_raises_or_is_held_beyond_its_bound(data: bytes, cuts: list[int]) -> None:
    took, _, rest, association = run(PENDING + data, [len(PENDING) + cut for cut in cuts])
    assert took == [] or data
    assert association.held <= POLICY.longest_command + 6
    if rest is not None:
        assert len(rest) <= len(PENDING + data) + 12
