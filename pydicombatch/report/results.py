"""The CSV of results on disk: a projection of the ledger that can be cut off anywhere."""

import csv
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any, Protocol, TextIO

from pydicombatch.core.errors import FatalError
from pydicombatch.core.records import Entry
from pydicombatch.report.rows import Cells

PLACE = "results"  # name in the ledger: how far the file goes
STALE = "results_stale"
BEHIND = 1 << 62  # place of a request that has left the batch file
PIECE = 1 << 20  # bytes read at a time
ODD = "backslashreplace"  # a lone surrogate is no reason to stop
MakeRows = Callable[[Entry], Iterable[Cells]]


@dataclass(frozen=True, slots=True)
class Reach:
    """How far the file goes."""

    number: int = 0  # the last finished request in it, in the order of finishing
    line: int = 0  # of the batch file: whose rows stand last
    ordered: bool = True  # whether the rows stand in the order of the batch file
    size: int = 0  # bytes


class Digest(Protocol):
    """A running digest, as `hashlib` makes them."""

    def update(self, data: bytes, /) -> None:
        """Take more bytes in."""


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
    style
        How cells are written; a file of another style is written anew.

    Raises
    ------
    FatalError
        From every call, if the file cannot be written.
    """

    def __init__(
        self, path: Path, header: Cells, rows: MakeRows, ledger: ResultsLedger, style: str = ""
    ) -> None:
        self._style = style
        self._path = path
        self._unfinished = path.with_name(f"{path.name}.part")
        self._header = header
        self._rows = rows
        self._ledger = ledger
        self._reach = Reach()
        self._digest = sha256()  # of the file as far as it goes

    def open(self) -> None:
        """Make the file say what the ledger says."""
        with _translated():  # here alone: a directory that vanishes later is not made anew
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._unfinished.unlink(missing_ok=True)  # of a run that was cut off
        place = self._ledger.meta(PLACE)
        continues = self._continues(place)
        if not continues and (place is None or place["digest"]):
            with _translated():  # "" is ours: a rewrite of it was cut off
                self._keep_foreign(place)
        if self._ledger.meta(STALE) or not continues:
            self._write_anew()
        else:
            self.update()

    def update(self) -> None:
        """Append what has finished since."""
        reach = self._reach
        if not self._path.is_file() or self._path.stat().st_size < reach.size:
            self._write_anew()  # somebody has moved it away or cut it
            return
        with _translated(), self._path.open("r+", encoding="utf-8", errors=ODD, newline="") as file:
            file.truncate(reach.size)  # what a failed attempt has left
            file.seek(0, os.SEEK_END)
            for entry in self._ledger.finished_after(reach.number):
                reach = self._append(file, entry, reach)
            if reach.number != self._reach.number:
                self._settle(file, reach)

    def close(self) -> None:
        """Append what is left, and put the rows in order."""
        self.update()
        if self._ledger.meta(STALE) or not self._reach.ordered:
            self._write_anew()

    def _append(self, file: TextIO, entry: Entry, reach: Reach) -> Reach:
        csv.writer(file).writerows(self._rows(entry))
        line = BEHIND if entry.line is None else entry.line
        number = max(reach.number, entry.finished or 0)
        return Reach(number, line, reach.ordered and line >= reach.line, reach.size)

    def _write_anew(self) -> None:
        """Replace the file as a whole; it is never seen half written."""
        reach = Reach()
        self._remember(reach, "")  # from here on the old file is none to go on with
        self._ledger.set_meta(STALE, value=False)
        with _translated():
            self._unfinished.unlink(missing_ok=True)
            with _private(self._unfinished) as file:
                csv.writer(file).writerow(self._header)
                for entry in self._ledger.results():
                    reach = self._append(file, entry, reach)
                file.flush()
                os.fsync(file.fileno())
                self._unfinished.replace(self._path)
                self._digest = sha256()
                self._settle(file, replace(reach, ordered=True))

    def _settle(self, file: TextIO, reach: Reach) -> None:
        """Make what was written durable, then let the ledger know."""
        file.flush()
        os.fsync(file.fileno())
        size = os.fstat(file.fileno()).st_size
        digest = self._digest.copy()
        _add(digest, self._path, reach.size, size)
        reach = replace(reach, size=size)
        self._remember(reach, digest.hexdigest())
        self._reach, self._digest = reach, digest

    def _remember(self, reach: Reach, digest: str) -> None:
        place = {
            "path": str(self._path),
            "header": self._header,
            "style": self._style,
            "digest": digest,
        }
        self._ledger.set_meta(PLACE, place | asdict(reach))

    def _continues(self, place: dict[str, Any] | None) -> bool:
        """Whether the file on disk is the one that the ledger knows, with the same columns."""
        if place is None or place["path"] != str(self._path) or not self._path.is_file():
            return False
        if tuple(place["header"]) != self._header or place["style"] != self._style:
            return False
        reach = Reach(place["number"], place["line"], place["ordered"], place["size"])
        digest = sha256()
        with _translated():
            _add(digest, self._path, 0, reach.size)
        self._reach, self._digest = reach, digest
        return bool(digest.hexdigest() == place["digest"])

    def _is_ours(self, place: dict[str, Any]) -> bool:
        """Whether the file begins with what we wrote, whatever its columns are to be now."""
        if place["path"] != str(self._path) or not self._path.is_file():
            return False
        digest = sha256()
        _add(digest, self._path, 0, place["size"])
        return bool(digest.hexdigest() == place["digest"])

    def _keep_foreign(self, place: dict[str, Any] | None) -> None:
        """Move a file of an earlier extraction, or one that somebody has changed, aside."""
        if not self._path.exists() or (place is not None and self._is_ours(place)):
            return
        if not self._path.is_file():
            raise FatalError(
                "The results CSV has the name of something that is no file",
                "Set output.database_file to a name of its own",
            )
        number = 1
        while (kept := self._path.with_name(f"{self._path.name}.{number}")).exists():
            number += 1
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
    return os.fdopen(descriptor, "w", encoding="utf-8", errors=ODD, newline="")


def _add(digest: Digest, path: Path, start: int, end: int) -> None:
    """Add the bytes of a part of a file to a digest."""
    with path.open("rb") as file:
        file.seek(start)
        while start < end and (piece := file.read(min(PIECE, end - start))):
            digest.update(piece)
            start += len(piece)
