"""Log lines as an event and fields from a closed list, so that no patient value can reach a log."""

import logging
from typing import TypedDict, Unpack

from pydicombatch.core.secrets import conceal


class Fields(TypedDict, total=False):
    """Every field a log line may carry; none can hold a value of a data set or a path."""

    request: int  # ledger id: the batch row stands for the patient
    row: int
    attempt: int
    status: str  # hexadecimal DIMSE status
    outcome: str
    error: str  # the type of an exception, never its text
    port: int
    pid: int
    threads: int
    requests: int
    matches: int
    expected: int
    received: int
    stored: int
    failed: int
    quarantined: int
    refused: int
    duplicates: int
    collisions: int
    megabytes: float
    seconds: float
    until: str
    reason: str  # one of our own fixed sentences


class EventLog:
    """Writes `event field=value …` through the standard logging package."""

    def __init__(self, name: str) -> None:
        self._logger = logging.getLogger(name)

    def info(self, event: str, **fields: Unpack[Fields]) -> None:
        """Log what happened."""
        self._logger.info(_line(event, fields))

    def warning(self, event: str, **fields: Unpack[Fields]) -> None:
        """Log what somebody should look at."""
        self._logger.warning(_line(event, fields))

    def error(self, event: str, **fields: Unpack[Fields]) -> None:
        """Log what went wrong."""
        self._logger.error(_line(event, fields))


def _line(event: str, fields: Fields) -> str:
    return " ".join([event, *(f"{name}={_text(value)}" for name, value in fields.items())])


def _text(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.3g}" if value < 1 else f"{value:.1f}"
    text = printable(conceal(str(value)))
    return f'"{text}"' if " " in text else text


def printable(text: str) -> str:
    """Escape control characters, so that no peer writes to a terminal or a second log line."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
