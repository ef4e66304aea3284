"""The spool: instances that are acknowledged and not yet at their final path.

A name says whose instance it is, `<run>-<requests joined by + or x>-<counter>.dcm`, so that a
crash between the acknowledgement and the ledger costs nothing. `.part` is not acknowledged.
"""

import errno
import mmap
import os
import re
import threading
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path, PurePath

from pydicombatch.core.element_walk import Buffer, UnreadableError
from pydicombatch.core.errors import FatalError
from pydicombatch.core.header import of_file
from pydicombatch.core.model import Arrival, Identifiers

NAME = re.compile(r"(?P<run>[A-Za-z0-9_.]+)-(?P<requests>x|\d+(?:\+\d+)*)-(?P<count>\d+)\.dcm")
RUN = re.compile(r"[A-Za-z0-9_.]{1,64}")
PART = ".part"
LONGEST = 120  # bytes of a name that request ids may take; the ledger finds the others by UID
NOBODY = Identifiers("", "")


class Spool:
    """One directory of received instances, written by one process at a time.

    Parameters
    ----------
    directory
        Created with mode 0700 by `prepare` when it is missing.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._count = 0
        self._lock = threading.Lock()

    def prepare(self) -> None:
        """Create the directory, and remove what was never acknowledged.

        Raises
        ------
        FatalError
            If the directory cannot be written.
        """
        try:
            self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            with suppress(OSError):  # FAT and some network file systems know no modes
                self.directory.chmod(0o700)
            sync_directory(self.directory.parent)  # or a power cut takes the spool as a whole
            for part in self.directory.glob("*" + PART):
                part.unlink(missing_ok=True)
            counts = (int(found["count"]) for _, found in self._complete())
            self._count = max(counts, default=0)
        except OSError as exc:
            raise FatalError(
                f"The spool in the state directory cannot be written ({type(exc).__name__})",
                "Make state.directory writable for this user",
            ) from exc

    def write(self, run: str, requests: tuple[int, ...], pieces: Iterable[Buffer]) -> PurePath:
        """Make an instance durable and return its name; only then may it be acknowledged.

        Parameters
        ----------
        run
            Identity of the run: letters, digits, `_` and `.`.
        requests
            Ledger ids of the requests it belongs to.
        pieces
            The file, in order.

        Raises
        ------
        OSError
            If it cannot be kept; nothing of it is left behind then.
        """
        final = self.directory / self._name(run, requests)
        part = final.with_name(final.name + PART)
        try:
            _write(part, pieces)
            part.rename(final)
            sync_directory(self.directory)
        except BaseException:
            part.unlink(missing_ok=True)
            final.unlink(missing_ok=True)
            raise
        return PurePath(final.name)

    def path(self, name: PurePath) -> Path:
        """Return where an instance lies."""
        return self.directory / name.name

    def discard(self, name: PurePath) -> None:
        """Remove an instance; nothing happens when it is not there."""
        self.path(name).unlink(missing_ok=True)

    def leftovers(self) -> list[Arrival]:
        """Return what an earlier run acknowledged and did not finish, oldest first.

        One that cannot be read any more has empty identifiers, and is to be quarantined.
        """
        found = sorted(self._complete(), key=lambda one: (one[1]["run"], int(one[1]["count"])))
        return [_arrival(path, name["requests"]) for path, name in found]

    def _complete(self) -> Iterator[tuple[Path, re.Match[str]]]:
        for path in self.directory.iterdir():
            name = NAME.fullmatch(path.name)
            if name and path.is_file() and not path.is_symlink():
                yield path, name

    def _name(self, run: str, requests: tuple[int, ...]) -> str:
        if not RUN.fullmatch(run):
            raise ValueError("the identity of a run is made of letters, digits, _ and .")
        with self._lock:
            self._count += 1
            count = self._count
        ids = "+".join(map(str, requests)) or "x"
        if len(ids) > LONGEST:
            ids = ids[: ids.rindex("+", 0, LONGEST)]
        return f"{run}-{ids}-{count:08d}.dcm"


def sync_directory(directory: Path) -> None:
    """Make the names in a directory durable, where the file system can."""
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    except OSError as exc:
        if exc.errno not in {errno.EINVAL, errno.ENOTSUP, errno.EBADF, errno.ENOSYS}:
            raise
    finally:
        os.close(handle)


def _write(path: Path, pieces: Iterable[Buffer]) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(handle, "wb", buffering=0) as file:
        with suppress(OSError):  # a umask may have taken the owner's rights too; FAT has none
            os.fchmod(file.fileno(), 0o600)
        for piece in pieces:
            view = memoryview(piece)
            while view:  # a write may be short: a signal, a nearly full disk
                view = view[file.write(view) :]
        os.fsync(file.fileno())


def _arrival(path: Path, requests: str) -> Arrival:
    size = path.stat().st_size
    identifiers, syntax = identify(path)
    numbers = () if requests == "x" else tuple(map(int, requests.split("+")))
    return Arrival(PurePath(path.name), identifiers, syntax, size, numbers)


def identify(path: Path) -> tuple[Identifiers, str]:
    """Return identifiers and transfer syntax of a file; all empty when it cannot be read."""
    try:
        with (
            path.open("rb") as file,
            mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data,
        ):
            header = of_file(data)
    except (UnreadableError, ValueError, OSError):
        return NOBODY, ""
    return header.identifiers, header.transfer_syntax_uid
