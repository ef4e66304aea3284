"""What goes into the ledger and comes out of it, as frozen values."""

from dataclasses import dataclass
from datetime import datetime

from pydicombatch.core.model import Answer, Key, Outcome


@dataclass(frozen=True, slots=True)
class Result:
    """What one attempt made of a request."""

    outcome: Outcome
    answer: Answer | None = None  # None: the archive gave no final response
    received: int = 0  # arrivals in this attempt, duplicates counted
    matches: int = 0
    expected: int | None = None
    failed: int = 0
    reason: str = ""
    remedy: str = ""
    seconds: float = 0.0
    evidence: str = ""  # what the verdict rests on: counters, related, instances; "": nothing
    missing: tuple[str, ...] = ()  # SOP Instance UIDs that the archive lists and we do not have


@dataclass(frozen=True, slots=True)
class Pending:
    """A request that waits to be carried out."""

    id: int
    line: int
    identity: str
    keys: tuple[Key, ...]
    attempts: int  # so far, over all runs
    tries: int = 0  # attempts that have failed since it was last decided
    due: datetime | None = None  # not before; None: at once
    owner: int | None = None  # of a retrieve: the row that selected it; None: it is a row itself
    instances: int | None = None  # of a retrieve: as the archive counts; None: not known


@dataclass(frozen=True, slots=True)
class Holding:
    """What lies here for a request, over all its attempts, by SOP Instance UID."""

    attempts: int = 0
    stored: frozenset[str] = frozenset()
    quarantined: frozenset[str] = frozenset()  # and not stored

    @property
    def all(self) -> frozenset[str]:
        """Every instance whose fate is known."""
        return self.stored | self.quarantined


@dataclass(frozen=True, slots=True)
class Retrieve:
    """One retrieve that a selection gives."""

    identity: str
    keys: tuple[Key, ...]
    modality: str = ""  # several joined by a backslash
    instances: int | None = None  # None: not known
    shown: tuple[tuple[str, str], ...] = ()  # what the archive said about it: path, text


@dataclass(frozen=True, slots=True)
class Selected:
    """One retrieve of a row, as a plan lists it."""

    line: int  # of the batch file
    keys: tuple[Key, ...]
    modality: str
    instances: int | None
    shown: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Folded:
    """A row whose last retrieve was decided, and what that makes of it."""

    id: int
    line: int | None
    outcome: Outcome
    matches: int
    stored: int
    reason: str


@dataclass(frozen=True, slots=True)
class Entry:
    """A request as a report shows it."""

    id: int
    line: int | None
    keys: tuple[Key, ...]
    carried: tuple[tuple[str, str], ...]
    outcome: Outcome | None
    status: int | None
    expected: int | None
    stored: int
    failed: int
    quarantined: int
    matches: int
    attempt: int | None  # the one that decided
    attempts: int
    seconds: float | None
    reason: str
    remedy: str
    finished: int | None
    evidence: str = ""
    missing: int = 0


@dataclass(frozen=True, slots=True)
class Counts:
    """How an extraction stands; the lines of the batch file, not the requests behind them."""

    lines: int
    outcomes: tuple[tuple[str, int], ...]  # outcome or "pending" -> lines
    instances: int
    bytes: int
    matches: int
    quarantined: int
    collisions: int

    def of(self, *names: str) -> int:
        """Return the number of lines with one of these outcomes."""
        return sum(count for name, count in self.outcomes if name in names)

    @property
    def pending(self) -> int:
        """Lines that nothing was tried for, or whose try was cut off."""
        return self.of("pending")

    @property
    def unfinished(self) -> int:
        """Lines that are neither pending, nor complete, nor empty."""
        return self.lines - self.of("pending", Outcome.COMPLETE, Outcome.EMPTY)


@dataclass(frozen=True, slots=True)
class Minute:
    """What was stored for the first time within a minute."""

    at: datetime  # when it begins, UTC
    instances: int
    bytes: int


@dataclass(frozen=True, slots=True)
class RunRecord:
    """One run of the extraction."""

    started: datetime
    ended: datetime | None  # None: it goes on, or was cut off
    exit_code: int | None


@dataclass(frozen=True, slots=True)
class Share:
    """How much of what is stored has one value; "" is unknown."""

    value: str
    studies: int
    series: int
    instances: int


@dataclass(frozen=True, slots=True)
class Statistics:
    """Sums over what is stored, by the values of the stored files."""

    minutes: tuple[Minute, ...]  # in order
    runs: tuple[RunRecord, ...]  # in order
    modality: tuple[Share, ...]
    year: tuple[Share, ...]
    sex: tuple[Share, ...]
    age: tuple[Share, ...]


@dataclass(frozen=True, slots=True)
class Timing:
    """What a finished request brought, and when it finished."""

    bytes: int
    finished: datetime
