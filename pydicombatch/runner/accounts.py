"""What arrived for the requests that are out: counted when it comes and when it is stored."""

import threading
from collections.abc import Iterable
from dataclasses import dataclass, replace

from pydicombatch.core.clock import Clock

GLANCE = 0.1  # seconds between two looks at the clock


@dataclass(frozen=True, slots=True)
class Evidence:
    """Arrivals of one attempt; duplicates count each time."""

    arrived: int = 0
    stored: int = 0
    quarantined: int = 0
    cut_short: bool = False  # nobody waited to the end for what was still on its way

    @property
    def processed(self) -> int:
        """Arrivals whose fate is in the ledger."""
        return self.stored + self.quarantined


class Accounts:
    """Counts arrivals per request; the mover waits here until all is in, or all is quiet.

    Parameters
    ----------
    clock
        Monotonic time.
    quiet
        Seconds without any arrival, after the final response, until nothing more is expected.
    """

    def __init__(self, clock: Clock, quiet: float) -> None:
        self._clock = clock
        self._quiet = quiet
        self._open: dict[int, tuple[Evidence, float]] = {}
        self._changed = threading.Condition()
        self._given_up = False
        self._last_arrival = float("-inf")

    def last_arrival(self) -> float:
        """Return when the last instance came, for any request, in monotonic seconds."""
        return self._last_arrival

    def open(self, request: int) -> None:
        """Start counting for a request."""
        with self._changed:
            self._open[request] = (Evidence(), self._clock.monotonic())

    def arrived(self, requests: Iterable[int]) -> None:
        """Count an arrival."""
        self._last_arrival = self._clock.monotonic()
        self._add(requests, arrived=1)

    def stored(self, requests: Iterable[int]) -> None:
        """Count an instance that lies at its final path."""
        self._add(requests, stored=1)

    def quarantined(self, requests: Iterable[int]) -> None:
        """Count an instance that was set aside."""
        self._add(requests, quarantined=1)

    def close(self, request: int, wanted: int | None) -> Evidence:
        """Wait for what is still on its way, then stop counting.

        Parameters
        ----------
        request
            The request whose C-MOVE has ended.
        wanted
            Instances that the archive says it sent; None when it does not say.
        """
        with self._changed:
            if request not in self._open:
                return Evidence()  # nothing is stored here for it
            asked = self._clock.monotonic()
            while not (settled := self._settled(request, wanted, asked)) and not self._given_up:
                self._changed.wait(GLANCE)
            return replace(self._open.pop(request)[0], cut_short=not settled)

    def give_up(self) -> None:
        """Let everybody go who waits: the run is being stopped at once."""
        with self._changed:
            self._given_up = True
            self._changed.notify_all()

    def _settled(self, request: int, wanted: int | None, asked: float) -> bool:
        evidence, last = self._open[request]
        if evidence.processed < evidence.arrived:
            return False
        if wanted is not None and evidence.arrived >= wanted:
            return True
        return self._clock.monotonic() - max(last, asked) >= self._quiet

    def _add(self, requests: Iterable[int], **more: int) -> None:
        with self._changed:
            for request in requests:
                if request in self._open:
                    evidence = self._open[request][0]
                    changes = {name: getattr(evidence, name) + n for name, n in more.items()}
                    self._open[request] = (replace(evidence, **changes), self._clock.monotonic())
            self._changed.notify_all()
