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
