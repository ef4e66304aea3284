"""Which original may have which anonymized SOP Instance UID: the first one, for good."""

import threading
from collections.abc import Callable


class Claims:
    """Claims of instances that are under way, and of those that the ledger holds.

    Parameters
    ----------
    owner
        Tells which original SOP Instance UID the ledger holds under an anonymized one.
    """

    def __init__(self, owner: Callable[[str], str | None]) -> None:
        self._owner = owner
        self._held: dict[str, str] = {}  # anonymized -> original
        self._by_original: dict[str, str] = {}
        self._lock = threading.Lock()

    def claim(self, anonymized: str, original: str) -> bool:
        """Take an anonymized UID until `release`; False when another original has it."""
        with self._lock:
            holder = self._held.get(anonymized) or self._owner(anonymized)
            if holder not in {None, original}:
                return False
            self._held[anonymized] = original
            self._by_original[original] = anonymized
            return True

    def release(self, original: str) -> None:
        """Let go: the ledger holds what became of it."""
        with self._lock:
            anonymized = self._by_original.pop(original, None)
            if anonymized is not None:
                del self._held[anonymized]
