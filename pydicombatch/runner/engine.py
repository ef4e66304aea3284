"""The run: threads that take requests, send them, judge what came, and write it down."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from random import random

from pydicombatch.core.clock import Clock
from pydicombatch.core.errors import FatalError, Unreachable, as_fatal
from pydicombatch.core.log import EventLog
from pydicombatch.core.ports import Archive
from pydicombatch.core.records import Folded
from pydicombatch.runner.backoff import wait
from pydicombatch.runner.events import Event, Expanded, Finished, Retrieved, Retrying
from pydicombatch.runner.executors import Surroundings, executor
from pydicombatch.runner.gate import Admission, Gate
from pydicombatch.runner.judge import Judgement
from pydicombatch.runner.pace import Pace
from pydicombatch.runner.summary import Ending
from pydicombatch.runner.work import Task, Work

log = EventLog(__name__)
LOOK = 0.2  # seconds between two looks at the threads
ASIDE = 1.0  # seconds between two looks whether anything is left to do
UNSENT = 20  # times that a request may find the archive gone although its association was open
ABORT = 10.0  # seconds that a cancelled operation gets before its association is dropped


@dataclass(frozen=True, slots=True)
class Settings:
    """How requests are sent."""

    threads: int
    throttle_time: float  # seconds that a thread rests between two requests
    attempts: int  # of a request in this run
    wait: float  # seconds before the second attempt, doubling
    longest_wait: float  # seconds
    grace: float  # seconds that running requests get to end by themselves after a stop
    cancel_at_end: bool  # whether the end of the window cancels what runs


class Engine:
    """Carries out the requests of one run.

    Parameters
    ----------
    around, work, gate, pace, settings
        What executors share, which request is next, when it may leave, how far we are, and how.
    connect
        Makes an archive session; each thread has one.
    clock
        Time.
    stop
        Set by `stop`, `halt` or an error; the gate and the throttle look at it.
    on_event
        Hears what happens.
    """

    def __init__(
        self,
        around: Surroundings,
        work: Work,
        gate: Gate,
        pace: Pace,
        settings: Settings,
        connect: Callable[[], Archive],
        clock: Clock,
        stop: threading.Event,
        on_event: Callable[[Event], None],
    ) -> None:
        self._around = around
        self._work = work
        self._gate = gate
        self._pace = pace
        self._settings = settings
        self._connect = connect
        self._clock = clock
        self._stop = stop
        self._on_event = on_event
        self._cancelled = threading.Event()  # the window has ended what runs, or a stop
        self._dropped = threading.Event()  # as `_cancelled`, for good
        self._interrupted = False
        self._lock = threading.Lock()
        self._sessions: list[Archive] = []
        self._busy: list[Archive] = []  # those with a request under way
        self.error: FatalError | None = None

    def run(self) -> Ending:
        """Work until nothing is left, or it is stopped; every thread has ended then."""
        threads = [
            threading.Thread(target=self._serve, name=f"request-{n}", daemon=True)
            for n in range(1, self._settings.threads + 1)
        ]
        for thread in threads:
            thread.start()
        try:
            self._watch(threads)
        except BaseException:  # Ctrl-C in a program that uses us as a library
            self.halt()
            self._watch(threads)
            raise
        if self.error:
            return Ending.FATAL
        if self._interrupted:
            return Ending.STOPPED
        return Ending.WINDOW if self._gate.window_ended else Ending.DONE

    def stop(self) -> None:
        """Send nothing more; what runs may end by itself within the grace time."""
        self._interrupted = True
        self._end()

    def halt(self) -> None:
        """Send nothing more and drop what runs."""
        self._interrupted = True
        self._end()
        self._drop()

    def fail(self, error: FatalError) -> None:
        """End the run: every other request would fail the same way."""
        with self._lock:
            is_first = self.error is None
            self.error = self.error or error
        if is_first:
            log.error("run.stopped", error=type(error).__name__)
        self._end()

    def break_off(self, error: FatalError) -> None:
        """End the run at once: what arrives cannot be stored any more."""
        self.fail(error)
        self._drop()

    def _end(self) -> None:
        self._stop.set()
        self._work.close()

    def _watch(self, threads: list[threading.Thread]) -> None:
        """Wait for the threads; end what outlasts the grace time or, if so asked, the window."""
        since: float | None = None
        while alive := [thread for thread in threads if thread.is_alive()]:
            alive[0].join(LOOK)
            now = self._clock.monotonic()
            since = (now if since is None else since) if self._must_end() else None
            if since is None:
                self._cancelled.clear()
            elif now - since >= self._grace():
                self._cut_off(now - since - self._grace())

    def _must_end(self) -> bool:
        closed = self._settings.cancel_at_end and not self._gate.is_open()
        return self._stop.is_set() or closed

    def _grace(self) -> float:
        return self._settings.grace if self._stop.is_set() else 0.0

    def _cut_off(self, overdue: float) -> None:
        """Cancel once, later drop the associations: C-CANCEL may be ignored (PS3.4 C.4.2.3.1)."""
        if not self._cancelled.is_set():
            self._cancelled.set()
            for session in tuple(self._busy):
                session.cancel()
        elif overdue >= ABORT and self._stop.is_set():
            self._drop()
        elif overdue >= ABORT:  # the run goes on in its next window
            for session in tuple(self._busy):
                session.abort()

    def _drop(self) -> None:
        self._dropped.set()
        self._around.accounts.give_up()
        for session in tuple(self._sessions):
            session.abort()

    def _is_cut_off(self) -> bool:
        return self._cancelled.is_set() or self._dropped.is_set()

    def _serve(self) -> None:
        try:
            archive = self._connect()
            self._sessions.append(archive)
            try:
                while not self._stop.is_set() and self._next(archive):
                    pass
            finally:
                self._sessions.remove(archive)
                self._gate.leave()
                archive.close()
        except Exception as exc:  # noqa: BLE001 - a thread must neither die silently nor hang
            self.fail(as_fatal(exc))

    def _next(self, archive: Archive) -> bool:
        """Carry out one request and rest; False when there is none for this thread."""
        task = self._work.take()
        if task is None:
            return False
        try:
            admitted = self._gate.enter(archive.open)
        except BaseException:
            self._work.put_back(task)
            raise
        if admitted is not Admission.GRANTED:
            self._work.put_back(task)
            return self._is_served_later(admitted)
        self._busy.append(archive)
        try:
            self._carry_out(archive, task)
        finally:
            self._busy.remove(archive)
        self._rest(self._settings.throttle_time)
        return True

    def _is_served_later(self, admitted: Admission) -> bool:
        """Leave the work to the threads that the archive serves, for a while or for good."""
        if admitted is Admission.CLOSED:
            self._work.close()
            return False
        settings, refusals = self._settings, max(1, self._gate.refusals)
        seconds = wait(refusals, settings.wait, settings.longest_wait, random())  # noqa: S311
        self._rest(seconds)
        return True

    def _rest(self, seconds: float) -> None:
        """Send nothing for so long, but do not hold up the end of the run."""
        end = self._clock.monotonic() + seconds
        while (left := end - self._clock.monotonic()) > 0 and not self._work.is_over:
            if self._clock.wait(self._stop, min(ASIDE, left)):
                return

    def _carry_out(self, archive: Archive, task: Task) -> None:
        begun = self._clock.monotonic()
        execute = executor(self._around, task.request)
        try:
            attempt, judgement = execute(self._around, archive, task.request)
        except Unreachable as exc:
            self._work.put_back(replace(task, unsent=task.unsent + 1))
            if task.unsent >= UNSENT:
                raise FatalError(exc.problem, exc.remedy) from exc
            self._gate.tripped(exc)
            return
        except BaseException:
            self._work.put_back(task)
            raise
        seconds = self._clock.monotonic() - begun
        self._settle(task, attempt, judgement.took(seconds))

    def _settle(self, task: Task, attempt: int, judgement: Judgement) -> None:
        result = judgement.result
        if judgement.stop:
            self._interrupt(attempt, result.reason)
            self._work.put_back(task)
            raise FatalError(result.reason, result.remedy)
        if (self._is_cut_off() or judgement.cut_off) and judgement.again:
            self._interrupt(attempt, "It was cut off by a stop or the end of the window")
            self._work.put_back(task)
            return
        if judgement.again and task.attempt < self._settings.attempts:
            self._retry(task, attempt, result.reason)
            return
        if judgement.retrieves is not None:
            self._pace.more(len(judgement.retrieves))
            self._work.expand(judgement.retrieves)
            self._on_event(Expanded(len(judgement.retrieves)))
            self._tell_rows(judgement.rows)
            return
        rows = self._around.ledger.finish(task.request.id, attempt, result, self._clock.now())
        self._work.done()
        self._tell(task, judgement)
        self._tell_rows(rows)

    def _retry(self, task: Task, attempt: int, reason: str) -> None:
        self._interrupt(attempt, reason)
        settings = self._settings
        seconds = wait(task.attempt, settings.wait, settings.longest_wait, random())  # noqa: S311
        self._work.retry(task, seconds)
        request = task.request
        log.warning("request.retry", request=request.id, attempt=task.attempt, seconds=seconds)
        self._on_event(Retrying(request.id, request.line, task.attempt, seconds, reason))

    def _interrupt(self, attempt: int, reason: str) -> None:
        self._around.ledger.interrupt(attempt, self._clock.now(), reason)

    def _tell(self, task: Task, judgement: Judgement) -> None:
        result = judgement.result
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
