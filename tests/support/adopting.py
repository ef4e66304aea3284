"""An association of ours on which a hand-made archive stores, served by a receiver."""

import select
import socket
import struct
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType

from pydicombatch.backends.dimse.command import Tag, encode
from pydicombatch.backends.dimse.fragments import split
from pydicombatch.core.adoption import Adoption, Returned
from pydicombatch.core.model import Origin
from pydicombatch.receive.process.parent import ProcessReceiver
from tests.support import hand_made as raw
from tests.support.receiving import Heard

GET, MESSAGE = 1, 1  # presentation context of the C-GET, and its message id
ORIGIN = Origin("ARCHIVE", "archive", "OURS", MESSAGE)
STORAGE = {3: (raw.CT, raw.EXPLICIT)}


def get_response(
    status: int,
    data: bytes | None = None,
    counts: Mapping[Tag, int] = MappingProxyType({}),
    message_id: int = MESSAGE,
) -> bytes:
    """Return a C-GET response (PS3.7 9.3.3.2)."""
    fields: dict[Tag, int | str] = {
        Tag.FIELD: 0x8010,
        Tag.RESPONDED_TO: message_id,
        Tag.DATA_SET_TYPE: 0x0101 if data is None else 1,
        Tag.STATUS: status,
        **counts,
    }
    return split(GET, encode(fields), data, 0)


class Lent:
    """Both ends of a connection, and the receiver's line about it."""

    def __init__(self, heard: Heard, adoption: Adoption, *, tcp: bool = True) -> None:
        assert isinstance(heard.receiver, ProcessReceiver)
        self.archive, self.ours = _connected() if tcp else socket.socketpair()
        self.archive.settimeout(20)
        self.ours.settimeout(20)
        self.signs = 0
        self.adopted = heard.receiver.adopt(self.ours.fileno(), adoption)

    def send(self, data: bytes) -> None:
        self.archive.sendall(data)

    def status(self) -> int:
        """Return the status of the next C-STORE response."""
        kind, length = struct.unpack(">BxI", _exactly(self.archive, 6))
        assert kind == 4
        return raw.status_of(_exactly(self.archive, length))

    def store(self, data: bytes, instance: str = raw.UID, message_id: int = 7) -> int:
        self.send(raw.store(data, instance=instance, message_id=message_id))
        return self.status()

    def hear(self, seconds: float = 20.0) -> Returned | None:
        """Listen until the association is given back; None: it was not, in so many seconds."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            if not select.select([self.adopted], [], [], left)[0]:
                return None
            returned = self.adopted.hear()
            if returned is not None:
                return returned
            self.signs += 1
        return None

    def returned(self) -> Returned:
        found = self.hear()
        assert found is not None
        return found

    def close(self) -> None:
        self.adopted.close()
        self.archive.close()
        self.ours.close()


@contextmanager
def lent(
    heard: Heard,
    *,
    known: frozenset[str] = frozenset(),
    storage: Mapping[int, tuple[str, str]] = STORAGE,
    message_id: int = MESSAGE,
    tcp: bool = True,
) -> Iterator[Lent]:
    """Have a new connection served."""
    origin = Origin(ORIGIN.calling_aet, ORIGIN.address, ORIGIN.originator_aet, message_id)
    about = storage, frozenset({GET, 5}), GET, message_id, 131072, 0, origin, known
    one = Lent(heard, Adoption(*about), tcp=tcp)
    try:
        yield one
    finally:
        one.close()


def _connected() -> tuple[socket.socket, socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        ours = socket.create_connection(listener.getsockname()[:2])
        archive, _ = listener.accept()
    for one in (ours, archive):
        one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return archive, ours


def _exactly(sock: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        more = sock.recv(size - len(data))
        assert more, "the receiver has hung up"
        data += more
    return data
