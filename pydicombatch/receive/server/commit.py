"""From received to acknowledged: sync the file, give it its name, sync the name."""

import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from pydicombatch.receive.server.directory import SpoolDirectory
from pydicombatch.receive.server.incoming import Incoming
from pydicombatch.receive.server.lane import Lane, Post
from pydicombatch.receive.server.settings import Durability

_FREE = 0.0001  # seconds: a sync that costs less has nothing to write (tmpfs)
_SYNCS_AT_A_TIME = 4
_MOST_AT_ONCE = 64
_NEVER = float("inf")


class Job(NamedTuple):
    """An instance that is complete, and what to call with its error, or None, when it is kept."""

    incoming: Incoming
    name: str
    done: Callable[[OSError | None], None]


class Committer:
    """Keeps the promise that an acknowledged instance survives a power loss.

    Where a sync costs nothing it is done at once. Elsewhere a thread does it, so that a disk that
    stalls holds up nobody else; what ends meanwhile is synced together with the next.

    Parameters
    ----------
    directory
        The spool.
    durability
        What is promised.
    post
        Runs something in the loop's thread.
    """

    def __init__(self, directory: SpoolDirectory, durability: Durability, post: Post) -> None:
        self._directory = directory
        self.syncs = durability is not Durability.NONE
        self.together = _MOST_AT_ONCE if durability is Durability.BATCH else 1
        self._post = post
        self._waiting: list[Job] = []
        self._busy = False
        self._lane = Lane(post, 1)
        self._pool = ThreadPoolExecutor(_SYNCS_AT_A_TIME)
        self.free = not self.syncs or self._probe() < _FREE

    def commit(self, job: Job) -> None:
        """Make an instance durable, then call `job.done` in the loop's thread."""
        if self.free:
            job.done(self._seal_one(job))
            return
        self._waiting.append(job)
        self._next()

    def idle(self) -> bool:
        """Whether nothing is being made durable."""
        return not self._busy and not self._waiting

    def close(self) -> None:
        """End the threads."""
        self._lane.close()
        self._pool.shutdown()

    def _next(self) -> None:
        if self._busy or not self._waiting:
            return
        jobs, self._waiting = self._waiting[: self.together], self._waiting[self.together :]
        self._busy = True

        def done(errors: list[OSError | None]) -> None:
            self._busy = False
            self._next()
            for job, error in zip(jobs, errors, strict=True):
                job.done(error)

        def failed(error: Exception) -> None:
            done([OSError(str(error))] * len(jobs))

        self._lane.submit(lambda: self._seal(jobs), done, failed)

    def _seal_one(self, job: Job) -> OSError | None:
        """Do for one instance what `_seal` does for many, in as few steps as there are."""
        return seal(self._directory, job.incoming, job.name, syncs=self.syncs)

    def _seal(self, jobs: list[Job]) -> list[OSError | None]:
        """Sync files, rename, sync the directory once; never leave a name that is not true."""
        if len(jobs) == 1:
            return [self._seal_one(jobs[0])]
        sync = self.syncs
        errors = list(self._pool.map(lambda job: self._finish(job, sync=sync), jobs))
        for index, job in enumerate(jobs):
            if errors[index] is None:
                errors[index] = _error(lambda: self._directory.rename(job.incoming.part, job.name))  # noqa: B023
        failed = _error(self._directory.sync) if sync and None in errors else None
        for index, job in enumerate(jobs):
            if errors[index] or failed:
                errors[index] = errors[index] or failed
                self._directory.remove(job.incoming.part)
                self._directory.remove(job.name)
        return errors

    @staticmethod
    def _finish(job: Job, *, sync: bool) -> OSError | None:
        descriptor, job.incoming.descriptor = job.incoming.descriptor, -1
        error = _error(lambda: os.fsync(descriptor)) if sync else None
        return _error(lambda: os.close(descriptor)) or error

    def _probe(self) -> float:
        """Measure what a sync costs here, in seconds."""
        name, descriptor = self._directory.create()
        try:
            os.write(descriptor, bytes(4096))
            begun = time.monotonic()
            os.fsync(descriptor)
            return time.monotonic() - begun
        except OSError:
            return _NEVER
        finally:
            os.close(descriptor)
            self._directory.remove(name)


def seal(
    directory: SpoolDirectory, incoming: Incoming, name: str, *, syncs: bool
) -> OSError | None:
    """Make one instance durable under its name; return the error if it cannot be kept."""
    descriptor, incoming.descriptor = incoming.descriptor, -1
    try:
        try:
            if syncs:
                os.fsync(descriptor)
        finally:
            os.close(descriptor)
        directory.rename(incoming.part, name)
        if syncs:
            directory.sync()
    except OSError as exc:
        directory.remove(incoming.part)
        directory.remove(name)
        return exc
    return None


def _error(action: Callable[[], None]) -> OSError | None:
    try:
        action()
    except OSError as exc:
        return exc
    return None
