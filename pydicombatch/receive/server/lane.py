"""Threads for what takes long: the loop hands over a job and is told the result."""

import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import TypeVar

from pydicombatch.core.threads import begin

_T = TypeVar("_T")
Post = Callable[[Callable[[], None]], None]  # runs something in the loop's thread, soon


class Lane:
    """A few daemon threads with a queue.

    Parameters
    ----------
    post
        Hands a result back to the loop.
    threads
        How many jobs run at a time.
    """

    def __init__(self, post: Post, threads: int) -> None:
        self._post = post
        self._jobs: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._threads = [threading.Thread(target=self._work, daemon=True) for _ in range(threads)]
        for thread in self._threads:
            begin(thread)

    def submit(
        self,
        job: Callable[[], _T],
        done: Callable[[_T], None],
        failed: Callable[[Exception], None],
    ) -> None:
        """Run `job` in a thread, then `done` or `failed` in the loop."""

        def run() -> None:
            try:
                result = job()
            except Exception as exc:  # noqa: BLE001 - handed to the one who asked
                error = exc  # `exc` is gone when the loop comes to it
                self._post(lambda: failed(error))
            else:
                self._post(lambda: done(result))

        self._jobs.put(run)

    def close(self) -> None:
        """Finish what is queued, then end."""
        for _ in self._threads:
            self._jobs.put(None)
        for thread in self._threads:
            thread.join()

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            job()
