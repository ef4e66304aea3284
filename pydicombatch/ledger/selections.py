"""Rows that were looked up, and their retrieves; statements inside a transaction of the caller."""

import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any

from pydicombatch.core.folding import fold
from pydicombatch.core.model import Key, Outcome
from pydicombatch.core.records import Folded, Pending, Retrieve, Selected

NOBODY = 0  # owner of a retrieve that no row selects any more
UPSERT = """
INSERT INTO request (identity, line, owner, keys, carried, run) VALUES (?1, ?2, ?3, ?4, '[]', ?5)
ON CONFLICT (identity) DO UPDATE SET
    line = coalesce(min(line, excluded.line), excluded.line),
    owner = iif(owner = 0, excluded.owner, owner),
    run = excluded.run,
    outcome = iif(outcome = 'complete', outcome, NULL),
    finished = iif(outcome = 'complete', finished, NULL)
RETURNING id
"""
RETRIEVES = """
SELECT id, line, identity, keys, attempts, tries, due, owner, instances
FROM selected JOIN request ON id = request
WHERE row = ? AND outcome IS NULL ORDER BY number
"""
IDENTITIES = "SELECT identity FROM selected JOIN request ON id = request WHERE row = ?"
ROWS_OF = """
SELECT row FROM selected JOIN request ON id = row WHERE request = ? AND (outcome IS NULL) = ?
"""
OPEN = "SELECT 1 FROM request WHERE owner = ? AND outcome IS NULL LIMIT 1"
OPEN_OF_OTHERS = """
SELECT 1 FROM selected JOIN request ON id = request WHERE row = ? AND outcome IS NULL LIMIT 1
"""
SUMS = """
SELECT coalesce(sum(coalesce(expected, instances)), 0), count(coalesce(expected, instances)),
    sum(stored), sum(failed), sum(quarantined), sum(bytes), sum(coalesce(seconds, 0)), count(*),
    max(attempt)
FROM selected JOIN request ON id = request WHERE row = ?
"""
OUTCOMES = """
SELECT outcome, count(*) FROM selected JOIN request ON id = request WHERE row = ? GROUP BY 1
"""
FIRST_BAD = """
SELECT status, reason, remedy FROM selected JOIN request ON id = request
WHERE row = ? AND outcome <> 'complete' ORDER BY number LIMIT 1
"""
ANY_STATUS = "SELECT max(status) FROM selected JOIN request ON id = request WHERE row = ?"
FOLD = """
UPDATE request SET
    outcome = ?, status = ?, expected = ?, stored = ?, failed = ?, quarantined = ?, bytes = ?,
    seconds = ?, matches = ?, reason = ?, remedy = ?, answered = keys, comment = '',
    attempt = coalesce((SELECT max(id) FROM attempt WHERE attempt.request = request.id), ?),
    finished = coalesce(finished, (SELECT coalesce(max(finished), 0) + 1 FROM request)),
    finished_at = ?
WHERE id = ?
"""
LINES = """
UPDATE request SET line = (
    SELECT min(named.line) FROM selected JOIN request AS named ON named.id = selected.row
    WHERE selected.request = request.id
) WHERE owner IS NOT NULL
"""
# A retrieve that brought nothing contradicts the query before it: its row asks for it again.
EMPTY_AGAIN = """
UPDATE request SET outcome = NULL, finished = NULL, run = ?1
WHERE owner IS NOT NULL AND outcome = 'empty' AND id IN (
    SELECT selected.request FROM selected JOIN request AS named ON named.id = selected.row
    WHERE named.run = ?1 AND named.outcome IS NULL AND named.attempt IS NOT NULL
)
"""
LISTED = """
SELECT request.line, retrieve.keys, modality, instances, shown, selected.row, number
FROM request JOIN selected ON selected.row = request.id
JOIN request AS retrieve ON retrieve.id = selected.request
WHERE (request.line, number) > (?, ?) ORDER BY request.line, number LIMIT 500
"""
# For an estimate: how large instances of a modality are here.
SIZES = """
SELECT modality, count(*), sum(size) FROM selected
JOIN request_instance ON request_instance.request = selected.request
JOIN instance ON instance.id = instance WHERE modality <> '' GROUP BY modality
"""


def choose(
    db: sqlite3.Connection,
    run: int,
    row: int,
    attempt: int | None,
    retrieves: Sequence[Retrieve],
    now: datetime,
) -> list[Folded]:
    """Write what a row means and the retrieves that gives; return the row if all are decided."""
    at = now.isoformat()
    if attempt is not None:
        db.execute("UPDATE attempt SET ended = ? WHERE id = ?", (at, attempt))
    forget(db, row)
    db.execute("INSERT INTO selection VALUES (?, ?)", (row, at))
    (line,) = db.execute("SELECT line FROM request WHERE id = ?", (row,)).fetchone()
    for number, one in enumerate(retrieves, start=1):
        keys = json.dumps([[key.path, key.value] for key in one.keys])
        (request,) = db.execute(UPSERT, (one.identity, line, row, keys, run)).fetchone()
        shown = json.dumps(dict(one.shown))
        values = (row, number, request, one.modality, one.instances, shown)
        db.execute("INSERT INTO selected VALUES (?, ?, ?, ?, ?, ?)", values)
    again = "UPDATE request SET outcome = NULL, finished = NULL, run = ? WHERE id = ?"
    db.execute(again, (run, row))
    return fold_open(db, [row], now)


