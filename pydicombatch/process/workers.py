"""Worker processes: as many as there are files at the same time; a lost one is replaced."""

import os
import queue
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Self

from pydicombatch.core.errors import FatalError, PydicombatchError
from pydicombatch.core.log import EventLog
from pydicombatch.process.messages import Job, LostError, Made, Refused, receive, send
from pydicombatch.process.recipe import Recipe

log = EventLog(__name__)
TRIES = 2  # of one file, when its worker is lost
STARTS = 4  # of one process, before the run gives up
PAUSE = 1.0  # seconds between two starts
STARTING = 120.0  # seconds until a worker has compiled its script
LONGEST = 900.0  # seconds for one file
ANONYMIZES, DECODES = "anonymizes", "decodes"  # what an error says that they do
CALL = "from pydicombatch.process.worker import main; main()"


class _Worker:
    """One child process; it is ready when this returns."""

    def __init__(self, recipe: Recipe | None) -> None:
        root = str(Path(__file__).resolve().parents[2])
        search = os.pathsep.join([root, *filter(None, [os.environ.get("PYTHONPATH")])])
        self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and code
            [sys.executable, "-P", "-c", CALL],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
            env={**os.environ, "PYTHONPATH": search},
        )
        self.pid = self._process.pid
        try:
            answer = self._ask(recipe, STARTING)
        except BaseException:
            self.end()
            raise
        if isinstance(answer, PydicombatchError):
            self.end()
            raise answer

    def carry_out(self, job: Job, longest: float) -> Made | Refused:
        """Let it work on a file; raises `LostError` when it ends meanwhile or takes too long."""
        answer = self._ask(job, longest)
        assert isinstance(answer, Made | Refused)
        return answer

    def end(self) -> None:
        """Kill it; it holds nothing that is not remade."""
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                with suppress(OSError):
                    stream.close()

    def _ask(self, message: object, seconds: float) -> object:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        send(self._process.stdin.fileno(), message)
        return receive(self._process.stdout.fileno(), seconds)


class Workers:
    """Processes that anonymize or decode; each thread that calls `carry_out` drives one.

    Parameters
    ----------
    recipe
        What each of them compiles; None for processes that decompress and change nothing else.
    count
        How many there are at most; they are started when they are needed.
    pause
        Waits so many seconds before a process that could not start is started again.
    longest
        Seconds for one file, at most.
    """

    def __init__(
        self,
        recipe: Recipe | None,
        count: int,
        pause: Callable[[float], object] = time.sleep,
        longest: float = LONGEST,
    ) -> None:
        self._recipe = recipe
        self._does = DECODES if recipe is None else ANONYMIZES
        self._pause = pause
        self._longest = longest
        self._count = count
        self._idle: queue.LifoQueue[_Worker | None] = queue.LifoQueue()
        for _ in range(count):
            self._idle.put(None)

    def carry_out(self, job: Job) -> Made | Refused:
        """Work on a file; once more in a new process when the first is lost.

        Raises
        ------
        FatalError
            If no process can be started.
        ConfigError
            If a script or table has become unusable since it was looked at.
        """
        for _ in range(TRIES):
            worker = self._idle.get()
            try:
                worker = worker or self._started()
                return worker.carry_out(job, self._longest)
            except LostError:
                assert worker is not None
                log.warning("worker.lost", pid=worker.pid)
                self._clear(worker, job)
                worker = None
            except BaseException:  # its answer to this file must not pass for one to the next
                if worker is not None:
                    self._clear(worker, job)
                worker = None
                raise
            finally:
                self._idle.put(worker)
        return Refused(f"The process that {self._does} it ended twice, or took too long")

    def close(self) -> None:
        """End them all; those that are at work are waited for."""
        for _ in range(self._count):
            worker = self._idle.get()
            if worker is not None:
                worker.end()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _started(self) -> _Worker:
        """Start one; what ends while it starts is started again, a few times."""
        for again in range(1, STARTS + 1):
            try:
                return _Worker(self._recipe)
            except (LostError, OSError) as exc:
                log.warning("worker.not_started", attempt=again, error=type(exc).__name__)
                if again == STARTS:
                    raise FatalError(
                        f"A process that {self._does} cannot be started, {STARTS} times in a row",
                        "Look whether memory and the number of processes are limited, "
                        "then run again",
                    ) from exc
                self._pause(PAUSE)
        raise AssertionError

    @staticmethod
    def _clear(worker: _Worker, job: Job) -> None:
        """Remove what it was writing; the names of unfinished files hold its process id."""
        worker.end()
        unfinished = job.target.parent.glob(f".{worker.pid}-*.part")
        for path in (*unfinished, job.target, *((job.scratch,) if job.scratch else ())):
            with suppress(OSError):
                path.unlink(missing_ok=True)
