"""Which door the connections of a receiver come through."""

import socket
from collections.abc import Callable, Iterable

from pydicombatch.receive.server.entrance import Door, Entrance, House
from pydicombatch.receive.server.listen import listen
from pydicombatch.receive.server.settings import Settings


class NoDoor:
    """For a receiver that serves associations of ours alone."""

    port = 0

    def open(self, house: House, welcome: Callable[[socket.socket, str], None]) -> None:
        """Let nobody in."""

    def left(self, address: str) -> None:
        """Note nothing: nobody has come."""

    def shut(self) -> None:
        """Stay shut."""

    def tick(self, now: float) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""


def door_of(settings: Settings, siblings: Iterable[socket.socket] = ()) -> Door:
    """Open the port, if instances are pushed to us at all.

    Parameters
    ----------
    settings
        The port, and whether it is used.
    siblings
        To the processes that share the guests; given back when nobody comes.

    Raises
    ------
    ConfigError
        If the port cannot be bound.
    """
    if settings.listens:
        return Entrance(listen(settings.port, settings.bind), settings, siblings)
    for one in siblings:
        one.close()
    return NoDoor()
