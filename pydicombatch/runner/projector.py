"""Writes the results CSV while requests finish, without holding any of them up."""

import threading
from collections.abc import Callable
from types import TracebackType
from typing import Protocol, Self

from pydicombatch.core.errors import FatalError, as_fatal
from pydicombatch.core.threads import begin

PERIOD = 1.0  # seconds


class Projection(Protocol):
    """A file that follows the ledger."""

    def open(self) -> None:
        """Make it say what the ledger says."""

    def update(self) -> None:
        """Append what has finished since."""

    def close(self) -> None:
        """Append what is left, and put the rows in order."""


class Projector:
    """Updates a projection every second while a run goes on, and closes it in the end."""

    def __init__(
        self,
        projection: Projection,
        on_fatal: Callable[[FatalError], None],
        period: float = PERIOD,
    ) -> None:
        self._projection = projection
        self._on_fatal = on_fatal
        self._period = period
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="projector", daemon=True)

    def __enter__(self) -> Self:
        self._projection.open()
        begin(self._thread)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ended.set()
        self._thread.join()
        if exc is None:
            self._projection.close()

    def _follow(self) -> None:
        try:
            while not self._ended.wait(self._period):
                self._projection.update()
        except Exception as exc:  # noqa: BLE001 - the run must hear of it
            self._on_fatal(as_fatal(exc))
