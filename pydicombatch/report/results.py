"""The CSV of results on disk: a projection of the ledger that can be cut off anywhere."""

import csv
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Protocol, TextIO

from pydicombatch.core.errors import FatalError
from pydicombatch.core.records import Entry
from pydicombatch.report.rows import Cells

PLACE = "results"  # name in the ledger: how far the file goes
STALE = "results_stale"
BEHIND = 1 << 62  # place of a request that has left the batch file
MakeRows = Callable[[Entry], Iterable[Cells]]


class ResultsLedger(Protocol):
    """What the file is made from."""

    def finished_after(self, number: int) -> Iterator[Entry]:
        """Go through the requests in the order of finishing."""

    def results(self) -> Iterator[Entry]:
        """Go through the finished requests in the order of the batch file."""

    def meta(self, name: str) -> Any:  # noqa: ANN401 - whatever was put in
        """Return a remembered value, None when there is none."""

    def set_meta(self, name: str, value: object) -> None:
        """Remember a value."""


class ResultsFile:
    """Grows while requests finish; in the end its rows stand in the order of the batch file.

    What was written without the ledger knowing is cut off at the next start, so that every row
    appears exactly once whenever the program was killed.

    Parameters
    ----------
    path
        The CSV file; an older one that is not ours is kept under another name.
    header
        Column names.
    rows
        Makes the rows of a finished request.
    ledger
        Where requests and the file's own place are kept.

    Raises
    ------
    FatalError
        From every call, if the file cannot be written.
    """

    def __init__(self, path: Path, header: Cells, rows: MakeRows, ledger: ResultsLedger) -> None:
        self._path = path
        self._header = header
        self._rows = rows
        self._ledger = ledger
        self._number = 0
        self._line = 0
        self._ordered = True

    def open(self) -> None:
        """Make the file say what the ledger says."""
        place = self._ledger.meta(PLACE)
        if self._ledger.meta(STALE) or not self._continues(place):
            if place is None:
                self._keep_foreign()
            self._write_anew()
        else:
            self._number, self._line = place["number"], place["line"]
            self._ordered = place["ordered"]
            with _translated():
                os.truncate(self._path, place["size"])
            self.update()

    def update(self) -> None:
        """Append what has finished since."""
        number = self._number
        with _translated(), self._path.open("a", encoding="utf-8", newline="") as file:
            for entry in self._ledger.finished_after(self._number):
                self._append(file, entry)
            if self._number != number:
                self._settle(file)

    def close(self) -> None:
        """Append what is left, and put the rows in order."""
        self.update()
        if self._ledger.meta(STALE) or not self._ordered:
            self._write_anew()

    def _append(self, file: TextIO, entry: Entry) -> None:
        csv.writer(file).writerows(self._rows(entry))
        line = BEHIND if entry.line is None else entry.line
        self._ordered = self._ordered and line >= self._line
        self._line = line
        self._number = max(self._number, entry.finished or 0)

    def _write_anew(self) -> None:
        """Replace the file as a whole; it is never seen half written."""
        self._number, self._line = 0, 0
        self._ledger.set_meta(STALE, value=False)
        temporary = self._path.with_name(self._path.name + ".part")
        with _translated():
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            temporary.unlink(missing_ok=True)
            with _private(temporary) as file:
                csv.writer(file).writerow(self._header)
                for entry in self._ledger.results():
                    self._append(file, entry)
                file.flush()
                os.fsync(file.fileno())
                self._ordered = True
                temporary.replace(self._path)
                self._settle(file)

    def _settle(self, file: TextIO) -> None:
        """Make what was written durable, then let the ledger know."""
        file.flush()
        os.fsync(file.fileno())
        place = {
            "path": str(self._path),
            "header": self._header,
            "number": self._number,
            "line": self._line,
            "ordered": self._ordered,
            "size": os.fstat(file.fileno()).st_size,
        }
        self._ledger.set_meta(PLACE, place)

    def _continues(self, place: dict[str, Any] | None) -> bool:
        """Whether the file on disk is the one that the ledger knows, with the same columns."""
        if place is None or place["path"] != str(self._path):
            return False
        if tuple(place["header"]) != self._header or not self._path.is_file():
            return False
        return self._path.stat().st_size >= int(place["size"])

    def _keep_foreign(self) -> None:
        """Move a file of an earlier extraction, or of another program, aside."""
        if not self._path.exists():
            return
        number = 1
        while (kept := self._path.with_name(f"{self._path.name}.{number}")).exists():
            number += 1
        with _translated():
            self._path.rename(kept)


class _translated:  # noqa: N801 - reads as a verb where it is used
    """Turns an error of the file system into one with a remedy."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, exc: BaseException | None, trace: object) -> None:
        if isinstance(exc, OSError):
            raise FatalError(
                f"The results CSV cannot be written ({type(exc).__name__})",
                "Check output.database_file, its directory and the free space, and start again",
            ) from exc


def _private(path: Path) -> TextIO:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    return os.fdopen(descriptor, "w", encoding="utf-8", newline="")
