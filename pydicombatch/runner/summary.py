"""How a run went, and what its exit code says about it. Pure."""

from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from pydicombatch.core.errors import Finding, PydicombatchError
from pydicombatch.core.model import Outcome
from pydicombatch.core.records import Counts


class Ending(Enum):
    """Why a run ended."""

    DONE = "nothing is left to do"
    WINDOW = "its window ended"
    STOPPED = "it was interrupted"
    FATAL = "nothing could succeed"


INTERRUPTED = 130  # as a shell reports SIGINT
WINDOW_ENDED = 4
SOME_FAILED = 1


@dataclass(frozen=True, slots=True)
class Summary:
    """What a run did and how the extraction stands after it."""

    ending: Ending
    counts: Counts  # over all runs
    requests: int  # finished in this run
    instances: int  # stored in this run
    bytes: int  # stored in this run
    kept: int  # stored as received in this run, although they were to be decompressed
    refused: int  # instances that nobody asked for, turned away in this run
    seconds: float
    results: Path  # the CSV of results
    state: Path  # the state directory
    error: PydicombatchError | None = None
    doubts: tuple[Finding, ...] = ()  # what was odd about answers to queries in this run

    def exit_code(self, *, fail_on_empty: bool = False) -> int:
        """Say it to a shell: 0 all complete, 1 some failed, 3 fatal, 4 window over, 130 stopped."""
        if self.error is not None:
            return self.error.exit_code
        if self.ending is Ending.STOPPED:
            return INTERRUPTED
        if self.ending is Ending.WINDOW and self.counts.pending:
            return WINDOW_ENDED
        empty = fail_on_empty and self.counts.of(Outcome.EMPTY)
        return SOME_FAILED if self.counts.unfinished or empty else 0
