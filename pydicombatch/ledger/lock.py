"""One run at a time: a lock on the state directory that dies with its process."""

import fcntl
import os
from contextlib import suppress
from pathlib import Path

from pydicombatch.core.errors import FatalError, HeldError

SHARED = frozenset({"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "fuse.sshfs", "ncpfs", "afs"})


class StateLock:
    """Holds a state directory for this process (flock, not a pid file: SIGKILL releases it).

    Raises
    ------
    HeldError
        If another process holds it; names that process.
    FatalError
        If the directory cannot be made or lies on a network file system.
    """

    def __init__(self, directory: Path) -> None:
        self._descriptor = _open(directory)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as exc:
            holder = os.pread(self._descriptor, 32, 0).decode("ascii", "replace").strip()
            os.close(self._descriptor)
            raise HeldError(
                f"Another run holds this extraction (process {holder or 'unknown'})",
                "Wait for it to end, or stop it with Ctrl-C or SIGTERM",
            ) from exc
        except OSError as exc:
            os.close(self._descriptor)
            raise FatalError(
                f"The state directory cannot be locked ({type(exc).__name__})",
                "Set state.directory to a directory on a local disk",
            ) from exc
        with suppress(OSError):  # a courtesy to the second run; the disk may be full
            os.ftruncate(self._descriptor, 0)
            os.pwrite(self._descriptor, str(os.getpid()).encode(), 0)

    def release(self) -> None:
        """Let the next run in."""
        os.close(self._descriptor)


def holder(directory: Path, locks: Path = Path("/proc/locks")) -> int:
    """Return the process that holds a state directory, 0 for none; takes no lock itself.

    A lock that is tried, and let go at once, could turn away a run that starts in that moment.
    """
    try:
        written = (directory / "lock").read_text(encoding="ascii").strip()
        inode = (directory / "lock").stat().st_ino
        lines = locks.read_text(encoding="ascii").splitlines()
    except (OSError, UnicodeDecodeError):
        return 0
    for line in lines:
        # 1: FLOCK  ADVISORY  WRITE 4711 fe:00:131090 0 EOF; one that waits has an arrow (proc(5))
        _, kind, *rest = line.split()
        if kind == "FLOCK" and rest[2] == written and rest[3].rpartition(":")[2] == str(inode):
            return int(written)
    return 0


def _open(directory: Path) -> int:
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        kind = file_system(directory)
        if kind in SHARED:
            raise FatalError(
                f"The state directory lies on a network file system ({kind})",
                "Set state.directory to a directory on a local disk",
            )
        return os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as exc:
        raise FatalError(
            f"The state directory cannot be used ({type(exc).__name__})",
            "Check that output.directory and state.directory exist and are writable",
        ) from exc


def file_system(directory: Path, mounts: Path = Path("/proc/mounts")) -> str:
    """Return the type of the file system a directory lies on, "" when that cannot be told."""
    try:
        lines = mounts.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return ""
    place = directory.resolve()
    found = ("", "")
    for line in lines:
        _, point, kind, *_ = line.split(" ")
        point = point.replace("\\040", " ")
        if place.is_relative_to(point) and len(point) >= len(found[0]):
            found = (point, kind)
    return found[1]
