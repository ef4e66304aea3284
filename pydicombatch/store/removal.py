"""Ends the life of files in the state directory."""

import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from pydicombatch.store import tree

WHAT = "state.directory"
DAY = 86_400.0  # seconds


@dataclass(frozen=True, slots=True)
class Removed:
    """How much was removed."""

    files: int = 0
    bytes: int = 0

    def __add__(self, other: "Removed") -> "Removed":
        return Removed(self.files + other.files, self.bytes + other.bytes)


def remove(paths: Iterable[Path]) -> Removed:
    """Remove files, durably; links as links, directories not at all.

    Raises
    ------
    FatalError
        If one cannot be removed.
    """
    total = Removed()
    folders: set[Path] = set()
    try:
        for path in paths:
            if path.is_dir() and not path.is_symlink():
                continue
            size = path.lstat().st_size
            path.unlink()
            folders.add(path.parent)
            total += Removed(1, size)
        for folder in folders:
            tree.sync_path(folder)
    except OSError as exc:
        raise tree.fatal(exc, WHAT) from exc
    return total


def within(directory: Path, pattern: str = "*") -> list[Path]:
    """Return what lies in a directory; nothing when it is not there."""
    return sorted(directory.glob(pattern)) if directory.is_dir() else []


def older(paths: Iterable[Path], days: float, now: float | None = None) -> list[Path]:
    """Return the files that were put where they are more than so many days ago.

    A hard link's own moment is its inode's last change of status, which linking is.

    Parameters
    ----------
    now
        Seconds since 1970; the system's time if not given.
    """
    limit = (time.time() if now is None else now) - days * DAY
    return [path for path in paths if path.lstat().st_ctime < limit]
