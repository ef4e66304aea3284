"""The whole receiver of one process: what the loop, the intake and the desk are made of."""

import socket
from collections.abc import Callable
from typing import Any

from pydicombatch.core.adoption import Adoption
from pydicombatch.core.attribution import Expectation
from pydicombatch.receive.server.adopted import Owner
from pydicombatch.receive.server.desk import Desk
from pydicombatch.receive.server.directory import SpoolDirectory
from pydicombatch.receive.server.doors import door_of
from pydicombatch.receive.server.entrance import Door
from pydicombatch.receive.server.intake import Intake
from pydicombatch.receive.server.loop import Loop
from pydicombatch.receive.server.outlet import Outlet
from pydicombatch.receive.server.settings import Settings
from pydicombatch.receive.server.tls import server_context


class Service:
    """A storage SCP that is open when it has been made, and serves while `run` runs.

    Parameters
    ----------
    settings
        All it needs to know.
    door
        Where connections come from; None: the port of the settings.

    Raises
    ------
    ConfigError
        If the port cannot be bound or the certificates cannot be used.
    """

    def __init__(self, settings: Settings, door: Door | None = None) -> None:
        self.settings = settings
        tls = server_context(settings.tls) if settings.tls else None
        door = door or door_of(settings)
        self.port = door.port
        self._desk = Desk(settings.originator or settings.aet)
        self._loop = Loop(door, settings, tls)
        self._directory = SpoolDirectory(settings.spool, settings.run, settings.counted)
        self._refused: Callable[[], int] = lambda: 0

    def run(self, outlet: Outlet, on_turn: Callable[[], float] = lambda: 1.0) -> None:
        """Serve until `stop`; what is acknowledged was announced to `outlet` on return."""
        intake = Intake(self.settings, self._directory, self._desk, outlet, self._loop.post)
        self._refused = lambda: intake.refused
        try:
            self._loop.run(intake, on_turn)
        finally:
            self._directory.close()

    def refused(self) -> int:
        """Return how many instances nobody asked for were refused."""
        return self._refused()

    def stop(self) -> None:
        """End `run`; from any thread."""
        self._loop.stop()

    def attach(
        self, sock: socket.socket, on_ready: Callable[[], None], *, write: bool = False
    ) -> None:
        """Call `on_ready` in the thread of `run` when this socket can be read, or written."""
        self._loop.attach(sock, on_ready, write=write)

    def detach(self, sock: socket.socket) -> None:
        """Look at this socket no more."""
        self._loop.detach(sock)

    def adopt(self, sock: socket.socket, adoption: Adoption, owner: Owner) -> None:
        """Serve an association of ours, as `Loop.adopt` does; in the thread of `run`."""
        self._loop.adopt(sock, adoption, owner)

    def post(self, action: Callable[[], Any]) -> None:
        """Run something in the thread of `run`; from any thread."""
        self._loop.post(action)

    def expect(self, expectation: Expectation) -> None:
        """Accept the instances of a request; in the thread of `run`."""
        self._desk.expect(expectation)

    def settle(self, request: int) -> None:
        """Forget the message id of a request; in the thread of `run`."""
        self._desk.settle(request)