def follow(
    db: sqlite3.Connection,
    run: int,
    rows: Iterable[tuple[int, Sequence[Retrieve]]],
    now: datetime,
) -> None:
    """Make a plan what rows mean, and forget what every other row means."""
    planned: dict[int, dict[str, Retrieve]] = {}
    for line, several in rows:
        (row,) = db.execute("SELECT request FROM batch WHERE line = ?", (line,)).fetchone()
        planned.setdefault(row, {}).update((one.identity, one) for one in several)
    for (row,) in db.execute("SELECT row FROM selection").fetchall():
        if row not in planned:
            forget(db, row)
    for row, named in planned.items():
        if set(named) != {identity for (identity,) in db.execute(IDENTITIES, (row,))}:
            choose(db, run, row, None, tuple(named.values()), now)


def forget(db: sqlite3.Connection, row: int) -> None:
    """Forget what a row means; retrieves that no other row has are not carried out any more."""
    before = [
        found for (found,) in db.execute("SELECT request FROM selected WHERE row = ?", (row,))
    ]
    db.execute("DELETE FROM selected WHERE row = ?", (row,))
    db.execute("DELETE FROM selection WHERE row = ?", (row,))
    for request in before:
        other = "SELECT row FROM selected WHERE request = ? LIMIT 1"
        found = db.execute(other, (request,)).fetchone()
        sql = "UPDATE request SET owner = ?, line = iif(?, line, NULL) WHERE id = ?"
        db.execute(sql, (found[0] if found else NOBODY, found is not None, request))


def forget_unfinished(db: sqlite3.Connection) -> None:
    """Forget what rows mean that are not done: the rules have changed."""
    sql = """SELECT row FROM selection JOIN request ON id = row
        WHERE outcome IS NULL OR outcome NOT IN ('complete', 'empty')"""
    for (row,) in db.execute(sql).fetchall():
        forget(db, row)


def is_selected(db: sqlite3.Connection, row: int) -> bool:
    """Tell whether a row was looked up already."""
    return db.execute("SELECT 1 FROM selection WHERE row = ?", (row,)).fetchone() is not None


def retrieves(db: sqlite3.Connection, row: int) -> tuple[Pending, ...]:
    """Return the retrieves of a row that are not decided."""
    found = db.execute(RETRIEVES, (row,))
    return tuple(
        Pending(
            number, line, identity, _keys(keys), attempts, tries, _moment(due), owner, instances
        )
        for number, line, identity, keys, attempts, tries, due, owner, instances in found
    )


def fold_after(db: sqlite3.Connection, request: int, now: datetime) -> list[Folded]:
    """Decide the rows whose last retrieve this was."""
    fold_again(db, request, now)
    rows = [row for (row,) in db.execute(ROWS_OF, (request, True)).fetchall()]
    return fold_open(db, rows, now)


def fold_again(db: sqlite3.Connection, request: int, now: datetime) -> None:
    """Decide finished rows anew: an instance came late for one of their retrieves."""
    for (row,) in db.execute(ROWS_OF, (request, False)).fetchall():
        if not _is_open(db, row):
            _fold(db, row, now)


def fold_open(db: sqlite3.Connection, rows: Sequence[int], now: datetime) -> list[Folded]:
    """Decide those of these rows that wait for no retrieve any more."""
    return [_fold(db, row, now) for row in rows if not _is_open(db, row)]


def selected(row: tuple[Any, ...]) -> Selected:
    """Make a value of a row of `listed`."""
    line, keys, modality, instances, shown = row[:5]
    return Selected(line, _keys(keys), modality, instances, tuple(json.loads(shown).items()))


def sizes(db: sqlite3.Connection) -> Iterator[tuple[str, int, int]]:
    """Go through modality, instances stored, and their bytes."""
    yield from db.execute(SIZES).fetchall()


def _is_open(db: sqlite3.Connection, row: int) -> bool:
    if db.execute(OPEN, (row,)).fetchone():  # the usual case, by an index
        return True
    return db.execute(OPEN_OF_OTHERS, (row,)).fetchone() is not None


def _fold(db: sqlite3.Connection, row: int, now: datetime) -> Folded:
    counts = {Outcome(name): count for name, count in db.execute(OUTCOMES, (row,))}
    expected, told, stored, failed, quarantined, size, seconds, total, attempt = db.execute(
        SUMS, (row,)
    ).fetchone()
    outcome = fold(counts)
    (status,) = db.execute(ANY_STATUS, (row,)).fetchone()
    reason = remedy = ""
    bad = db.execute(FIRST_BAD, (row,)).fetchone()
    if bad:
        status = bad[0] if bad[0] is not None else status
        reason, remedy = _why(total - counts.get(Outcome.COMPLETE, 0), total, bad[1]), bad[2]
    values = (
        outcome.value, status, expected if told else None, stored or 0, failed or 0,
        quarantined or 0, size or 0, seconds or 0.0, total, reason, remedy, attempt,
        now.isoformat(), row,
    )  # fmt: skip
    db.execute(FOLD, values)
    (line,) = db.execute("SELECT line FROM request WHERE id = ?", (row,)).fetchone()
    return Folded(row, line, outcome, total, stored or 0, reason)


def _why(bad: int, total: int, reason: str) -> str:
    if total == 1:
        return reason
    return f"{bad} of {total} retrieves are not complete; the first of them: {reason}"


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


def _keys(text: str) -> tuple[Key, ...]:
    return tuple(Key(path, value) for path, value in json.loads(text))
