"""What pynetdicom 3.0.4 needs told about an association, as handlers of its events."""

import socket
import threading
from typing import Any

from pynetdicom import evt
from pynetdicom.association import Association
from pynetdicom.dsutils import encode


def send_at_once(event: evt.Event) -> None:
    """Switch off Nagle's algorithm: a small message would wait 40 ms for an acknowledgement."""
    connection = getattr(event.assoc.dul.socket, "socket", None)
    if connection is not None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def name_originator(event: evt.Event, calling_aet: str) -> None:
    """Put the title of who asked for the C-MOVE into a C-STORE-RQ (PS3.7 9.1.1.1).

    pynetdicom names its own side of the C-MOVE instead.
    """
    command: Any = event.message.command_set
    if "MoveOriginatorApplicationEntityTitle" not in command:
        return
    command.MoveOriginatorApplicationEntityTitle = calling_aet
    del command.CommandGroupLength
    # The command set is always Implicit VR Little Endian (PS3.7 6.3.1)
    command.CommandGroupLength = len(
        encode(command, is_implicit_vr=True, is_little_endian=True) or b""
    )


def park_reactor(event: evt.Event) -> None:
    """Keep the requestor's reactor from taking a response away from the sender that waits for it.

    Between two requests it wakes up, and on a busy machine it can still be awake when the next
    response arrives; nothing but the sender reads this association.
    """
    event.assoc._reactor_checkpoint = _Parked(event.assoc)  # noqa: SLF001


class _Parked(threading.Event):
    """A checkpoint that opens only to let the reactor end."""

    def __init__(self, assoc: Association) -> None:
        super().__init__()
        self._assoc = assoc

    def set(self) -> None:
        if not self._assoc.is_established or self._assoc.acse.is_aborted():
            super().set()
