"""The engine's end of the channel to one process of the receiver, and what was said there."""

import contextlib
import os
import select
import selectors
import signal
import socket
import threading
from collections.abc import Callable, Iterable

from pydicombatch.core.adoption import Adoption
from pydicombatch.receive.process import wire
from pydicombatch.receive.process.session import Session

_READ_SIZE = 1 << 18


class Channel:
    """Sends from any thread; all else belongs to the one who reads.

    Parameters
    ----------
    sock
        Our end of a socket pair.
    """

    def __init__(self, sock: socket.socket) -> None:
        self.socket = sock
        self.pid = self.port = 0  # known when it is ready; the port of the one that listens
        self.synced = 0  # the last number that is in force
        self.refused = 0  # instances that nothing asked for
        self.full = False  # nothing is taken: the spool's file system is below its floor
        self.adopted = 0  # associations of ours that it serves; about, as nobody holds a lock
        self.closed = False  # it has said everything
        self._lines = wire.Lines()
        self._sending = threading.Lock()

    def send(self, message: wire.Message) -> None:
        """Tell something; a process that is gone needs to hear nothing."""
        with self._sending, contextlib.suppress(OSError):
            self.socket.sendall(wire.encode(message))

    def adopt(self, connection: int, adoption: Adoption) -> Session:
        """Have an association of ours served; `connection` is its descriptor.

        Raises
        ------
        OSError
            If the process is gone.
        """
        ours, theirs = socket.socketpair()
        message = wire.encode({"adopt": wire.pack_adoption(adoption)})
        try:
            with theirs, self._sending:
                descriptors = [connection, theirs.fileno()]
                sent = socket.send_fds(self.socket, [message], descriptors)
                self.socket.sendall(message[sent:])
        except BaseException:
            ours.close()
            raise
        self.adopted += 1
        return Session(ours, self._left)

    def _left(self) -> None:
        self.adopted -= 1

    def read(self) -> list[wire.Message]:
        """Return what was said since the last time.

        Raises
        ------
        OSError, ValueError, EOFError
            If the process is gone, or not itself any more.
        """
        data = self.socket.recv(_READ_SIZE)
        if not data:
            raise EOFError
        return self._lines.take(data)

    def hang_up(self) -> None:
        """Tell that nothing follows; the process ends for it."""
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_WR)

    def outlive(self, seconds: float) -> None:
        """Wait until the process is gone; end it if it does not go in so many seconds."""
        gone = select.poll()
        gone.register(self.socket, 0)  # both ends hung up: nobody has the other any more
        if not gone.poll(seconds * 1000) and self.pid:
            with contextlib.suppress(OSError):
                os.kill(self.pid, signal.SIGKILL)
            gone.poll(seconds * 1000)


def hear_all(channels: Iterable[Channel], act: Callable[[Channel, wire.Message], None]) -> None:
    """Act on what is said, until none has more to say.

    Raises
    ------
    OSError, ValueError, EOFError
        If a process is gone, or not itself any more.
    """
    with selectors.DefaultSelector() as selector:
        for channel in channels:
            selector.register(channel.socket, selectors.EVENT_READ, channel)
        while selector.get_map():
            for key, _ in selector.select():
                for message in key.data.read():
                    act(key.data, message)
                if key.data.closed:
                    selector.unregister(key.fileobj)
