"""Who is told of what was kept."""

from collections.abc import Callable, Sequence
from pathlib import PurePath
from typing import NamedTuple, Protocol

from pydicombatch.core.model import Arrival, Identifiers


class Kind(NamedTuple):
    """What instances have in common that are announced together; the UID in it is one of theirs."""

    identifiers: Identifiers
    transfer_syntax_uid: str
    requests: tuple[int, ...]


class Kept(NamedTuple):
    """One of them, durable in the spool."""

    file: str  # name in the spool
    sop_instance_uid: str
    size: int  # bytes


def arrivals(kind: Kind, kept: Sequence[Kept]) -> list[Arrival]:
    """Return what the engine works with."""
    one, syntax, requests = kind
    series = one.study_instance_uid, one.series_instance_uid, one.patient_id, one.accession_number
    return [
        Arrival(
            PurePath(file), Identifiers(one.sop_class_uid, uid, *series), syntax, size, requests
        )
        for file, uid, size in kept
    ]


class Outlet(Protocol):
    """The engine, as the receiver sees it."""

    def announce(self, kind: Kind, kept: Sequence[Kept]) -> None:
        """Tell of instances that are durable in the spool; never blocks."""

    def backlog(self) -> int:
        """Return how many announcements were not taken yet."""

    def ask(self, instance: Identifiers, decide: Callable[[tuple[int, ...]], None]) -> None:
        """Find requests sent earlier that name this instance; `decide` runs in the loop."""

    def room(self, *, enough: bool) -> None:
        """Tell that the spool's file system has fallen below its floor, or has room again."""
