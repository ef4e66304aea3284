"""What arrived for the requests that are out: which instances came, and which are stored."""

import threading
from collections.abc import Iterable
from dataclasses import dataclass, field

from pydicombatch.core.clock import Clock

GLANCE = 0.1  # seconds between two looks at the clock


@dataclass(frozen=True, slots=True)
class Evidence:
    """What one attempt brought: distinct instances, by their SOP Instance UIDs."""

    arrived: int = 0
    stored: int = 0
    quarantined: int = 0  # set aside, and not stored by another arrival
    cut_short: bool = False  # nobody waited to the end for what was still on its way
    times: int = 0  # arrivals, an instance counted each time it came

    @property
    def processed(self) -> int:
        """Instances whose fate is in the ledger."""
        return self.stored + self.quarantined


@dataclass(slots=True)
class _Account:
    """Arrivals of one request as they come."""

    last: float  # when something happened, in monotonic seconds
    times: int = 0
    processed: int = 0  # arrivals whose fate is in the ledger, each time
    arrived: set[str] = field(default_factory=set)
    stored: set[str] = field(default_factory=set)
    aside: set[str] = field(default_factory=set)

    def evidence(self, *, cut_short: bool) -> Evidence:
        """Sum it up."""
        quarantined = len(self.aside - self.stored)
        return Evidence(len(self.arrived), len(self.stored), quarantined, cut_short, self.times)


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
        self._open: dict[int, _Account] = {}
        self._changed = threading.Condition()
        self._given_up = False
        self._last_arrival = float("-inf")

    def last_arrival(self) -> float:
        """Return when the last instance came, for any request, in monotonic seconds."""
        return self._last_arrival

    def open(self, request: int) -> None:
        """Start counting for a request."""
        with self._changed:
            self._open[request] = _Account(self._clock.monotonic())

    def arrived(self, requests: Iterable[int], uid: str) -> None:
        """Count an arrival."""
        self._last_arrival = self._clock.monotonic()
        with self._changed:
            for account in self._touched(requests):
                account.times += 1
                account.arrived.add(uid)

    def stored(self, requests: Iterable[int], uid: str) -> None:
        """Count an instance that lies at its final path."""
        with self._changed:
            for account in self._touched(requests):
                account.stored.add(uid)
                self._processed(account)

    def quarantined(self, requests: Iterable[int], uid: str) -> None:
        """Count an instance that was set aside."""
        with self._changed:
            for account in self._touched(requests):
                account.aside.add(uid)
                self._processed(account)

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
            return self._open.pop(request).evidence(cut_short=not settled)

    def give_up(self) -> None:
        """Let everybody go who waits: the run is being stopped at once."""
        with self._changed:
            self._given_up = True
            self._changed.notify_all()

    def _settled(self, request: int, wanted: int | None, asked: float) -> bool:
        account = self._open[request]
        if account.processed < account.times:
            return False
        if wanted is not None and len(account.arrived) >= wanted:
            return True
        return self._clock.monotonic() - max(account.last, asked) >= self._quiet

    def _touched(self, requests: Iterable[int]) -> list[_Account]:
        """Return the accounts of these requests, something having happened now."""
        found = [self._open[request] for request in requests if request in self._open]
        for account in found:
            account.last = self._clock.monotonic()
        return found

    def _processed(self, account: _Account) -> None:
        """Count one; who waits is woken when nothing is left to wait for, not for each."""
        account.processed += 1
        if account.processed >= account.times:
            self._changed.notify_all()
