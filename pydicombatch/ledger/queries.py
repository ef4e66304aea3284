"""What can be asked of the ledger."""

import json
import sqlite3
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any, TypeVar

from pydicombatch.core.model import Key, Outcome
from pydicombatch.core.records import (
    Counts,
    Entry,
    Holding,
    Pending,
    Selected,
    Statistics,
    Timing,
)
from pydicombatch.ledger import selections, statistics

T = TypeVar("T")
Run = Callable[[Callable[[sqlite3.Connection], Any]], Any]
PAGE = 500  # rows read at a time, so that memory stays flat

NEXT = """
SELECT id, line, identity, keys, attempts, tries, due FROM request
WHERE line > ? AND run = ? AND outcome IS NULL AND owner IS NULL
ORDER BY line LIMIT ?
"""
ENTRY = """
SELECT id, request.line, keys, carried, outcome, status, expected, stored, failed, quarantined,
    matches, attempt, attempts, seconds, reason, remedy, finished, evidence,
    (SELECT count(*) FROM missing WHERE missing.request = request.id) FROM request
"""
# Requests that left the batch file keep their rows when they brought something.
BROUGHT = "(line IS NOT NULL OR stored > 0 OR matches > 0)"
BY_FINISH = ENTRY + f"WHERE finished > ? AND owner IS NULL AND {BROUGHT} ORDER BY finished LIMIT ?"
BY_LINE = ENTRY + (
    "WHERE finished IS NOT NULL AND owner IS NULL AND line > ? ORDER BY line LIMIT ?"
)
LEFT = (
    ENTRY
    + f"WHERE finished IS NOT NULL AND owner IS NULL AND line IS NULL AND {BROUGHT} AND id > ? "
    "ORDER BY id LIMIT ?"
)
LINES = ENTRY.replace("SELECT", "SELECT batch.line,", 1).replace(
    "FROM request", "FROM batch JOIN request ON request.id = batch.request"
)
LINES += "WHERE batch.line > ? ORDER BY batch.line LIMIT ?"
COUNTS = """
SELECT coalesce(outcome, 'pending'), count(*)
FROM batch JOIN request ON request.id = batch.request GROUP BY 1
"""
TOTALS = """
SELECT instances, bytes,
    (SELECT coalesce(sum(matches), 0) FROM request WHERE outcome IS NOT NULL),
    (SELECT count(*) FROM quarantine), collisions FROM total
"""


STORED = """
SELECT sop_instance_uid FROM request_instance JOIN instance ON instance.id = instance
WHERE request = ?
"""
ASIDE = """
SELECT sop_instance_uid FROM quarantine_request JOIN quarantine USING (file) WHERE request = ?
"""
MISSING = """
SELECT request.line, sop_instance_uid FROM missing JOIN request ON request.id = missing.request
WHERE (request.line, sop_instance_uid) > (?, ?) AND request.line IS NOT NULL
    AND outcome NOT IN ('complete', 'empty')
ORDER BY 1, 2 LIMIT ?
"""


