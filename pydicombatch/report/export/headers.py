"""The elements of one stored file; only its beginning is read."""

import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from mmap import ACCESS_READ, mmap
from pathlib import Path

from pydicom.filereader import dcmread

from pydicombatch.core import elements
from pydicombatch.core.excerpt import Excerpt, UnreadableError, plain
from pydicombatch.core.grammar import steps

MISSING, CHANGED, UNREADABLE = "missing", "changed", "unreadable"
BEGINNING = 1 << 15  # bytes; headers of most images are shorter
Cells = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Wanted:
    """One instance of the ledger."""

    path: str  # below the output directory
    size: int  # bytes, as it was stored
    sha256: str  # hexadecimal, as it was stored


@dataclass(frozen=True, slots=True)
class Row:
    """One instance: its cells, or why there are none."""

    path: str
    cells: Cells
    finding: str = ""  # MISSING, CHANGED or UNREADABLE


class Reader:
    """Reads the same elements of many files.

    Parameters
    ----------
    root
        The output directory.
    paths
        Canonical paths of elements (`core.elements`).
    """

    def __init__(self, root: Path, paths: Sequence[str]) -> None:
        self._root = root
        self._paths = tuple(paths)
        self._tags = [steps(path)[0].tag for path in paths]
        self._excerpt = Excerpt(self._paths) if plain(paths) else None

    def read(self, wanted: Wanted) -> Row:
        """Return the cells of one file; one that is not as it was stored has none."""
        path = f"{self._root}/{wanted.path}"
        try:
            # O_NONBLOCK: should a pipe lie there, nobody would ever open its other end
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
            try:
                if os.fstat(descriptor).st_size != wanted.size:
                    return Row(wanted.path, (), CHANGED)
                return Row(wanted.path, self._cells(descriptor, wanted.size))
            finally:
                os.close(descriptor)
        except (FileNotFoundError, NotADirectoryError):
            return Row(wanted.path, (), MISSING)
        except OSError:
            return Row(wanted.path, (), UNREADABLE)
        except Exception:  # noqa: BLE001 - of the same size, but no instance
            return Row(wanted.path, (), CHANGED)

    def _cells(self, descriptor: int, size: int) -> Cells:
        if self._excerpt is not None:
            with suppress(UnreadableError):  # more of it may be needed
                beginning = os.pread(descriptor, BEGINNING, 0)
                return self._excerpt.of_beginning(beginning, whole=len(beginning) == size)
            with suppress(UnreadableError), mmap(descriptor, 0, access=ACCESS_READ) as data:
                return self._excerpt.of_file(data)
        return self._by_pydicom(descriptor)

    def _by_pydicom(self, descriptor: int) -> Cells:
        with open(descriptor, "rb", closefd=False) as file:
            dataset = dcmread(file, stop_before_pixels=True, specific_tags=list(self._tags))
            return tuple(elements.read(dataset, one) for one in self._paths)
