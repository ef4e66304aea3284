"""Command sets: against pynetdicom's encoder, and against nonsense."""

import struct
from contextlib import suppress
from io import BytesIO

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pynetdicom.dsutils import decode as decode_data_set
from pynetdicom.dsutils import encode as encode_data_set

from pydicombatch.receive.upperlayer import command as dimse
from pydicombatch.receive.upperlayer import pdu
from pydicombatch.receive.upperlayer.messages import Encoder
from pydicombatch.receive.upperlayer.pdu import ProtocolError
from tests.support import hand_made as raw


def test_a_store_request_is_read_with_its_originator() -> None:
    found = dimse.decode(raw.command(1, 9, originator=("OURS", 65535)))
    assert found == dimse.Command(1, 9, True, raw.CT, raw.UID, "OURS", 65535)


def test_a_command_without_originator_has_none() -> None:
    found = dimse.decode(raw.command(1, 9))
    assert (found.originator_aet, found.originator_message_id) == (None, None)


def test_pynetdicom_reads_our_response_as_we_meant_it() -> None:
    request = dimse.decode(raw.command(1, 9))
    encoded = dimse.encode_response(request, 0xA900, "Something of ours")
    found = decode_data_set(BytesIO(encoded), True, True)
    assert found.CommandGroupLength == len(encoded) - 12
    assert (found.CommandField, found.Status, found.MessageIDBeingRespondedTo) == (
        0x8001,
        0xA900,
        9,
    )
    assert found.AffectedSOPInstanceUID == raw.UID
    assert found.AffectedSOPClassUID == raw.CT
    assert found.CommandDataSetType == 0x0101
    assert found.ErrorComment == "Something of ours"


def test_we_read_what_pynetdicom_encodes() -> None:
    one = Dataset()
    one.AffectedSOPClassUID = raw.CT
    one.CommandField, one.MessageID, one.Priority, one.CommandDataSetType = 1, 3, 2, 1
    one.AffectedSOPInstanceUID = "1.2.3"
    one.MoveOriginatorApplicationEntityTitle = "OURS"
    one.MoveOriginatorMessageID = 17
    encoded = encode_data_set(one, True, True)
    assert encoded is not None
    assert dimse.decode(encoded) == dimse.Command(1, 3, True, raw.CT, "1.2.3", "OURS", 17)


@pytest.mark.parametrize(
    "body", [b"", b"\0", raw.command(1)[:-1], b"\x08\0\x16\0\0\0\0\0", raw.command(1)[12:40]]
)
def test_a_command_that_is_cut_off_or_lacks_what_it_needs_is_a_protocol_error(body: bytes) -> None:
    with pytest.raises(ProtocolError):
        dimse.decode(body)


@given(st.binary(max_size=300))
def test_no_command_raises_anything_but_the_protocol_error(body: bytes) -> None:
    with suppress(ProtocolError):
        assert dimse.decode(body).message_id <= 0xFFFF


TEXTS = st.from_regex(r"[0-9.]{0,12}", fullmatch=True)
COMMANDS = st.builds(
    raw.command,
    st.sampled_from([1, 0x30]),
    st.integers(0, 0xFFFF),
    data=st.booleans(),
    sop_class=TEXTS,
    instance=TEXTS,
    originator=st.none() | st.just(("OURS", 3)),
)


@given(st.lists(st.tuples(COMMANDS, st.binary(max_size=3)), max_size=6))
def test_reading_one_after_the_other_is_reading_each_for_itself(
    sent: list[tuple[bytes, bytes]],
) -> None:
    decoder = dimse.Decoder()
    for body, behind in sent:
        for one in (body, body + behind):
            try:
                expected = dimse.decode(one)
            except ProtocolError:
                with pytest.raises(ProtocolError):
                    decoder.decode(one)
            else:
                assert decoder.decode(one) == expected


def test_a_command_that_names_its_instance_twice_is_read_step_by_step() -> None:
    decoder = dimse.Decoder()
    instance = struct.pack("<HHI", 0, 0x1000, 4)
    body = raw.command(1)
    first, second = body + instance + b"1.2\0", body + instance + b"1.3\0"
    assert [decoder.decode(one).sop_instance_uid for one in (first, second)] == ["1.2", "1.3"]


@given(
    st.lists(
        st.tuples(COMMANDS, st.sampled_from([1, 3]), st.sampled_from([0, 0xA900])), max_size=6
    ),
    st.sampled_from([0, 40, 4096]),
)
def test_answering_one_after_the_other_is_answering_each_for_itself(
    sent: list[tuple[bytes, int, int]], max_pdu: int
) -> None:
    encoder = Encoder(max_pdu)
    for body, context, status in sent:
        command = dimse.decode(body)
        comment = "Something of ours" if status else ""
        response = dimse.encode_response(command, status, comment)
        expected = pdu.encode_command(context, response, max_pdu)
        assert encoder.encode(context, command, status, comment) == expected
