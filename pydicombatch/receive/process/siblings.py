"""The receiver's processes: how many there are, and how one becomes several."""

import contextlib
import os
import socket
from dataclasses import replace
from typing import NamedTuple

from pydicombatch.receive.server import doors
from pydicombatch.receive.server.entrance import Door, Inlet
from pydicombatch.receive.server.settings import Settings

_MOST = 4  # what four associations can use


class Place(NamedTuple):
    """Where one of the processes stands."""

    number: int  # 0 is the one that listens
    channel: socket.socket  # to the engine
    others: tuple[socket.socket, ...]  # number 0: to each sibling; else: to number 0


def how_many(settings: Settings) -> int:
    """Return how many processes are worth it: one a core, and one when it has to be slow."""
    if settings.processes:
        return settings.processes
    return 1 if settings.megabytes_per_second else most()


def most() -> int:
    """Return how many processes are worth it on this machine."""
    return min(_MOST, len(os.sched_getaffinity(0)))


def run_of(settings: Settings, number: int) -> str:
    """Return the identity in the names of the files of one process; no two share it."""
    return f"{settings.run}.{number}" if number else settings.run


def share_of(settings: Settings, number: int, processes: int) -> Settings:
    """Return what one of the processes is told: its part of what all may cost together."""
    limits = settings.limits
    return replace(
        settings,
        run=run_of(settings, number),
        limits=replace(
            limits,
            held_bytes=limits.held_bytes // processes,
            unconfirmed=max(1, limits.unconfirmed // processes),
        ),
    )


def multiply(channels: list[socket.socket]) -> Place:
    """Become as many processes as there are channels; returns in each, with nothing of the others.

    Only for a process without other threads.

    Raises
    ------
    OSError
        If there is no room for another process.
    """
    mine, others = channels[0], channels[1:]
    ends: list[socket.socket] = []
    for number, channel in enumerate(others, 1):
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        if not os.fork():
            for one in (mine, ours, *ends, *others[number:]):
                one.close()
            return Place(number, channel, (theirs,))
        theirs.close()
        channel.close()
        ends.append(ours)
    return Place(0, mine, tuple(ends))


def door_of(place: Place, settings: Settings) -> Door:
    """Return where the connections of a process come from.

    Raises
    ------
    ConfigError
        If the port cannot be bound.
    """
    if place.number and settings.listens:
        return Inlet(place.others[0])
    return doors.door_of(settings, place.others)


def reap(place: Place) -> None:
    """Wait for the siblings that this process has made, so that what they cost counts as ours."""
    with contextlib.suppress(ChildProcessError):
        for _ in place.others if not place.number else ():
            os.wait()
