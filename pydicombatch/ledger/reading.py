"""The ledger for those who only ask: no lock, no writing thread, while a run goes on or not."""

import sqlite3
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote

from pydicombatch.core.errors import FatalError
from pydicombatch.core.model import Outcome
from pydicombatch.core.records import Entry
from pydicombatch.ledger.database import VERSION, translate
from pydicombatch.ledger.queries import LINES, PAGE, Queries, entry_of

T = TypeVar("T")
FINAL = ", ".join(f"'{one.value}'" for one in Outcome if one.is_final)
UNFINISHED = LINES.replace("WHERE", f"WHERE outcome NOT IN ({FINAL}) AND")  # NULL is pending
LONGEST_WAIT = 10.0  # seconds that a reader waits for a lock


class LedgerReader(Queries):
    """Read access to a ledger that another process may be writing; safe for threads.

    Parameters
    ----------
    path
        The SQLite file; it is never made, changed or locked.

    Raises
    ------
    FatalError
        If the file is no ledger, damaged, of another version, or cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        self._lock = threading.Lock()
        self._connection = _open(path)
        super().__init__(self._ask)

    def unfinished(self) -> Iterator[tuple[int, Entry]]:
        """Go through the lines that were tried and are neither complete nor empty."""
        line = 0
        while rows := self._all(UNFINISHED, (line, PAGE)):
            for row in rows:
                yield row[0], entry_of(row[1:])
            line = rows[-1][0]

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def _ask(self, operation: Callable[[sqlite3.Connection], T]) -> T:
        try:
            with self._lock:
                return operation(self._connection)
        except sqlite3.Error as exc:
            raise translate(exc) from exc


def _open(path: Path) -> sqlite3.Connection:
    """Open for reading; where the directory cannot be written either, as a file at rest."""
    try:
        return _connect(path, "mode=ro")
    except sqlite3.Error as exc:
        if path.with_name(f"{path.name}-wal").exists():
            raise translate(exc) from exc
    try:
        return _connect(path, "mode=ro&immutable=1")
    except sqlite3.Error as exc:
        raise translate(exc) from exc


def _connect(path: Path, how: str) -> sqlite3.Connection:
    connection = sqlite3.connect(
        f"file:{quote(str(path.absolute()))}?{how}",
        uri=True,
        isolation_level=None,
        timeout=LONGEST_WAIT,
        check_same_thread=False,
    )
    try:
        version = int(connection.execute("PRAGMA user_version").fetchone()[0])
        _check(version)
        connection.execute("SELECT count(*) FROM digest").fetchone()
    except BaseException:
        connection.close()
        raise
    return connection


def _check(version: int) -> None:
    if version == VERSION:
        return
    if version > VERSION:
        raise FatalError(
            "The ledger was written by a newer version of pydicombatch",
            "Use that version again",
        )
    raise FatalError(
        "The file ledger.sqlite is no ledger of this version of pydicombatch",
        "Look whether state.directory is right; `--restart` begins anew",
    )