class Queries:
    """Read access; every answer is a frozen value."""

    def __init__(self, run: Run) -> None:
        self._run = run

    def _all(self, sql: str, values: tuple[object, ...] = ()) -> list[Any]:
        rows: list[Any] = self._run(lambda db: db.execute(sql, values).fetchall())
        return rows

    def digests(self) -> dict[str, str]:
        """Return what decided the result so far, by name; empty for a new ledger."""
        return dict(self._all("SELECT name, value FROM digest"))

    def meta(self, name: str) -> Any:  # noqa: ANN401 - whatever was put in
        """Return the value remembered under a name, None when there is none."""
        rows = self._all("SELECT value FROM meta WHERE name = ?", (name,))
        return json.loads(rows[0][0]) if rows else None

    def last_message_id(self) -> int:
        """Return the message id of the last C-MOVE, 0 when there was none."""
        sql = "SELECT message_id FROM attempt WHERE message_id NOTNULL ORDER BY id DESC LIMIT 1"
        rows = self._all(sql)
        return int(rows[0][0]) if rows else 0

    def next(self, run: int, after: int, limit: int) -> list[Pending]:
        """Return the first requests selected for a run behind a line of the batch file."""
        rows = self._all(NEXT, (after, run, limit))
        return [_pending(row) for row in rows]

    def finished_after(self, number: int) -> Iterator[Entry]:
        """Go through the requests in the order in which they finished, behind a running number."""
        while rows := self._all(BY_FINISH, (number, PAGE)):
            yield from map(entry_of, rows)
            number = entry_of(rows[-1]).finished or number

    def results(self) -> Iterator[Entry]:
        """Go through the finished requests in the order of the batch file."""
        line = number = 0
        while rows := self._all(BY_LINE, (line, PAGE)):
            yield from map(entry_of, rows)
            line = rows[-1][1]
        while rows := self._all(LEFT, (number, PAGE)):
            yield from map(entry_of, rows)
            number = rows[-1][0]

    def lines(self) -> Iterator[tuple[int, Entry]]:
        """Go through every line of the batch file with the request behind it."""
        line = 0
        while rows := self._all(LINES, (line, PAGE)):
            for row in rows:
                yield row[0], entry_of(row[1:])
            line = rows[-1][0]

    def matches(self, entry: Entry) -> Iterator[tuple[str, ...]]:
        """Go through the matches of a request, cells in the order of its keys."""
        number = -1
        place = self._places(entry)
        sql = (
            "SELECT number, cells FROM match "
            "WHERE request = ? AND attempt = ? AND number > ? ORDER BY number LIMIT ?"
        )
        while rows := self._all(sql, (entry.id, entry.attempt, number, PAGE)):
            for _, text in rows:
                cells = json.loads(text)
                yield tuple("" if at is None else cells[at] for at in place)
            number = rows[-1][0]

    def _places(self, entry: Entry) -> list[int | None]:
        """Tell where the cell of each key stands: columns may have changed places since."""
        rows = self._all("SELECT coalesce(answered, '[]') FROM request WHERE id = ?", (entry.id,))
        at = {path: place for place, (path, _) in enumerate(json.loads(rows[0][0]))}
        return [at.get(key.path) for key in entry.keys]

    def instances(self) -> Iterator[tuple[str, int, str]]:
        """Go through what is stored: path, size in bytes, SHA-256 in hexadecimal."""
        number = 0
        sql = "SELECT id, path, size, sha256 FROM instance WHERE id > ? ORDER BY id LIMIT ?"
        while rows := self._all(sql, (number, PAGE)):
            for _, path, size, digest in rows:
                yield path, size, digest.hex()
            number = rows[-1][0]

    def holds(self, path: str) -> bool:
        """Tell whether an instance is stored at a path."""
        return bool(self._all("SELECT 1 FROM instance WHERE path = ? LIMIT 1", (path,)))

    def retrieves(self, row: int) -> tuple[Pending, ...] | None:
        """Return the retrieves of a row that are not decided; None if it was not looked up."""

        def read(db: sqlite3.Connection) -> tuple[Pending, ...] | None:
            return selections.retrieves(db, row) if selections.is_selected(db, row) else None

        found: tuple[Pending, ...] | None = self._run(read)
        return found

    def selected(self) -> Iterator[Selected]:
        """Go through what the rows of the batch file mean, in its order."""
        place = (0, 0)
        while rows := self._all(selections.LISTED, place):
            yield from map(selections.selected, rows)
            place = (rows[-1][0], rows[-1][-1])

    def sizes(self) -> list[tuple[str, int, int]]:
        """Return, by modality, how many instances are stored and how large they are together."""
        found: list[tuple[str, int, int]] = self._run(lambda db: list(selections.sizes(db)))
        return found

    def holding(self, request: int) -> Holding:
        """Return what lies here for a request, and how often it was sent."""
        return self._run(lambda db: _holding(db, request))  # type: ignore[no-any-return]

    def evidence(self) -> dict[str, int]:
        """Count the lines that have an outcome by what it rests on."""
        sql = """SELECT evidence, count(*) FROM batch JOIN request ON request.id = batch.request
            WHERE outcome NOTNULL GROUP BY 1"""
        return dict(self._all(sql))

    def missing(self) -> Iterator[tuple[int, str]]:
        """Go through what the archive lists and has not sent: line, SOP Instance UID."""
        place: tuple[int, str] = (0, "")
        while rows := self._all(MISSING, (*place, PAGE)):
            yield from rows
            place = rows[-1]

    def statistics(self) -> Statistics:
        """Return what was stored when, and what it is."""
        found: Statistics = self._run(statistics.read)
        return found

    def timing(self) -> dict[int, Timing]:
        """Return for every finished line how much it brought and when it finished."""
        found: dict[int, Timing] = self._run(statistics.timing)
        return found

    def counts(self) -> Counts:
        """Count lines by outcome, and what is stored."""
        by_outcome = tuple((name, count) for name, count in self._all(COUNTS))
        lines = sum(count for _, count in by_outcome)
        return Counts(lines, by_outcome, *self._all(TOTALS)[0])


def _keys(text: str) -> tuple[Key, ...]:
    return tuple(Key(path, value) for path, value in json.loads(text))


def _pending(row: Any) -> Pending:  # noqa: ANN401 - a row of SQLite
    number, line, identity, keys, attempts, tries, due = row
    moment = datetime.fromisoformat(due) if due else None
    return Pending(number, line, identity, _keys(keys), attempts, tries, moment)


def _holding(db: sqlite3.Connection, request: int) -> Holding:
    sql = "SELECT attempts FROM request WHERE id = ?"
    (attempts,) = db.execute(sql, (request,)).fetchone()
    stored = frozenset(uid for (uid,) in db.execute(STORED, (request,)))
    aside = frozenset(uid for (uid,) in db.execute(ASIDE, (request,)))
    return Holding(attempts, stored, aside - stored)


def entry_of(row: Any) -> Entry:  # noqa: ANN401 - a row of SQLite
    """Make a request of a row of `ENTRY`."""
    number, line, keys, carried, outcome, *rest = row
    pairs = tuple((name, cell) for name, cell in json.loads(carried))
    return Entry(number, line, _keys(keys), pairs, Outcome(outcome) if outcome else None, *rest)
