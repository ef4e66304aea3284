"""What a run tells a display while it goes on."""

from dataclasses import dataclass
from datetime import datetime

from pydicombatch.core.model import Outcome


@dataclass(frozen=True, slots=True)
class Started:
    """The run knows its work: `requests` to carry out, of `lines` in the batch file."""

    requests: int
    lines: int


@dataclass(frozen=True, slots=True)
class Listening:
    """Our storage SCP takes instances."""

    port: int


@dataclass(frozen=True, slots=True)
class Finished:
    """A request has its outcome."""

    request: int
    line: int
    outcome: Outcome
    matches: int
    received: int  # instances, duplicates counted
    reason: str
    eta: datetime | None  # when all will be done, closed windows counted; None: cannot be told


@dataclass(frozen=True, slots=True)
class Expanded:
    """A row was looked up; so many retrieves come in its place."""

    retrieves: int


@dataclass(frozen=True, slots=True)
class Retrieved:
    """One retrieve of a row has its outcome; the row has others, or follows at once."""

    line: int
    outcome: Outcome
    reason: str
    eta: datetime | None


@dataclass(frozen=True, slots=True)
class InstanceStored:
    """An instance lies at its final path and in the ledger."""

    size: int  # bytes
    kept: bool = False  # as received, although it was to be decompressed


@dataclass(frozen=True, slots=True)
class Waiting:
    """Nothing leaves for now; `reason` is a sentence."""

    reason: str
    until: datetime | None


@dataclass(frozen=True, slots=True)
class Resumed:
    """Requests leave again."""


@dataclass(frozen=True, slots=True)
class Retrying:
    """A request failed for the moment and will be tried again."""

    request: int
    line: int
    attempt: int
    seconds: float
    reason: str


@dataclass(frozen=True, slots=True)
class Doubted:
    """Answers are odd in a way that was not met before in this run."""

    problem: str
    remedy: str


Event = (
    Started
    | Listening
    | Expanded
    | Retrieved
    | Finished
    | InstanceStored
    | Waiting
    | Resumed
    | Retrying
    | Doubted
)
