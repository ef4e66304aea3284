"""How a further part of a split query leaves: with the pause and through the gate of a request."""

import threading
from collections.abc import Callable
from random import random
from typing import Protocol

from pydicombatch.core.clock import Clock
from pydicombatch.core.errors import TransientError
from pydicombatch.core.ports import Archive
from pydicombatch.runner.backoff import wait
from pydicombatch.runner.gate import Admission, Gate


class Passage(Protocol):
    """Lets parts of a query out."""

    def admits(self, archive: Archive, tries: int) -> bool:
        """Wait until a part may leave that was tried so often; False: none may any more."""

    def lost(self, error: TransientError) -> None:
        """Hear that the archive cannot be reached."""


class Open:
    """Lets everything through at once."""

    def admits(self, archive: Archive, tries: int) -> bool:  # noqa: ARG002 - of the protocol
        """Let it pass."""
        return True

    def lost(self, error: TransientError) -> None:
        """Leave it to the next try."""


class Turnstile:
    """Lets one part after the other through the gate, each after the pause of its thread.

    Parameters
    ----------
    gate, clock, stop
        Of the run.
    throttle_time
        Seconds that a thread rests between two requests.
    first_wait, longest_wait
        Seconds before a second try, doubling.
    """

    def __init__(
        self,
        gate: Gate,
        clock: Clock,
        stop: threading.Event,
        throttle_time: float,
        first_wait: float,
        longest_wait: float,
        chance: Callable[[], float] = random,
    ) -> None:
        self._gate = gate
        self._clock = clock
        self._stop = stop
        self._throttle_time = throttle_time
        self._waits = (first_wait, longest_wait)
        self._chance = chance

    def admits(self, archive: Archive, tries: int) -> bool:
        """Wait until a part may leave that was tried so often; False: none may any more."""
        pause = self._backoff(tries) if tries else self._throttle_time
        while not self._clock.wait(self._stop, pause):
            admitted = self._gate.enter(archive.open)
            if admitted is not Admission.ASIDE:
                return admitted is Admission.GRANTED
            pause = self._backoff(max(1, self._gate.refusals))
        return False

    def lost(self, error: TransientError) -> None:
        """Hold everybody back until the archive is reached again."""
        self._gate.tripped(error)

    def _backoff(self, tries: int) -> float:
        return wait(tries, *self._waits, self._chance())
