"""The pause before a part of a query is tried again."""

import threading
from collections.abc import Callable
from random import random

from pydicombatch.core.clock import Clock
from pydicombatch.runner.backoff import wait


class Patience:
    """Waits longer each time, until a stop.

    Parameters
    ----------
    clock, stop
        Of the run.
    first_wait, longest_wait
        Seconds before a second try, doubling.
    """

    def __init__(
        self,
        clock: Clock,
        stop: threading.Event,
        first_wait: float,
        longest_wait: float,
        chance: Callable[[], float] = random,
    ) -> None:
        self._clock = clock
        self._stop = stop
        self._waits = (first_wait, longest_wait)
        self._chance = chance

    def pause(self, tries: int) -> None:
        """Wait after so many tries; a stop ends it."""
        self._clock.wait(self._stop, wait(tries, *self._waits, self._chance()))
