"""How long to wait before a request is tried again. Pure."""

DOUBLINGS = 1000  # 2.0 ** 1024 overflows; by then every wait has reached its cap


def wait(attempt: int, base: float, longest: float, jitter_random: float) -> float:
    """Return the pause after a failed attempt: doubling, capped, with equal jitter.

    Equal jitter draws from the upper half of the nominal wait: threads that failed together
    spread out, and yet a struggling archive is never asked again at once (as full jitter could).

    Parameters
    ----------
    attempt
        How many attempts have failed so far, from 1.
    base
        Nominal wait after the first failure, in seconds.
    longest
        Cap of the nominal wait, in seconds; never exceeded.
    jitter_random
        A random number in [0, 1).

    Returns
    -------
    float
        Seconds, at least half of the nominal wait and never more than it.

    Raises
    ------
    ValueError
        If `attempt` is below 1, a time is negative, or `jitter_random` lies outside [0, 1).
    """
    if attempt < 1:
        raise ValueError("attempts count from 1")
    if not (base >= 0 and longest >= 0):
        raise ValueError("a wait cannot be negative")
    if not 0 <= jitter_random < 1:
        raise ValueError("jitter_random lies in [0, 1)")
    nominal = min(longest, base * 2.0 ** min(attempt - 1, DOUBLINGS))
    return nominal * (1 + jitter_random) / 2
