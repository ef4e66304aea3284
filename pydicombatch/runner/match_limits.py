"""Whether an archive has held matches back: the signs of a limit on answers (fault F12)."""

import threading
from collections.abc import Callable

from pydicombatch.core.model import Answer, Verdict

USUAL = frozenset({500, 1000, 2000, 5000, 10000})  # matches, as archives are configured
LIMIT_REACHED = 0xB001  # PS3.4: the limit of matches was reached
OUT_OF_RESOURCES = 0xA700  # to 0xA7FF, PS3.4 C.4.1.1.4
ROUND = 50  # a count that repeats is suspicious when it is a multiple of this
REPEATS = 3  # how often the largest count of all has to come


class MatchLimits:
    """Remembers how many matches answers had; safe for threads.

    Parameters
    ----------
    configured
        The archive's limit if the operator knows it; 0: it has none; None: look for signs.
    known
        A limit that an earlier run found, by level.
    on_found
        Hears of all limits that showed by repetition, by level, before anything is believed.
    """

    def __init__(
        self,
        configured: int | None = None,
        known: dict[str, int] | None = None,
        on_found: Callable[[dict[str, int]], None] = lambda _: None,
    ) -> None:
        self._configured = configured
        self._lock = threading.Lock()
        self._most: dict[str, int] = {}
        self._times: dict[str, int] = {}
        self._found = dict(known or {})
        self._on_found = on_found

    def held_back(self, level: str, answer: Answer, received: int) -> bool:
        """Note a final response; return whether there may be more matches than were sent.

        Parameters
        ----------
        level
            Query/Retrieve Level: archives have a limit for each.
        answer
            The final response.
        received
            Matches that came, those that nobody asked for included.
        """
        if is_limit(answer):
            return True
        if answer.verdict is not Verdict.DONE:
            return False
        return self._is_suspicious(level, received)

    def _is_suspicious(self, level: str, received: int) -> bool:
        if self._configured is not None:
            return bool(self._configured) and received == self._configured
        with self._lock:
            most = self._most.get(level, 0)
            self._times[level] = (
                1 if received > most else self._times.get(level, 0) + (received == most)
            )
            self._most[level] = max(most, received)
            if received < most or not received:
                return False  # it has sent more than that before, so that is not its limit
            known = self._found.get(level) == received
            repeats = received % ROUND == 0 and self._times[level] >= REPEATS
            if repeats and not known:
                self._found[level] = received
                self._on_found(dict(self._found))
            return known or repeats or received in USUAL


def is_limit(answer: Answer) -> bool:
    """Whether a final status says that there is more than the archive sends."""
    return answer.status == LIMIT_REACHED or answer.status & 0xFF00 == OUT_OF_RESOURCES
