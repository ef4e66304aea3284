"""How an archive can be asked, learned once and remembered: level by level, or all at once."""

import threading
from collections.abc import Callable
from enum import StrEnum

from pydicombatch.core.log import EventLog

log = EventLog(__name__)


class Manner(StrEnum):
    """How queries are made."""

    AUTO = "auto"  # as the archive can, which is found out
    HIERARCHICAL = "hierarchical"  # level by level (PS3.4 C.4.1.3.1.1)
    RELATIONAL = "relational"  # at once (PS3.4 C.4.1.3.2.1)


class Abilities:
    """What is known of an archive; safe for threads.

    Parameters
    ----------
    wanted
        What the operator has set.
    known
        What an earlier run found, by information model.
    learned
        Remembers what was found.
    """

    def __init__(
        self,
        wanted: Manner = Manner.AUTO,
        known: dict[str, str] | None = None,
        learned: Callable[[dict[str, str]], None] = lambda _: None,
    ) -> None:
        self._wanted = wanted
        self._known = dict(known or {})
        self._learned = learned
        self._trying: set[str] = set()
        self._lock = threading.Lock()

    def of(self, model: str) -> Manner:
        """Return how to ask in an information model; `AUTO`: nobody knows yet."""
        if self._wanted is not Manner.AUTO:
            return self._wanted
        with self._lock:
            return Manner(self._known.get(model, Manner.AUTO))

    def may_try(self, model: str) -> bool:
        """Tell one thread to find out whether relational queries work."""
        with self._lock:
            unknown = self._wanted is Manner.AUTO and model not in self._known
            if not unknown or model in self._trying:
                return False
            self._trying.add(model)
            return True

    def learn(self, model: str, manner: Manner) -> None:
        """Remember how an archive can be asked."""
        with self._lock:
            self._trying.discard(model)
            if self._known.get(model) == manner.value:
                return
            self._known[model] = manner.value
            known = dict(self._known)
        self._learned(known)
        log.info("archive.queries", reason=manner.value)

    def give_up(self, model: str) -> None:
        """Say that nothing could be found out this time."""
        with self._lock:
            self._trying.discard(model)
