"""Protocol data units: our bytes against pynetdicom's, and hostile ones against the limits."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pynetdicom.pdu import A_ASSOCIATE_AC, A_ASSOCIATE_RJ

from pydicombatch.receive.upperlayer import negotiation, pdu
from tests.support import hand_made as raw


def body_of(request: bytes) -> bytes:
    return request[6:]


def test_an_associate_request_is_read_with_all_its_items() -> None:
    role = (9).to_bytes(2, "big") + b"1.2.3.4.5" + bytes((1, 0))
    identity = bytes((2, 1)) + b"\0\4user" + b"\0\6secret"
    user = b"".join(
        (
            raw.item(0x53, b"\0\5\0\5"),
            raw.item(0x54, role),
            raw.item(0x55, b"VERSION_1"),
            raw.item(0x56, b"\0\1xy"),
            raw.item(0x58, identity),
        )
    )
    found = pdu.decode_associate_request(body_of(raw.associate_rq(user=user)))
    assert found.called_aet == "OURS"
    assert found.calling_aet == "ARCHIVE"
    assert found.contexts[1] == pdu.ProposedContext(3, raw.CT, (raw.EXPLICIT,))
    assert found.max_pdu == 16384
    assert found.implementation_version == "VERSION_1"
    assert found.roles == (pdu.Role("1.2.3.4.5", scu=True, scp=False),)
    assert found.asynchronous
    assert found.user_identity == pdu.UserIdentity(2, wants_answer=True)


def test_pynetdicom_reads_our_acceptance_as_we_meant_it() -> None:
    user = raw.item(0x53, b"\0\5\0\5") + raw.item(0x58, bytes((1, 1)) + b"\0\4user\0\0")
    body = body_of(raw.associate_rq(user=user))
    request = pdu.decode_associate_request(body)
    policy = negotiation.Policy("OURS", max_pdu=65536)
    accept, _ = negotiation.acceptance(request, body[4:20], body[20:36], policy)
    theirs = A_ASSOCIATE_AC()
    theirs.decode(pdu.encode_associate_accept(accept))
    primitive = theirs.to_primitive()
    assert primitive.maximum_length_received == 65536
    results = primitive.presentation_context_definition_results_list
    assert [(c.context_id, c.result) for c in results] == [(1, 0), (3, 0)]
    assert str(results[1].transfer_syntax[0]) == raw.EXPLICIT
    items = {type(one).__name__ for one in primitive.user_information}
    assert {"AsynchronousOperationsWindowNegotiation", "UserIdentityNegotiation"} <= items


def test_pynetdicom_reads_our_rejection_as_we_meant_it() -> None:
    theirs = A_ASSOCIATE_RJ()
    theirs.decode(pdu.encode_reject(*negotiation.LOCAL_LIMIT_EXCEEDED))
    assert (theirs.result, theirs.source, theirs.reason_diagnostic) == (2, 3, 2)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        bytes(67),
        bytes(68) + b"\x10\0\xff\xff",
        bytes(68) + b"\x10",
        bytes(68) + raw.item(0x20, b"\2\0\0\0" + raw.item(0x30, b"1.2")),
        bytes(68) + raw.item(0x20, b"\1\0\0\0"),
        bytes(68) + raw.item(0x20, b"\1\0\0\0" + 2 * raw.item(0x30, b"1.2")),
        bytes(68) + 2 * raw.item(0x20, b"\1\0\0\0" + raw.item(0x30, b"1.2")),
        bytes(68) + 2 * raw.item(0x10, b"1.2"),
        bytes(68) + raw.item(0x50, raw.item(0x51, b"\0\0\1")),
        bytes(68) + raw.item(0x50, raw.item(0x54, b"\0\x50abc")),
        bytes(68) + raw.item(0x50, raw.item(0x58, b"\1\1\0\x50ab")),
    ],
)
def test_a_request_that_contradicts_its_own_lengths_is_a_protocol_error(body: bytes) -> None:
    with pytest.raises(pdu.ProtocolError):
        pdu.decode_associate_request(body)


@given(st.binary(max_size=400))
def test_no_request_body_raises_anything_but_the_protocol_error(body: bytes) -> None:
    with suppress(pdu.ProtocolError):
        assert pdu.decode_associate_request(bytes(68) + body).called_aet == ""


@given(st.binary(max_size=600), st.integers(0, 200))
def test_a_command_is_cut_into_units_the_peer_takes(body: bytes, extra: int) -> None:
    longest = 7 + extra
    encoded = pdu.encode_command(5, body, longest)
    found, position, last = b"", 0, False
    while position < len(encoded):
        kind, length = pdu.HEADER.unpack_from(encoded, position)
        size, context, control = pdu.PDV_HEADER.unpack_from(encoded, position + 6)
        assert (kind, context) == (4, 5)
        assert length <= longest
        assert size == length - 4
        found += encoded[position + 12 : position + 6 + length]
        position += 6 + length
        assert not last
        last = control == 3
    assert found == body
    assert last or not body


def test_s22_the_secret_of_a_user_identity_is_not_kept() -> None:
    """Neither the name nor the passcode can reach a log: the request does not hold them."""
    identity = bytes((2, 1)) + b"\0\4user" + b"\0\6secret"
    sent = raw.associate_rq(user=raw.item(0x58, identity))
    assert b"secret" in sent
    found = pdu.decode_associate_request(body_of(sent))
    assert found.user_identity is not None
    assert "secret" not in repr(found)
    assert "user'" not in repr(found)
