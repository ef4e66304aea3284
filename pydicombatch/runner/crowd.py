"""How many requests run at the same time: halved when the archive is too busy, grown back slowly.

Additive increase, multiplicative decrease: what keeps a network from collapsing keeps an archive.
"""

import threading
from dataclasses import dataclass, replace

from pydicombatch.core.log import EventLog

log = EventLog(__name__)
CALM = 10  # requests in a row without a rejection, for each that runs, until one more may


@dataclass(frozen=True, slots=True)
class Allowance:
    """How many may run, of how many at most. Pure."""

    limit: int
    most: int
    served: int = 0  # since the limit was changed last

    def after_rejection(self) -> "Allowance":
        """Halve the limit; one is always left."""
        return replace(self, limit=max(1, self.limit // 2), served=0)

    def after_request(self) -> "Allowance":
        """Let one more run once enough requests have met no rejection."""
        if self.limit >= self.most:
            return self
        if self.served + 1 < CALM * self.limit:
            return replace(self, served=self.served + 1)
        return replace(self, limit=self.limit + 1, served=0)


class Crowd:
    """Admits as many threads at a time as the archive bears.

    Parameters
    ----------
    most
        Threads there are.
    """

    def __init__(self, most: int) -> None:
        self._allowance = Allowance(most, most)
        self._inside: dict[int, int] = {}  # thread -> how often the limit had been halved by then
        self._halved = 0
        self._lock = threading.Lock()

    @property
    def limit(self) -> int:
        """How many may be inside at the moment."""
        with self._lock:
            return self._allowance.limit

    def enter(self) -> bool:
        """Whether this thread may go on; if so it calls `leave` later."""
        with self._lock:
            if len(self._inside) >= self._allowance.limit:
                return False
            self._inside[threading.get_ident()] = self._halved
            return True

    def leave(self) -> None:
        """Say that this thread has ended what it was admitted for."""
        with self._lock:
            self._inside.pop(threading.get_ident(), None)

    def rejected(self) -> None:
        """Say that the archive rejected this thread's association for load.

        Those that had been admitted before the last change tell nothing new.
        """
        with self._lock:
            since = self._inside.get(threading.get_ident(), -1)
            if since != self._halved or self._allowance.limit == 1:
                return
            self._halved += 1
            self._allowance = self._allowance.after_rejection()
            log.warning("threads.fewer", threads=self._allowance.limit)

    def served(self) -> None:
        """Say that a request was carried out."""
        with self._lock:
            before, self._allowance = self._allowance, self._allowance.after_request()
            if before.limit != self._allowance.limit:
                log.info("threads.more", threads=self._allowance.limit)
