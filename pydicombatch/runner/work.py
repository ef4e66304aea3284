"""Which request comes next: claimed one at a time, so that no thread waits for a slow one."""

import heapq
import threading
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from pydicombatch.core.clock import Clock
from pydicombatch.core.records import Pending

AHEAD = 64  # requests read from the ledger at a time
Fetch = Callable[[int, int], list[Pending]]  # behind this line, at most so many


@dataclass(frozen=True, slots=True)
class Task:
    """A request in its n-th attempt of this run, n from 1."""

    request: Pending
    attempt: int = 1
    unsent: int = 0  # how often the archive went away between its association and this request
    spared: int = 0  # how often an attempt was not counted because the archive had gone down


class Work:
    """The requests of a run; a failed one comes again when its time has come.

    Parameters
    ----------
    fetch
        Reads pending requests in the order of the batch file.
    clock
        Decides when a retry is due.
    limit
        The most requests to hand out, None for all.
    longest_wait
        Seconds that a request from an earlier run is waited for at most, whatever the wall clock
        says of the time at which it is due.
    """

    def __init__(
        self,
        fetch: Fetch,
        clock: Clock,
        limit: int | None = None,
        longest_wait: float = float("inf"),
    ) -> None:
        self._longest_wait = longest_wait
        self._fetch = fetch
        self._clock = clock
        self._left = limit
        self._line = 0
        self._exhausted = False
        self._ready: deque[Task] = deque()
        self._later: list[tuple[float, int, Task]] = []
        self._out = 0
        self._closed = False
        self._changed = threading.Condition()

    def take(self) -> Task | None:
        """Return the next task, waiting for one that is due; None when nothing is left."""
        with self._changed:
            while not self._closed:
                task = self._due()
                if task:
                    self._out += 1
                    return task
                if not self._later and not self._out:
                    break
                self._changed.wait(self._pause())
            self._changed.notify_all()
            return None

    @property
    def is_over(self) -> bool:
        """Whether nothing will be handed out any more."""
        with self._changed:
            left = self._ready or self._later or self._out or not self._exhausted
            return self._closed or not left

    def done(self) -> None:
        """Say that a task is finished."""
        with self._changed:
            self._out -= 1
            self._changed.notify_all()

    def put_back(self, task: Task) -> None:
        """Say that a task was not sent; it comes first."""
        with self._changed:
            self._out -= 1
            self._ready.appendleft(task)
            self._changed.notify_all()

    def expand(self, requests: Iterable[Pending]) -> None:
        """Say that a task has become these requests; they come next, in their order."""
        with self._changed:
            self._out -= 1
            for request in reversed(list(requests)):
                self._admit(Task(request, request.tries + 1), is_first=True)
            self._changed.notify_all()

    def retry(self, task: Task, seconds: float) -> None:
        """Say that a task failed; its next attempt is due in so many seconds."""
        with self._changed:
            self._out -= 1
            again = replace(task, attempt=task.attempt + 1)
            due = self._clock.monotonic() + seconds
            heapq.heappush(self._later, (due, task.request.id, again))
            self._changed.notify_all()

    def close(self) -> None:
        """Hand out nothing more."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _due(self) -> Task | None:
        if self._later and self._later[0][0] <= self._clock.monotonic():
            return heapq.heappop(self._later)[2]
        if not self._ready and not self._exhausted:
            self._read()
        return self._ready.popleft() if self._ready else None

    def _read(self) -> None:
        many = AHEAD if self._left is None else min(AHEAD, self._left)
        found = self._fetch(self._line, many) if many else []
        self._exhausted = len(found) < many or not found
        if self._left is not None:
            self._left -= len(found)
        if found:
            self._line = found[-1].line
        for request in found:
            self._admit(Task(request, request.tries + 1))

    def _admit(self, task: Task, *, is_first: bool = False) -> None:
        """Put a request where it belongs: an earlier run may have failed with it just now."""
        due = task.request.due
        left = 0.0 if due is None else (due - self._clock.now()).total_seconds()
        if left <= 0 and is_first:
            self._ready.appendleft(task)
            return
        if left <= 0:
            self._ready.append(task)
            return
        moment = self._clock.monotonic() + min(left, self._longest_wait)
        heapq.heappush(self._later, (moment, task.request.id, task))

    def _pause(self) -> float | None:
        if not self._later:
            return None
        return max(0.0, self._later[0][0] - self._clock.monotonic())
