"""A message id of its own for every C-MOVE that is out (PS3.7 9.1.4.1.1)."""

import threading

LARGEST = 0xFFFF


class MessageIds:
    """Counts 1 to 65535 and round again, leaving out what is in use.

    Parameters
    ----------
    last
        The id used last by an earlier run: late instances of it must not meet a new request.
    """

    def __init__(self, last: int = 0) -> None:
        self._last = last
        self._used: set[int] = set()
        self._lock = threading.Lock()

    def take(self) -> int:
        """Return an id that no outstanding C-MOVE has."""
        with self._lock:
            while True:
                self._last = self._last % LARGEST + 1
                if self._last not in self._used:
                    self._used.add(self._last)
                    return self._last

    def give_back(self, message_id: int) -> None:
        """Say that the C-MOVE of this id has ended."""
        with self._lock:
            self._used.discard(message_id)
