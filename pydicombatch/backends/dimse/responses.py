"""Responses to a request of ours: whether they are, and what they leave unsaid."""

from dataclasses import replace

from pydicombatch.backends.dimse.association import LATER
from pydicombatch.backends.dimse.command import Field, Tag
from pydicombatch.backends.dimse.fragments import Message
from pydicombatch.backends.dimse.negotiation import Context
from pydicombatch.core.errors import TransientError
from pydicombatch.core.model import Answer, RequestType, Verdict

FIELDS = {
    RequestType.ECHO: Field.ECHO,
    RequestType.FIND: Field.FIND,
    RequestType.MOVE: Field.MOVE,
    RequestType.GET: Field.GET,
}
RESPONSE = 0x8000  # PS3.7 E.1: the bit of the Command Field that makes it a response


def ignore(_message: Message, _context: Context) -> None:
    """Pass over a pending response that has no meaning."""


def status_of(message: Message, operation: RequestType, message_id: int, context: Context) -> int:
    """Return the status of a response, if it is one to our request.

    Raises
    ------
    TransientError
        If it is not.
    """
    command = message.command
    status = command.number(Tag.STATUS)
    ours = (
        command.number(Tag.FIELD) == FIELDS[operation] | RESPONSE
        and command.number(Tag.RESPONDED_TO) == message_id
        and message.context == context.number
    )
    if not ours or status is None:
        raise TransientError(
            "The archive sent something else than a response to our request", LATER
        )
    return status


def with_holes(final: Answer, unreadable: int) -> Answer:
    """Turn a success into another try when matches could not be read."""
    verdict = Verdict.RETRY if final.verdict is Verdict.DONE else final.verdict
    reason = f"{unreadable} of the archive's matches could not be read"
    if final.reason:
        reason = f"{final.reason}; {reason}"
    remedy = "Ask for fewer elements, or look at the archive's log"
    return replace(final, verdict=verdict, reason=reason, remedy=remedy)


def never() -> float:
    """Say that no instance was pushed to us yet."""
    return float("-inf")


def always() -> float:
    """Say that any silence is tolerated."""
    return float("inf")
