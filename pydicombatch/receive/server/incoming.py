"""One data set on its way from the socket to the spool, never decoded, copied once."""

import os
from collections.abc import Callable
from dataclasses import dataclass

from pydicombatch.core.file_meta import file_meta
from pydicombatch.core.log import EventLog
from pydicombatch.core.model import Identifiers, Origin
from pydicombatch.receive.server import header
from pydicombatch.receive.server.directory import SpoolDirectory
from pydicombatch.receive.upperlayer.command import SUCCESS
from pydicombatch.receive.upperlayer.events import StoreBegun

OUT_OF_RESOURCES = 0xA700  # PS3.4 B.2.3: a good archive tries again
NOT_MATCHING = 0xA900  # command and data set name different instances
NOT_UNDERSTOOD = 0xC000
NOT_AUTHORISED = 0x0124  # PS3.7 C.5.21: nobody asked for it

log = EventLog(__name__)
_MOST_VECTORS = 64  # pieces written by one call; more and smaller ones are joined first
_DELIMITER = b"\xfe\xff\xdd\xe0\0\0\0\0"  # ends encapsulated pixel data, PS3.5 A.4


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why an instance is not kept."""

    status: int
    comment: str  # our own words, at most 64 characters


MISMATCH = Refusal(NOT_MATCHING, "Command and data set name different instances")
UNREADABLE = Refusal(NOT_UNDERSTOOD, "Data set is damaged, or shorter than its own lengths")
TOO_LARGE = Refusal(OUT_OF_RESOURCES, "Instance is larger than any that is taken")
KEPT = Refusal(SUCCESS, "")  # nothing more is kept of what is kept already
EMPTY = Refusal(NOT_UNDERSTOOD, "Data set is empty")
UNSOLICITED = Refusal(NOT_AUTHORISED, "Nobody asked for this instance")
NO_ROOM = Refusal(OUT_OF_RESOURCES, "Storage is full or cannot be written")


class Incoming:
    """A data set that is being received.

    Parameters
    ----------
    begun
        What the C-STORE command said.
    origin
        Where it comes from.
    directory
        Where it goes.
    read
        Reads the first bytes, see `header.Reader`.
    consider
        Called as soon as the identifiers are known; may set `refusal` or `requests`.
    """

    def __init__(
        self,
        begun: StoreBegun,
        origin: Origin,
        directory: SpoolDirectory,
        read: Callable[[bytes, str], header.Header | None],
        consider: Callable[["Incoming"], None],
    ) -> None:
        self.command = begun.command
        self.transfer_syntax_uid = begun.transfer_syntax_uid
        self.origin = origin
        self.identifiers: Identifiers | None = None
        self.requests: tuple[int, ...] | None = None  # None: not known yet
        self.refusal: Refusal | None = None
        self.on_requests: Callable[[], None] | None = None
        self.size = 0  # bytes of the data set
        self.meta_size = 0
        self.part = ""
        self.descriptor = -1
        self._directory = directory
        self._read = read
        self._consider = consider
        self._header: header.Header | None = None
        self._next_look = 4 * header.LONGEST // 64

    @property
    def file_size(self) -> int:
        """Bytes of the spool file."""
        return self.meta_size + self.size

    def write(self, pieces: list[memoryview]) -> None:
        """Append pieces of the data set; they may be reused afterwards."""
        first = not self.size
        size = sum(map(len, pieces))
        self.size += size
        if self.refusal is not None:
            return
        try:
            if first:
                self._look(
                    bytes(pieces[0][: header.LONGEST]) if len(pieces) == 1 else _head(pieces)
                )
                if self.refusal is None:
                    self._begin(pieces, size)
            else:
                _write(self.descriptor, pieces, size)
                if self.identifiers is None and self.size >= self._next_look:
                    self._look_again()
        except OSError:
            self.refuse(NO_ROOM)

    def refuse(self, refusal: Refusal) -> None:
        """Keep nothing of it; what still comes is thrown away."""
        self.refusal = refusal
        self.discard()

    def discard(self) -> None:
        """Remove what was written."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1
            self._directory.remove(self.part)

    def decided(self, requests: tuple[int, ...]) -> None:
        """Note whose instance it is; somebody may wait for that."""
        self.requests = requests
        if self.on_requests is not None:
            self.on_requests()

    def is_whole(self) -> bool:
        """Whether the first bytes tell that the data set ends where it ended."""
        if self._header is None:
            return False
        if self.size in self._header.ends:
            return True
        if not self._header.delimited:
            return False
        size = len(_DELIMITER)
        return os.pread(self.descriptor, size, self.file_size - size) == _DELIMITER

    def inspected(self, identifiers: Identifiers, removed: int) -> None:
        """Note what a careful look has told; so many bytes of group 0002 are gone."""
        if removed:
            self.size -= removed
            log.warning("store.cleaned", reason="Group 0002 in a data set was removed")
        if self.identifiers is None:
            self.identify(identifiers)

    def identify(self, identifiers: Identifiers) -> None:
        """Compare with the command (PS3.4 B.2.2.1) and have it considered."""
        self.identifiers = identifiers
        named = (self.command.sop_class_uid, self.command.sop_instance_uid)
        if named != (identifiers.sop_class_uid, identifiers.sop_instance_uid):
            self.refuse(MISMATCH)
        else:
            self._consider(self)

    def _begin(self, pieces: list[memoryview], size: int) -> None:
        command = self.command
        meta = file_meta(command.sop_class_uid, command.sop_instance_uid, self.transfer_syntax_uid)
        self.meta_size = len(meta)
        self.part, self.descriptor = self._directory.create()
        _write(self.descriptor, [memoryview(meta), *pieces], size + len(meta))

    def _look(self, head: bytes) -> None:
        found = self._read(head, self.transfer_syntax_uid)
        if found is not None:
            self._header = found
            self.identify(found.identifiers)

    def _look_again(self) -> None:
        """Look at what small pieces have become, at 4 KiB, 16 KiB, 64 KiB; then at the end."""
        more = self._next_look < header.LONGEST
        self._next_look = self._next_look * 4 if more else 1 << 62
        self._look(os.pread(self.descriptor, header.LONGEST, self.meta_size))


def _head(pieces: list[memoryview]) -> bytes:
    head = bytearray()
    for piece in pieces:
        head += piece[: header.LONGEST - len(head)]
        if len(head) == header.LONGEST:
            break
    return bytes(head)


def _write(descriptor: int, pieces: list[memoryview], size: int) -> None:
    if len(pieces) > _MOST_VECTORS:
        pieces = [memoryview(b"".join(pieces))]
    written = os.writev(descriptor, pieces)
    if written < size:  # a signal, a nearly full disk
        rest = memoryview(b"".join(pieces))[written:]
        while rest:
            rest = rest[os.write(descriptor, rest) :]
