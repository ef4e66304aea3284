"""The output directory as handles: no name in it is followed out of it (openat, O_NOFOLLOW)."""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from pydicombatch.core.errors import FatalError

DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
PIECE = 1 << 20  # bytes
MOST_KEPT = 20_000  # directories that are remembered
UNSUPPORTED = frozenset({errno.EINVAL, errno.ENOTSUP, errno.EBADF, errno.ENOSYS})
REMEDIES = {
    errno.ENOSPC: ("is on a full disk", "Free some space, then run the same command again"),
    errno.EDQUOT: ("is over its quota", "Free some space, then run the same command again"),
    errno.EROFS: ("is on a read-only file system", "Make it writable, then run again"),
    errno.EACCES: ("cannot be written by this user", "Give this user the right to write there"),
    errno.EPERM: ("cannot be written by this user", "Give this user the right to write there"),
    errno.ENOENT: ("is gone", "Mount or create it again, then run the same command"),
    errno.ENOTDIR: (
        "has a file or a link where a directory is needed",
        "Move what does not belong to this extraction out of it",
    ),
    errno.ELOOP: (
        "has a link where a directory is needed",
        "Move what does not belong to this extraction out of it",
    ),
}


def create(directory: Path, what: str = "output.directory") -> None:
    """Create a directory, and what is missing above it, for its owner alone; durably.

    Parameters
    ----------
    directory
        Nothing happens when it is there.
    what
        What an error calls it.

    Raises
    ------
    FatalError
        If it cannot be created.
    """
    try:
        make_private(directory)
    except OSError as exc:
        raise fatal(exc, what) from exc


def fatal(exc: OSError, what: str) -> FatalError:
    """Turn an error of the file system into a sentence without any path."""
    symbol = errno.errorcode.get(exc.errno or 0, type(exc).__name__)
    default = (f"cannot be used ({symbol})", "Check its disk, then run the same command again")
    problem, remedy = REMEDIES.get(exc.errno or 0, default)
    return FatalError(f"{what} {problem}", remedy)


class Tree:
    """A directory below which every name is opened in its parent.

    Parameters
    ----------
    root
        It may be reached through links; nothing below it may.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._device = -1
        self._kept: set[tuple[int, str]] = set()  # inode and name in it that is durable

    def anchor(self) -> int:
        """Remember which file system the root is on, and return it."""
        self._device = self._root.stat().st_dev
        return self._device

    @contextmanager
    def opened(self, directories: PurePosixPath) -> Iterator[int]:
        """Open a directory, creating what is missing with mode 0700, durably.

        Yields
        ------
        int
            The handle of the innermost directory.

        Raises
        ------
        OSError
            If a component is a link or a file, or the root is not what it was: an empty mount
            point is not the disk that was mounted there.
        """
        handle = os.open(self._root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            if os.fstat(handle).st_dev != self._device:
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
            for name in directories.parts:
                inner = self._enter(handle, name)
                os.close(handle)
                handle = inner
            yield handle
        finally:
            os.close(handle)

    def _enter(self, parent: int, name: str) -> int:
        place = os.fstat(parent).st_ino, name
        try:
            inner = os.open(name, DIRECTORY, dir_fd=parent)
        except FileNotFoundError:
            self._kept.discard(place)  # first, for those who find it from now on
            with suppress(FileExistsError):  # another thread was faster
                os.mkdir(name, 0o700, dir_fd=parent)
            with suppress(OSError):  # a umask may have taken the owner's rights too
                os.chmod(name, 0o700, dir_fd=parent)
            inner = os.open(name, DIRECTORY, dir_fd=parent)
        try:
            self._keep(parent, place)
        except BaseException:
            os.close(inner)
            raise
        return inner

    def _keep(self, parent: int, place: tuple[int, str]) -> None:
        """Make the name of a directory durable, once: its maker may not have come so far."""
        if place in self._kept:
            return
        sync(parent)
        if len(self._kept) >= MOST_KEPT:
            self._kept.clear()
        self._kept.add(place)


def sync(handle: int) -> None:
    """Make the names in a directory durable, where the file system can."""
    try:
        os.fsync(handle)
    except OSError as exc:
        if exc.errno not in UNSUPPORTED:
            raise


def make_private(directory: Path) -> None:
    """Create a directory and its parents with mode 0700, whatever the umask; durably."""
    missing = [one for one in (directory, *directory.parents) if not one.exists()]
    for one in reversed(missing):
        one.mkdir(mode=0o700, exist_ok=True)
        with suppress(OSError):  # some network and FAT file systems know no modes
            one.chmod(0o700)
        _sync_parent(one)


def sync_path(directory: Path) -> None:
    """Make the names in a directory durable."""
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        sync(handle)
    finally:
        os.close(handle)


def _sync_parent(directory: Path) -> None:
    """Make a directory's own name durable: all that is durable in it would be lost without."""
    try:
        handle = os.open(directory.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except PermissionError:
        return  # one may be allowed to make a name where one may not list the names
    try:
        sync(handle)
    finally:
        os.close(handle)


def is_file(handle: int, name: str) -> bool:
    """Whether there is a regular file, itself and not through a link, of this name."""
    try:
        return stat.S_ISREG(os.stat(name, dir_fd=handle, follow_symlinks=False).st_mode)
    except OSError:
        return False


def same_bytes(one: BinaryIO, other: BinaryIO) -> bool:
    """Whether two open files hold the same, compared piece by piece."""
    if os.path.sameopenfile(one.fileno(), other.fileno()):
        return True
    if os.fstat(one.fileno()).st_size != os.fstat(other.fileno()).st_size:
        return False
    while piece := one.read(PIECE):
        if piece != other.read(PIECE):
            return False
    return True
