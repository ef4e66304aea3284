"""Which association is accepted, and with which presentation contexts. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from pydicombatch.receive.upperlayer.pdu import (
    APPLICATION_CONTEXT,
    AcceptedContext,
    AssociateAccept,
    AssociateRequest,
    ProposedContext,
    Role,
)

VERIFICATION = "1.2.840.10008.1.1"
IMPLICIT_LITTLE_ENDIAN = "1.2.840.10008.1.2"
# Taken only when nothing else is offered: the one is retired, the other cannot be read in parts.
RELUCTANTLY = frozenset({"1.2.840.10008.1.2.2", "1.2.840.10008.1.2.1.99"})

_STANDARD_ROOT = "1.2.840.10008."
_STORAGE_ROOT = "1.2.840.10008.5.1.4.1.1."
# Storage classes of PS3.4 GG.3, RT and retired ones that lie outside the storage root.
_OTHER_STORAGE = frozenset(
    {
        "1.2.840.10008.5.1.1.27",
        "1.2.840.10008.5.1.1.29",
        "1.2.840.10008.5.1.1.30",
        "1.2.840.10008.5.1.4.34.7",
        "1.2.840.10008.5.1.4.34.10",
        "1.2.840.10008.5.1.4.38.1",
        "1.2.840.10008.5.1.4.39.1",
        "1.2.840.10008.5.1.4.43.1",
        "1.2.840.10008.5.1.4.44.1",
        "1.2.840.10008.5.1.4.45.1",
    }
)
_USER_NAME_IDENTITIES = frozenset({1, 2})
_LONGEST_UID = 64  # PS3.5 9.1


class Rejection(NamedTuple):
    """The three codes of an A-ASSOCIATE-RJ (PS3.8 table 9-21)."""

    result: int
    source: int
    reason: int


VERSION_NOT_SUPPORTED = Rejection(1, 2, 2)
APPLICATION_CONTEXT_NOT_SUPPORTED = Rejection(1, 1, 2)
CALLING_AET_NOT_RECOGNIZED = Rejection(1, 1, 3)
CALLED_AET_NOT_RECOGNIZED = Rejection(1, 1, 7)
LOCAL_LIMIT_EXCEEDED = Rejection(2, 3, 2)  # transient: come again


@dataclass(frozen=True, slots=True)
class Policy:
    """What this application entity offers, and to whom."""

    aet: str  # ours; what a peer must call
    calling_aets: frozenset[str] = frozenset()  # empty: whoever calls
    max_pdu: int = 131072  # longest P-DATA-TF we take, bytes
    longest_request: int = 524288  # longest A-ASSOCIATE-RQ we read, bytes
    longest_command: int = 16384  # longest command set, bytes; a C-STORE-RQ has about 300
    implementation_class_uid: str = "2.25.183719487113286416302417286390815124671"
    implementation_version: str = "PYDICOMBATCH"


def rejection(request: AssociateRequest, policy: Policy) -> Rejection | None:
    """Decide whether an association is refused, and with which codes (PS3.8 9.3.4)."""
    if not request.version & 1:
        return VERSION_NOT_SUPPORTED
    if request.application_context != APPLICATION_CONTEXT:
        return APPLICATION_CONTEXT_NOT_SUPPORTED
    if request.called_aet != policy.aet:
        return CALLED_AET_NOT_RECOGNIZED
    if policy.calling_aets and request.calling_aet not in policy.calling_aets:
        return CALLING_AET_NOT_RECOGNIZED
    return None


def acceptance(
    request: AssociateRequest, called: bytes, calling: bytes, policy: Policy
) -> tuple[AssociateAccept, dict[int, tuple[str, str]]]:
    """Answer a request that is not refused.

    Parameters
    ----------
    request
        The request, decoded.
    called, calling
        Its two title fields as they came, 16 bytes each; they are sent back.
    policy
        What we offer.

    Returns
    -------
    The answer, and the accepted contexts: id to abstract and transfer syntax.
    """
    answers = tuple(map(accepted, request.contexts))
    abstract = {context.id: context.abstract_syntax for context in request.contexts}
    contexts = {a.id: (abstract[a.id], a.transfer_syntax) for a in answers if a.result == 0}
    accept = AssociateAccept(
        called,
        calling,
        answers,
        policy.max_pdu,
        policy.implementation_class_uid,
        policy.implementation_version,
        answered_roles(request, (syntax for syntax, _ in contexts.values())),
        request.asynchronous,
        answers_identity(request),
    )
    return accept, contexts


def is_storage(abstract_syntax: str) -> bool:
    """Whether a SOP class can be stored: every one of the standard's, and every private one."""
    if not abstract_syntax.startswith(_STANDARD_ROOT):
        return True
    return abstract_syntax.startswith(_STORAGE_ROOT) or abstract_syntax in _OTHER_STORAGE


def accepted(context: ProposedContext) -> AcceptedContext:
    """Answer one proposed context: the first transfer syntax that is not taken reluctantly."""
    storage = is_storage(context.abstract_syntax)
    if not storage and context.abstract_syntax != VERIFICATION:
        return AcceptedContext(context.id, 3, IMPLICIT_LITTLE_ENDIAN)
    offered = [uid for uid in context.transfer_syntaxes if _is_uid(uid)]
    if not offered:
        return AcceptedContext(context.id, 4, IMPLICIT_LITTLE_ENDIAN)
    gladly = (uid for uid in offered if uid not in RELUCTANTLY)
    return AcceptedContext(context.id, 0, next(gladly, offered[0]))


def answered_roles(request: AssociateRequest, contexts: Iterable[str]) -> tuple[Role, ...]:
    """Answer role selections (PS3.7 D.3.3.4): the peer may be SCU, as it asks; we are the SCP."""
    known = set(contexts)
    first = {role.sop_class_uid: role for role in reversed(request.roles)}
    return tuple(Role(uid, role.scu, scp=False) for uid, role in first.items() if uid in known)


def answers_identity(request: AssociateRequest) -> bool:
    """Whether a user name is confirmed: it decides nothing, but a peer may hang up without."""
    identity = request.user_identity
    return identity is not None and identity.wants_answer and identity.type in _USER_NAME_IDENTITIES


def _is_uid(text: str) -> bool:
    return 0 < len(text) <= _LONGEST_UID and text.isascii() and text.replace(".", "").isdigit()
