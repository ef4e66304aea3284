"""Whether what was stored is still there, byte for byte, and nothing else beside it."""

import os
import stat
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from hashlib import file_digest
from pathlib import Path


class Finding(StrEnum):
    """What is odd about a file."""

    MISSING = "missing"
    CHANGED = "changed"
    UNREADABLE = "unreadable"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Recorded:
    """A file as the ledger holds it."""

    path: str  # below the output directory, with forward slashes
    size: int  # bytes
    sha256: str  # hex


def compare(root: Path, recorded: Iterable[Recorded]) -> Iterator[tuple[Recorded, Finding | None]]:
    """Read every recorded file again; None when it is as it was.

    Parameters
    ----------
    root
        The output directory.
    recorded
        Files of the ledger.
    """
    for one in recorded:
        yield one, _look(root / one.path, one)


def unknown(
    root: Path, is_known: Callable[[str], bool], leave_out: Iterable[Path]
) -> Iterator[str]:
    """Find `.dcm` files below the root that the ledger does not hold.

    Parameters
    ----------
    root
        The output directory.
    is_known
        Tells whether a path, below the root with forward slashes, is in the ledger.
    leave_out
        Directories that are not looked into, such as the state directory.
    """
    hidden = {path.absolute() for path in leave_out}
    for folder, folders, files in os.walk(root):
        place = Path(folder)
        folders[:] = sorted(name for name in folders if (place / name).absolute() not in hidden)
        for name in sorted(files):
            path = (place / name).relative_to(root).as_posix()
            if name.endswith(".dcm") and not is_known(path):
                yield path


def _look(path: Path, one: Recorded) -> Finding | None:
    try:
        with path.open("rb") as file:
            found = os.fstat(file.fileno())
            if not stat.S_ISREG(found.st_mode) or found.st_size != one.size:
                return Finding.CHANGED
            same = file_digest(file, "sha256").hexdigest() == one.sha256
            return None if same else Finding.CHANGED
    except (FileNotFoundError, NotADirectoryError):
        return Finding.MISSING
    except OSError:
        return Finding.UNREADABLE
