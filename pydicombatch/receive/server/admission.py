"""Who gets a connection, how long each phase may take, how fast bytes may come. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from ipaddress import ip_address, ip_network

from pydicombatch.receive.server.settings import Limits
from pydicombatch.receive.upperlayer.phase import Phase


class Admission(Enum):
    """What becomes of a connection."""

    WELCOME = "served"
    FULL = "told to come again: the limit of its address, or of all, is reached"
    STRANGER = "dropped: its address may not connect"


def admission(
    address: str, per_address: Mapping[str, int], limits: Limits, allowed: tuple[str, ...]
) -> Admission:
    """Decide on a new connection before anything is spent on it.

    Parameters
    ----------
    address
        The peer's, as the socket gives it.
    per_address
        Connections that are open now.
    limits
        How many there may be.
    allowed
        Addresses or networks; empty: all.
    """
    if allowed and not _is_allowed(address, allowed):
        return Admission.STRANGER
    mine = per_address.get(address, 0)
    total = sum(per_address.values())
    # Nobody may take the last places: an address that has none finds one.
    room = limits.connections - (limits.connections // 8 if mine else 0)
    if mine >= limits.connections_per_address or total >= room:
        return Admission.FULL
    return Admission.WELCOME


def _is_allowed(address: str, allowed: tuple[str, ...]) -> bool:
    peer = ip_address(address.partition("%")[0])
    mapped = getattr(peer, "ipv4_mapped", None)
    if mapped is not None:
        peer = mapped
    return any(peer in ip_network(one, strict=False) for one in allowed)


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a connection is, and when it last got there; monotonic seconds."""

    phase: Phase
    opened: float
    closing_since: float
    unit_since: float | None  # a protocol data unit has begun
    last_heard: float
    in_message: bool
    ours_to_act: bool  # a C-STORE waits for our answer
    unsent_since: float | None  # the peer does not read


def deadline(progress: Progress, limits: Limits) -> float:
    """Return the monotonic second at which patience with a connection ends."""
    if progress.phase is Phase.AWAITING:
        return progress.opened + limits.associate_seconds
    if progress.phase is not Phase.OPEN:
        return progress.closing_since + limits.closing_seconds
    if progress.unsent_since is not None:
        return progress.unsent_since + limits.unit_seconds
    if progress.ours_to_act:
        return float("inf")
    if progress.unit_since is not None:
        return progress.unit_since + limits.unit_seconds
    silence = limits.message_seconds if progress.in_message else limits.idle_seconds
    return progress.last_heard + silence


class Meter:
    """A byte rate over all connections, as a bucket that holds a quarter of a second.

    Parameters
    ----------
    bytes_per_second
        0 is no limit.
    """

    def __init__(self, bytes_per_second: float) -> None:
        self._rate = bytes_per_second
        self._debt_until = 0.0

    def count(self, size: int, now: float) -> None:
        """Note that `size` bytes were read at the monotonic second `now`."""
        if self._rate:
            self._debt_until = max(self._debt_until, now - 0.25) + size / self._rate

    def wait(self, now: float) -> float:
        """Return for how many seconds nothing may be read."""
        return max(0.0, self._debt_until - now)
