"""What follows from an attempt: an outcome, another try later, or the end of the run."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from random import random

from pydicombatch.core.clock import Clock
from pydicombatch.core.errors import FatalError
from pydicombatch.core.log import EventLog
from pydicombatch.core.model import Answer, Outcome
from pydicombatch.core.records import Folded, Pending
from pydicombatch.runner.backoff import wait
from pydicombatch.runner.events import Event, Expanded, Finished, Retrieved, Retrying
from pydicombatch.runner.executors import AttemptLedger
from pydicombatch.runner.judge import Judgement
from pydicombatch.runner.pace import Pace
from pydicombatch.runner.work import Task, Work

log = EventLog(__name__)
STRIKES = 3  # refusals of one kind in a row that end a run in which others have succeeded
SPARED = 3  # times that a lost attempt is not counted because the archive had gone down
SUCCESSES = frozenset({Outcome.COMPLETE, Outcome.PARTIAL, Outcome.QUARANTINED})
GONE = "the archive could not be reached after that"
CUT_OFF = "It was cut off by a stop or the end of the window"


@dataclass(frozen=True, slots=True)
class Settings:
    """How requests are sent."""

    threads: int
    throttle_time: float  # seconds that a thread rests between two requests
    attempts: int  # of a request until it has failed
    wait: float  # seconds before the second attempt, doubling
    longest_wait: float  # seconds
    grace: float  # seconds that running requests get to end by themselves after a stop
    cancel_at_end: bool  # whether the end of the window cancels what runs


class Strikes:
    """Counts refusals that every request should meet, such as an unknown move destination.

    The first one ends a run in which nothing has succeeded yet: nothing will. Later it takes
    several of the same kind in a row, for an archive that restarts may refuse what it knows.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._any_success = False
        self._status: int | None = None
        self._count = 0

    def success(self) -> None:
        """Say that a request was accepted."""
        with self._lock:
            self._any_success, self._status, self._count = True, None, 0

    def are_out(self, answer: Answer | None) -> bool:
        """Count a refusal; whether it ends the run."""
        status = answer.status if answer else None
        with self._lock:
            self._count = self._count + 1 if status == self._status else 1
            self._status = status
            return not self._any_success or self._count >= STRIKES


class Settler:
    """Writes down what became of attempts.

    Parameters
    ----------
    ledger, work, pace, clock, settings
        Where it is written, what is left, how far we are, the time, and how often to try.
    on_event
        Hears of it.
    """

    def __init__(
        self,
        ledger: AttemptLedger,
        work: Work,
        pace: Pace,
        clock: Clock,
        settings: Settings,
        on_event: Callable[[Event], None],
    ) -> None:
        self._ledger = ledger
        self._work = work
        self._pace = pace
        self._clock = clock
        self._settings = settings
        self._on_event = on_event
        self._strikes = Strikes()

    def settle(
        self,
        task: Task,
        attempt: int,
        judgement: Judgement,
        *,
        is_cut_off: bool,
        is_down: Callable[[], bool],
    ) -> None:
        """Decide what follows from an attempt.

        Parameters
        ----------
        task, attempt, judgement
            What was tried, its number in the ledger, and what it came to.
        is_cut_off
            Whether a stop or the end of the window has ended it.
        is_down
            Asks the archive whether it is out of reach now.

        Raises
        ------
        FatalError
            If every other request would fail the same way.
        """
        result = judgement.result
        if judgement.stop and self._strikes.are_out(result.answer):
            self._put_back(task, attempt, result.reason)
            raise FatalError(result.reason, result.remedy)
        again = judgement.again or judgement.stop
        if is_cut_off and again:
            self._put_back(task, attempt, CUT_OFF)
        elif again and self._is_spared(task, judgement, is_down):
            spared = replace(task, spared=task.spared + 1)
            self._put_back(spared, attempt, f"{result.reason}; {GONE}")
        elif again and task.attempt < self._settings.attempts:
            self._retry(task, attempt, result.reason)
        elif judgement.retrieves is not None:
            self._expand(judgement.retrieves)
            self._tell_rows(judgement.rows)
        else:
            rows = self._ledger.finish(task.request.id, attempt, result, self._clock.now())
            self._work.done()
            self._tell(task, judgement)
            self._tell_rows(rows)

    def _expand(self, retrieves: tuple[Pending, ...]) -> None:
        """Let the retrieves of a row that was looked up come in its place."""
        self._pace.more(len(retrieves))
        self._work.expand(retrieves)
        self._on_event(Expanded(len(retrieves)))

    def _is_spared(self, task: Task, judgement: Judgement, is_down: Callable[[], bool]) -> bool:
        """Whether an attempt does not count: the archive went down, the request did nothing."""
        lost = judgement.result.answer is None and task.spared < SPARED
        return lost and is_down()

    def _put_back(self, task: Task, attempt: int, reason: str) -> None:
        self._ledger.interrupt(attempt, self._clock.now(), reason)
        self._work.put_back(task)

    def _retry(self, task: Task, attempt: int, reason: str) -> None:
        """Have a request tried again when its time has come, in a later run if need be."""
        settings = self._settings
        seconds = wait(task.attempt, settings.wait, settings.longest_wait, random())  # noqa: S311
        request, now = task.request, self._clock.now()
        due = now + timedelta(seconds=seconds)
        self._ledger.postpone(request.id, attempt, task.attempt, due, reason, now)
        self._work.retry(task, seconds)
        log.warning("request.retry", request=request.id, attempt=task.attempt, seconds=seconds)
        self._on_event(Retrying(request.id, request.line, task.attempt, seconds, reason))

    def _tell(self, task: Task, judgement: Judgement) -> None:
        result = judgement.result
        if result.outcome in SUCCESSES:
            self._strikes.success()
        eta = self._pace.finished(self._clock.now())
        log.info(
            "request.done",
            request=task.request.id,
            row=task.request.line,
            attempt=task.attempt,
            outcome=result.outcome.value,
            matches=result.matches,
            received=result.received,
            failed=result.failed,
            seconds=result.seconds,
        )
        if task.request.owner is not None:
            self._on_event(Retrieved(task.request.line, result.outcome, result.reason, eta))
            return
        self._on_event(
            Finished(
                task.request.id,
                task.request.line,
                result.outcome,
                result.matches,
                result.received,
                result.reason,
                eta,
            )
        )

    def _tell_rows(self, rows: Sequence[Folded]) -> None:
        """Tell of rows that were decided with their last retrieve."""
        for row in rows:
            eta = self._pace.finished(self._clock.now())
            one = (row.outcome, row.matches, row.stored, row.reason, eta)
            self._on_event(Finished(row.id, row.line or 0, *one))
