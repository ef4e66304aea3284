"""Where no hard link can be made: a durable copy, and a name for it that nobody else has."""

import errno
import os
import shutil
from contextlib import suppress
from pathlib import Path

from pydicombatch.core import page_cache

# hard links: another file system, none at all, too many of one file, or forbidden
NO_LINKS = frozenset(
    {errno.EXDEV, errno.EPERM, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EMLINK, errno.ENOSYS}
)


def copy_durably(source: Path, target: Path) -> None:
    """Copy into a new file of mode 0600 and make its content durable."""
    handle = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(handle, "wb") as file, source.open("rb") as original:
        with suppress(OSError):
            os.fchmod(file.fileno(), 0o600)
        shutil.copyfileobj(original, file, 1 << 20)
        file.flush()
        os.fsync(file.fileno())
    page_cache.forget(target)


def take(directory: int, name: str) -> bool:
    """Hold a name by an empty file; False when it is taken."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    try:
        os.close(os.open(name, flags, 0o600, dir_fd=directory))
    except FileExistsError:
        return False
    return True


def rename(scratch: Path, directory: int, name: str) -> None:
    """Give a name that is held to a file; let it go where that fails."""
    try:
        os.replace(scratch, name, dst_dir_fd=directory)
    except BaseException:
        with suppress(OSError):
            os.unlink(name, dir_fd=directory)
        raise
