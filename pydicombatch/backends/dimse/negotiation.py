"""What is said when an association begins (PS3.8 9.3.2 to 9.3.4); pynetdicom does the encoding."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from pydicom.uid import UID
from pynetdicom import PYNETDICOM_IMPLEMENTATION_UID, PYNETDICOM_IMPLEMENTATION_VERSION
from pynetdicom.pdu import A_ASSOCIATE_AC, A_ASSOCIATE_RQ
from pynetdicom.pdu_primitives import (
    A_ASSOCIATE,
    ImplementationClassUIDNotification,
    ImplementationVersionNameNotification,
    MaximumLengthNotification,
    SCP_SCU_RoleSelectionNegotiation,
    SOPClassExtendedNegotiation,
)
from pynetdicom.presentation import PresentationContext, build_context
from pynetdicom.transport import AddressInformation

from pydicombatch.backends.dimse.contexts import Proposal
from pydicombatch.backends.dimse.models import EXPLICIT, IMPLICIT, abstract_syntax
from pydicombatch.backends.dimse.peer import Peer
from pydicombatch.backends.dimse.wire import ProtocolError, pdu
from pydicombatch.core.errors import Busy, ConfigError, FatalError, PydicombatchError
from pydicombatch.core.model import RequestType
from pydicombatch.core.pdus import PduType

APPLICATION_CONTEXT = "1.2.840.10008.3.1.1.1"  # PS3.7 A.2.1
FIXED = 68  # bytes of an A-ASSOCIATE-AC before its items
OUR_MAXIMUM = 1 << 17  # bytes of a PDU we take
SYNTAXES = (EXPLICIT, IMPLICIT)
RELATIONAL = b"\x01"  # byte 1: relational queries
FIND_CLASSES = frozenset(
    abstract_syntax(model, RequestType.FIND) for model in ("patient", "study", "psonly")
)

UserInformation = (
    MaximumLengthNotification
    | ImplementationClassUIDNotification
    | ImplementationVersionNameNotification
    | SOPClassExtendedNegotiation
)


@dataclass(frozen=True, slots=True)
class Context:
    """An accepted presentation context."""

    number: int  # odd, 1 to 255
    transfer_syntax: str
    relational: bool = False  # whether relational queries were granted (PS3.4 C.5.2.1)


@dataclass(frozen=True, slots=True)
class Agreement:
    """What the archive accepted."""

    contexts: Mapping[str, Context]  # by abstract syntax
    maximum: int  # bytes of a PDU the archive takes; 0 for no limit
    storage: Mapping[int, tuple[str, str]] = field(default_factory=dict)  # class, transfer syntax
    sends: bool = False  # whether it has agreed to send instances to us (PS3.7 D.3.3.4)


def request(peer: Peer, syntaxes: Sequence[str], storage: Sequence[Proposal] = ()) -> bytes:
    """Encode an A-ASSOCIATE-RQ that proposes one context for each abstract syntax.

    `storage` are contexts behind these on which the archive is to send instances to us.

    Raises
    ------
    ConfigError
        If an AE title cannot be sent.
    """
    primitive = A_ASSOCIATE()
    nowhere = AddressInformation("127.0.0.1", 1)  # asked for by the primitive, not sent
    primitive.calling_presentation_address = nowhere
    primitive.called_presentation_address = nowhere
    primitive.application_context_name = UID(APPLICATION_CONTEXT)
    try:
        primitive.calling_ae_title = peer.calling_aet
        primitive.called_ae_title = peer.aet
    except (ValueError, TypeError) as exc:
        raise ConfigError.of(
            "An AE title is empty, longer than 16 characters or not plain ASCII",
            "Correct pacs.aet, local.aet or local.calling_aet",
        ) from exc
    proposals = [*(Proposal(syntax, SYNTAXES) for syntax in syntaxes), *storage]
    primitive.presentation_context_definition_list = [
        _proposal(number, one) for number, one in enumerate(proposals)
    ]
    classes = dict.fromkeys(one.sop_class for one in storage)
    roles = map(_role, classes)
    primitive.user_information = [*_user_information(), *_extended(peer, syntaxes), *roles]
    return bytes(A_ASSOCIATE_RQ(primitive).encode())


def agreement(body: bytes, syntaxes: Sequence[str], storage: Sequence[Proposal] = ()) -> Agreement:
    """Read an A-ASSOCIATE-AC.

    Raises
    ------
    ProtocolError
        If it cannot be read or accepts what was never proposed.
    """
    answer = A_ASSOCIATE_AC()
    if len(body) < FIXED:
        raise ProtocolError("its answer to our association request is cut short")
    try:
        answer.decode(pdu(PduType.ASSOCIATE_AC, body))
        accepted = [
            (item.context_id or 0, str(item.transfer_syntax))
            for item in answer.presentation_context
            if item.result == 0
        ]
        user = answer.user_information
        maximum = int(user.maximum_length or 0) if user is not None else 0
        granted = _granted(user)
        sends = any(one.scp_role for one in user.role_selection.values()) if user else False
    except Exception as exc:
        raise ProtocolError("its answer to our association request cannot be read") from exc
    proposed = [Proposal(syntax, SYNTAXES) for syntax in syntaxes] + list(storage)
    offered = {2 * number + 1: one for number, one in enumerate(proposed)}
    if any(number not in offered or syntax not in offered[number].transfer_syntaxes
           for number, syntax in accepted):  # fmt: skip
        raise ProtocolError("it accepted a presentation context that was never proposed")
    ours = 2 * len(syntaxes)
    contexts = {
        offered[n].sop_class: Context(n, syntax, relational=offered[n].sop_class in granted)
        for n, syntax in accepted
        if n < ours
    }
    stores = {n: (offered[n].sop_class, syntax) for n, syntax in accepted if n > ours}
    return Agreement(contexts, maximum, stores, sends)


def rejection(body: bytes, peer: Peer) -> PydicombatchError:
    """Say what an A-ASSOCIATE-RJ means (PS3.8 9.3.4): for good, or for now."""
    result, source, reason = (*body[1:4], 0, 0, 0)[:3]
    if result == TRANSIENT or source == PRESENTATION:
        return Busy(
            f"The archive {peer.aet} takes no more associations for now"
            f" ({_REASONS.get((source, reason), 'no reason given')})",
            "Use fewer threads, or wait until it is less busy",
        )
    problem, remedy = _PERMANENT.get((source, reason), _UNEXPLAINED)
    names = {"aet": peer.aet, "calling": peer.calling_aet}
    return FatalError(problem.format(**names), remedy.format(**names))


TRANSIENT = 2
PRESENTATION = 3  # source: service provider, presentation related; load by its nature
_REASONS = {
    (3, 1): "temporary congestion",
    (3, 2): "its local limit is exceeded",
}
_PERMANENT = {
    (1, 2): (
        "The archive {aet} rejected us: application context not supported",
        "Check that hostname and port are those of a DICOM listener of the archive",
    ),
    (1, 3): (
        "The archive {aet} does not recognise our AE title {calling}",
        "Ask its administrator to register {calling} with our host, or set local.calling_aet",
    ),
    (1, 7): (
        "The archive does not answer to the AE title {aet}",
        "Set pacs.aet to its title; some archives say so when they do not know {calling}",
    ),
    (2, 2): (
        "The archive {aet} rejected us: protocol version not supported",
        "Check that hostname and port are those of a DICOM listener of the archive",
    ),
}
_UNEXPLAINED = (
    "The archive {aet} rejected our association for good and gave no reason",
    "Ask its administrator whether {calling} may query and retrieve from our host",
)


def _proposal(number: int, one: Proposal) -> PresentationContext:
    context = build_context(one.sop_class, list(one.transfer_syntaxes))
    context.context_id = 2 * number + 1
    return context


def _extended(peer: Peer, syntaxes: Sequence[str]) -> list[SOPClassExtendedNegotiation]:
    """Ask for relational queries, the first byte for a FIND class (PS3.4 C.5.1.1)."""
    items = []
    for syntax in syntaxes if peer.relational else ():
        if syntax in FIND_CLASSES:
            item = SOPClassExtendedNegotiation()
            item.sop_class_uid = UID(syntax)
            item.service_class_application_information = RELATIONAL
            items.append(item)
    return items


def _granted(user: object) -> frozenset[str]:
    """Return the classes for which the archive's answer begins with a yes."""
    items = getattr(user, "ext_neg", None) or []
    return frozenset(str(one.uid) for one in items if bytes(one.app_info or b"")[:1] == RELATIONAL)


def _role(sop_class: str) -> SCP_SCU_RoleSelectionNegotiation:
    """Offer to be the one who is sent instances of a class (PS3.7 D.3.3.4)."""
    role = SCP_SCU_RoleSelectionNegotiation()
    role.sop_class_uid = UID(sop_class)
    role.scu_role, role.scp_role = False, True
    return role


def _user_information() -> list[UserInformation]:
    longest = MaximumLengthNotification()
    longest.maximum_length_received = OUR_MAXIMUM
    implementation = ImplementationClassUIDNotification()
    implementation.implementation_class_uid = UID(PYNETDICOM_IMPLEMENTATION_UID)
    version = ImplementationVersionNameNotification()
    version.implementation_version_name = PYNETDICOM_IMPLEMENTATION_VERSION
    return [longest, implementation, version]
