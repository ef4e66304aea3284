"""From a final response to an `Answer`."""

import struct

from pydicombatch.backends.dimse import identifier, status
from pydicombatch.backends.dimse.command import Command, Tag
from pydicombatch.backends.dimse.fragments import Message
from pydicombatch.core.log import printable
from pydicombatch.core.model import Answer, RequestType, Tally

LONGEST_COMMENT = 200  # characters; LO allows 64 (PS3.7 E.1), archives send more
MOST_OFFENDING = 16  # tags


def answer(
    operation: RequestType, message: Message, transfer_syntax: str, destination: str = ""
) -> Answer:
    """Interpret a final response; `destination` is the AE title a C-MOVE sends to."""
    command = message.command
    code = command.number(Tag.STATUS) or 0
    counts = tally(command)
    means = status.meaning(operation, code, counts, destination)
    uids = identifier.failed_uids(message.data_set, transfer_syntax)
    return Answer(
        status=code,
        verdict=means.verdict,
        reason=means.reason,
        remedy=means.remedy,
        tally=counts,
        comment=comment(command.values.get(Tag.COMMENT, b"")),
        offending=offending(command.values.get(Tag.OFFENDING, b"")),
        failed_uids=uids if operation.retrieves else (),
    )


def tally(command: Command) -> Tally:
    """Read the counts of sub-operations; what the archive left out stays None."""
    return Tally(
        remaining=command.number(Tag.REMAINING),
        completed=command.number(Tag.COMPLETED),
        failed=command.number(Tag.FAILED),
        warning=command.number(Tag.WARNING),
    )


def comment(raw: bytes) -> str:
    """Decode (0000,0902) for a terminal: no control character, no more than a line."""
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        text = raw.decode("latin-1")
    return printable(text.strip(" \0"))[:LONGEST_COMMENT]


def offending(raw: bytes) -> str:
    """Write (0000,0901), VR AT, as `(GGGG,EEEE)`, several with a comma."""
    whole = raw[: min(len(raw) // 4, MOST_OFFENDING) * 4]
    return ", ".join(f"({group:04X},{element:04X})" for group, element in _tags(whole))


def _tags(raw: bytes) -> list[tuple[int, int]]:
    return [(group, element) for group, element in struct.iter_unpack("<HH", raw)]
