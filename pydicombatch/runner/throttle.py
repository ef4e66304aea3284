"""How fast requests leave and bytes are read: pauses, requests a minute, bytes a second.

All times are monotonic seconds: a clock that is put back or forward changes no pause.
"""

import math
import threading

from pydicombatch.core.clock import Clock

MINUTE = 60.06  # seconds; the 60 ms absorb threads that wake late, and rounding
QUANTUM = 65536  # bytes taken at once, so that threads take turns
BURST = 262144  # bytes that may pass unpaced after a quiet time
BURST_SECONDS = 0.25  # the same, for slow limits


def pause(last_end: float | None, throttle_time: float, now: float) -> float:
    """Return how long a thread still has to rest before its next request.

    Parameters
    ----------
    last_end
        When its last request ended, in monotonic seconds; None before the first.
    throttle_time
        `request.throttle_time`, in seconds.
    now
        Monotonic seconds.

    Returns
    -------
    float
        Seconds, 0 when the pause is over.
    """
    if last_end is None:
        return 0.0
    return max(0.0, last_end + throttle_time - now)


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


class ByteRate:
    """A token bucket for the bytes that are read from the archive, shared by several threads.

    It starts empty, so from its beginning to any moment no more bytes pass than the limit
    allows; after a quiet time at most a quarter of a second's worth, and never more than
    256 KiB, pass at once. Large takes are split, so a thread with a large instance and threads
    with small ones advance by turns.

    Parameters
    ----------
    bytes_per_second
        The limit over all threads; None is no limit. (1 megabyte is 1,000,000 bytes.)
    clock
        Where monotonic time and waiting come from.
    stop
        When it is set, nobody waits any more.

    Raises
    ------
    ValueError
        If `bytes_per_second` is not a positive, finite number.
    """

    def __init__(self, bytes_per_second: float | None, clock: Clock, stop: threading.Event) -> None:
        self._rate = None if bytes_per_second is None else _positive(bytes_per_second)
        self._clock = clock
        self._stop = stop
        self._lock = threading.Lock()
        self._paid_until = clock.monotonic()  # when all bytes granted so far are paid for

    @property
    def burst(self) -> int:
        """Bytes that may pass at once after a quiet time; 0 without a limit."""
        if self._rate is None:
            return 0
        return max(1, min(BURST, math.floor(self._rate * BURST_SECONDS)))

    def take(self, count: int) -> None:
        """Return once `count` more bytes may pass, or at once when `stop` is set.

        Parameters
        ----------
        count
            Bytes, 0 or more; may be larger than the burst.

        Raises
        ------
        ValueError
            If `count` is negative.
        """
        if count < 0:
            raise ValueError("bytes cannot be negative")
        if self._rate is None:
            return
        largest = min(QUANTUM, self.burst)
        left = count
        while left and not self._stop.is_set():
            quantum = min(left, largest)
            self._wait_for(quantum, self._rate)
            left -= quantum

    def _wait_for(self, quantum: int, rate: float) -> None:
        """Queue up behind all bytes granted before."""
        with self._lock:
            now = self._clock.monotonic()
            earliest = now - self.burst / rate  # credit of a quiet time, bounded
            self._paid_until = max(self._paid_until, earliest) + quantum / rate
            ready = self._paid_until
        while now < ready:  # a wait may end early: timers are coarse
            if self._clock.wait(self._stop, ready - now):
                return
            now = self._clock.monotonic()


def _positive(limit: float) -> float:
    if not (math.isfinite(limit) and limit > 0):
        raise ValueError("a limit is a positive number, or None")
    return float(limit)
