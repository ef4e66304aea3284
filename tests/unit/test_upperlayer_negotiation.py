"""What is accepted from whom."""

from typing import Any

import pytest

from pydicombatch.receive.upperlayer import negotiation, pdu
from tests.support import hand_made as raw

POLICY = negotiation.Policy("OURS", calling_aets=frozenset({"ARCHIVE"}))


def request(**changes: Any) -> pdu.AssociateRequest:
    return pdu.decode_associate_request(raw.associate_rq()[6:])._replace(**changes)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, None),
        ({"version": 3}, None),
        ({"version": 2}, negotiation.VERSION_NOT_SUPPORTED),
        ({"application_context": "1.2.3"}, negotiation.APPLICATION_CONTEXT_NOT_SUPPORTED),
        ({"called_aet": "OTHERS"}, negotiation.CALLED_AET_NOT_RECOGNIZED),
        ({"called_aet": "ours"}, negotiation.CALLED_AET_NOT_RECOGNIZED),
        ({"calling_aet": "STRANGER"}, negotiation.CALLING_AET_NOT_RECOGNIZED),
    ],
)
def test_an_association_is_refused_for_what_is_wrong_with_it(
    changes: dict[str, Any], expected: negotiation.Rejection | None
) -> None:
    """S03."""
    assert negotiation.rejection(request(**changes), POLICY) == expected


def test_whoever_calls_is_served_when_no_calling_titles_are_listed() -> None:
    assert negotiation.rejection(request(calling_aet=""), negotiation.Policy("OURS")) is None


@pytest.mark.parametrize(
    ("abstract", "offered", "result", "syntax"),
    [
        (raw.CT, ("1.2.840.10008.1.2.4.90", raw.EXPLICIT), 0, "1.2.840.10008.1.2.4.90"),
        (raw.CT, ("1.2.840.10008.1.2.2", raw.IMPLICIT), 0, raw.IMPLICIT),
        (raw.CT, ("1.2.840.10008.1.2.2",), 0, "1.2.840.10008.1.2.2"),
        (raw.CT, ("1.2.840.10008.1.2.1.99",), 0, "1.2.840.10008.1.2.1.99"),
        ("1.2.840.10008.5.1.4.1.1.999999", (raw.EXPLICIT,), 0, raw.EXPLICIT),
        ("1.3.46.670589.5.0.1", ("1.2.840.113619.5.2",), 0, "1.2.840.113619.5.2"),
        ("1.2.840.10008.5.1.4.34.7", (raw.IMPLICIT,), 0, raw.IMPLICIT),
        (raw.VERIFICATION, (raw.IMPLICIT,), 0, raw.IMPLICIT),
        ("1.2.840.10008.5.1.4.1.2.2.1", (raw.IMPLICIT,), 3, raw.IMPLICIT),
        ("1.2.840.10008.5.1.4.31", (raw.IMPLICIT,), 3, raw.IMPLICIT),
        (raw.CT, (), 4, raw.IMPLICIT),
        (raw.CT, ("", "no uid", "9" * 65), 4, raw.IMPLICIT),
    ],
)
def test_a_context_is_answered_by_kind_of_class_and_order_of_syntaxes(
    abstract: str, offered: tuple[str, ...], result: int, syntax: str
) -> None:
    answer = negotiation.accepted(pdu.ProposedContext(5, abstract, offered))
    assert answer == pdu.AcceptedContext(5, result, syntax)


def test_a_peer_may_be_scu_as_it_asks_and_never_scp() -> None:
    roles = (
        pdu.Role(raw.CT, scu=True, scp=True),
        pdu.Role("1.2.3", scu=True, scp=True),
        pdu.Role(raw.CT, scu=False, scp=True),
    )
    answered = negotiation.answered_roles(request(roles=roles), [raw.CT])
    assert answered == (pdu.Role(raw.CT, scu=True, scp=False),)


@pytest.mark.parametrize(
    ("identity", "expected"),
    [(None, False), ((1, True), True), ((2, True), True), ((2, False), False), ((3, True), False)],
)
def test_a_user_name_is_confirmed_when_that_is_asked_for(
    identity: tuple[int, bool] | None, expected: bool
) -> None:
    one = None if identity is None else pdu.UserIdentity(*identity)
    assert negotiation.answers_identity(request(user_identity=one)) is expected
