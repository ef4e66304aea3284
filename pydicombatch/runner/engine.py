"""The run: threads that take requests, send them, judge what came, and write it down."""

import threading
from collections.abc import Callable
from dataclasses import replace
from random import random

from pydicombatch.core.clock import Clock
from pydicombatch.core.errors import Busy, FatalError, TransientError, Unreachable, as_fatal
from pydicombatch.core.log import EventLog
from pydicombatch.core.ports import Archive
from pydicombatch.core.threads import begin
from pydicombatch.runner.backoff import wait
from pydicombatch.runner.crowd import Crowd
from pydicombatch.runner.events import Event
from pydicombatch.runner.executors import Surroundings, executor
from pydicombatch.runner.gate import Admission, Gate, NoTurnError
from pydicombatch.runner.pace import Pace
from pydicombatch.runner.probe import probe
from pydicombatch.runner.settling import Settings, Settler
from pydicombatch.runner.summary import Ending
from pydicombatch.runner.work import Task, Work

log = EventLog(__name__)
LOOK = 0.2  # seconds between two looks at the threads
ASIDE = 1.0  # seconds between two looks whether anything is left to do
UNSENT = 20  # times that a request may find the archive gone although its association was open
ABORT = 10.0  # seconds that a cancelled operation gets before its association is dropped


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
        self._around = replace(around, turn=self._turn)
        self._work = work
        self._gate = gate
        self._crowd = Crowd(settings.threads)
        self._settler = Settler(around.ledger, work, pace, clock, settings, on_event)
        self._settings = settings
        self._connect = connect
        self._clock = clock
        self._stop = stop
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
            begin(thread)
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
        if not self._crowd.enter():
            archive.close()  # the archive has too many of our associations
            self._gate.leave()
            self._clock.wait(self._stop, ASIDE)
            return not self._work.is_over
        try:
            admitted = self._take_one(archive)
        finally:
            self._crowd.leave()
        if admitted is not Admission.GRANTED:
            return self._is_served_later(admitted)
        self._rest(self._settings.throttle_time)
        return True

    def _take_one(self, archive: Archive) -> Admission:
        """Carry out one request, if there is one and the gate lets it through."""
        task = self._work.take()
        if task is None:
            return Admission.CLOSED
        try:
            admitted = self._enter(archive)
        except BaseException:
            self._work.put_back(task)
            raise
        if admitted is not Admission.GRANTED:
            self._work.put_back(task)
            return admitted
        self._busy.append(archive)
        try:
            self._carry_out(archive, task)
        finally:
            self._busy.remove(archive)
        return admitted

    def _enter(self, archive: Archive) -> Admission:
        def connect() -> None:
            try:
                archive.open()
            except Busy:
                self._crowd.rejected()
                raise

        return self._gate.enter(connect, lambda: probe(archive))

    def _turn(self, archive: Archive) -> None:
        """Let one more request of the same row leave, by all the rules that hold for the first.

        Raises
        ------
        NoTurnError
            If nothing may leave any more.
        """
        self._rest(self._settings.throttle_time)
        while (admitted := self._enter(archive)) is not Admission.GRANTED:
            if not self._is_served_later(admitted):
                raise NoTurnError

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
        down: list[TransientError] = []
        execute = executor(self._around, task.request)
        try:
            attempt, judgement = execute(self._around, archive, task.request)
        except Unreachable as exc:
            self._work.put_back(replace(task, unsent=task.unsent + 1))
            if task.unsent >= UNSENT:
                raise FatalError(exc.problem, exc.remedy) from exc
            self._gate.tripped(exc)
            return
        except NoTurnError:
            self._work.put_back(task)
            return
        except BaseException:
            self._work.put_back(task)
            raise
        seconds = self._clock.monotonic() - begun
        self._crowd.served()
        self._settler.settle(
            task,
            attempt,
            judgement.took(seconds),
            is_cut_off=self._cancelled.is_set() or self._dropped.is_set(),
            is_down=lambda: self._is_down(archive, down),
        )
        if down:
            self._gate.tripped(down[0])

    def _is_down(self, archive: Archive, errors: list[TransientError]) -> bool:
        """Ask the archive, after it has broken off, whether it still answers; note if not."""
        if self._stop.is_set() or not self._gate.is_open():
            return False  # nothing may be sent
        try:
            probe(archive)
        except TransientError as exc:
            errors.append(exc)
        return bool(errors)
