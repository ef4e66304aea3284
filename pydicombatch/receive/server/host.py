"""The loop, as one of its connections sees it."""

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from pydicombatch.receive.server.connection import Connection


class Host(Protocol):
    """The loop, as a connection sees it."""

    buffer: memoryview
    reads: int  # that a connection may do in one turn
    held: int  # bytes of association requests that are half received

    def watch(self, connection: "Connection", *, read: bool, write: bool) -> None:
        """Call `on_ready` when the socket can be read or written."""

    def count(self, size: int) -> None:
        """Note that bytes were read."""

    def is_keeping(self, connection: "Connection") -> bool:
        """Whether what it sent last is being made durable, by others than itself."""

    def leave(self, connection: "Connection") -> None:
        """Forget a connection that has closed its socket."""
