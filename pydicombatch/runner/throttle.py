"""How fast requests leave: so many a minute, over all threads.

All times are monotonic seconds: a clock that is put back or forward changes no pause.
"""

import math
import threading

MINUTE = 60.06  # seconds; the 60 ms absorb threads that wake late, and rounding


class RequestRate:
    """Spaces the starts of requests of all threads evenly, for `request.limits`.

    A fractional limit is kept as an average: 2.5 a minute are five in two minutes.

    Parameters
    ----------
    per_minute
        Requests that may start in any 60 seconds; None is no limit.

    Raises
    ------
    ValueError
        If `per_minute` is not a positive, finite number.
    """

    def __init__(self, per_minute: float | None) -> None:
        self._spacing = 0.0 if per_minute is None else MINUTE / _positive(per_minute)
        self._next = -math.inf
        self._lock = threading.Lock()

    def reserve(self, now_monotonic: float) -> float:
        """Take the next free start and return the seconds to wait for it.

        The caller waits, looks once more whether its window is open, and sends. A start that is
        not used is lost: the limit is an upper bound, so nothing is owed.
        """
        with self._lock:
            start = max(now_monotonic, self._next)
            self._next = start + self._spacing
        return start - now_monotonic


def _positive(limit: float) -> float:
    if not (math.isfinite(limit) and limit > 0):
        raise ValueError("a limit is a positive number, or None")
    return float(limit)
