"""The statements behind the ledger, each inside a transaction of its caller."""

import json
import sqlite3
from collections.abc import Iterable, Sequence
from datetime import datetime
from hashlib import sha256

from pydicombatch.core.attribution import Expectation
from pydicombatch.core.model import (
    Identifiers,
    Match,
    Quarantined,
    Request,
    RequestType,
    Stored,
)
from pydicombatch.ledger import selections, statistics
from pydicombatch.ledger.states import Selection, outcomes
from pydicombatch.ledger.verdicts import STALE, correct

UPSERT_REQUEST = """
INSERT INTO request (identity, line, keys, carried) VALUES (?1, ?2, ?3, ?4)
ON CONFLICT (identity) DO UPDATE SET
    line = coalesce(line, excluded.line),
    keys = iif(line IS NULL, excluded.keys, keys),
    carried = iif(line IS NULL, excluded.carried, carried)
RETURNING id
"""
INSERT_INSTANCE = """
INSERT INTO instance
    (path, size, sha256, collided, stored_at, stored_uid, received_sha256, sop_instance_uid)
VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (sop_instance_uid) DO NOTHING RETURNING id
"""
INSTANCE = "SELECT id, size, collided FROM instance WHERE sop_instance_uid = ?"
UPDATE_INSTANCE = """
UPDATE instance SET path = ?, size = ?, sha256 = ?, collided = ?, stored_at = ?,
    stored_uid = ?, received_sha256 = ?
WHERE sop_instance_uid = ?
"""
AGAIN = "SELECT 1 FROM request WHERE line IS NOT NULL AND outcome IN ({}) LIMIT 1"
SELECT = """
UPDATE request SET run = ?, outcome = NULL, finished = NULL
WHERE line IS NOT NULL AND ({})
"""
PLANNED = "coalesce(owner, id) IN (SELECT row FROM selection)"
ROWS_SELECTED = """
SELECT count(*) FROM request
WHERE run = ? AND line IS NOT NULL AND owner IS NULL AND outcome IS NULL
"""
# What failed before and was asked for again, but not decided, has failed before all the same.
UNTRIED, TRIED = "outcome IS NULL AND attempt IS NULL", "outcome IS NULL AND attempt IS NOT NULL"


def begin_run(db: sqlite3.Connection, pid: int, now: datetime) -> int:
    """Insert a run and return its number."""
    sql = "INSERT INTO run (started, pid) VALUES (?, ?) RETURNING id"
    return int(db.execute(sql, (now.isoformat(), pid)).fetchone()[0])


def load(db: sqlite3.Connection, requests: Iterable[Request]) -> None:
    """Make these requests the current batch."""
    digest = sha256()
    db.execute("DELETE FROM batch")
    db.execute("UPDATE request SET line = NULL WHERE line IS NOT NULL")
    for request in requests:
        keys = json.dumps([[key.path, key.value] for key in request.keys])
        carried = json.dumps(request.carried)
        values = (request.identity, request.row, keys, carried)
        number = db.execute(UPSERT_REQUEST, values).fetchone()[0]
        db.execute("INSERT INTO batch VALUES (?, ?)", (request.row, number))
        if request.type is RequestType.FIND:
            _ask_for_more(db, number, request)
        digest.update(f"{request.row} {request.identity}{carried}".encode())
    db.execute(selections.LINES)
    changed = "UPDATE meta SET value = ?1 WHERE name = 'batch' AND value <> ?1"
    if db.execute(changed, (json.dumps(digest.hexdigest()),)).rowcount:
        db.execute(STALE)  # its rows stand in another order now
    else:
        sql = "INSERT OR IGNORE INTO meta VALUES ('batch', ?)"
        db.execute(sql, (json.dumps(digest.hexdigest()),))


def _ask_for_more(db: sqlite3.Connection, number: int, request: Request) -> None:
    """Make a query pending again that was answered before elements were added to it."""
    answered = db.execute("SELECT answered FROM request WHERE id = ?", (number,)).fetchone()[0]
    if answered is None:
        return
    before = {path for path, _ in json.loads(answered)}
    if any(key.path not in before for key in request.keys):
        sql = "UPDATE request SET outcome = NULL, finished = NULL, answered = NULL WHERE id = ?"
        db.execute(sql, (number,))
        db.execute(STALE)


def select(db: sqlite3.Connection, run: int, selection: Selection, *, planned: bool = False) -> int:
    """Mark the requests of a selection; what failed before becomes pending again.

    With `planned` only rows that were looked up, and their retrieves. Retrieves come with their
    rows and are not counted.
    """
    again = outcomes(selection)
    if again and db.execute(AGAIN.format(", ".join("?" * len(again))), again).fetchone():
        db.execute(STALE)  # their rows are taken out until they have finished once more
    terms = [UNTRIED] if selection is not Selection.ONLY_FAILED else []
    if again:
        terms.append(TRIED)
        terms.append(f"outcome IN ({', '.join('?' * len(again))})")
    where = " OR ".join(terms)
    sql = SELECT.format(f"({where}) AND {PLANNED}" if planned else where)
    db.execute(sql, (run, *again))
    db.execute(selections.EMPTY_AGAIN, (run,))
    (count,) = db.execute(ROWS_SELECTED, (run,)).fetchone()
    return int(count)


def start_attempt(
    db: sqlite3.Connection, run: int, request: int, now: datetime, expectation: Expectation | None
) -> int:
    """Insert an attempt and the keys by which its instances are known."""
    db.execute("UPDATE request SET attempts = attempts + 1 WHERE id = ?", (request,))
    if expectation:
        rows = [
            (keyword, value, request, len(expectation.keys), now.isoformat())
            for keyword, values in expectation.keys
            for value in sorted(values)
        ]
        db.executemany("INSERT OR REPLACE INTO asked VALUES (?, ?, ?, ?, ?)", rows)
    sql = "INSERT INTO attempt (request, run, message_id, started) VALUES (?, ?, ?, ?) RETURNING id"
    message_id = expectation.message_id if expectation else None
    return int(db.execute(sql, (request, run, message_id, now.isoformat())).fetchone()[0])


def record(
    db: sqlite3.Connection,
    stored: Sequence[Stored],
    quarantined: Sequence[Quarantined],
    now: datetime,
) -> None:
    """Insert instances and link them to their requests; late ones correct a finished request."""
    touched: set[int] = set()
    links: list[tuple[int, int]] = []
    new: list[Stored] = []
    at = now.isoformat()
    for one in stored:
        number, is_new = _instance(db, one, at)
        links.extend((request, number) for request in one.arrival.requests)
        touched.update(one.arrival.requests)
        if is_new:
            new.append(one)
        if one.aside:
            reason = "The archive sent this instance again with other content"
            _quarantine(db, (), one.aside, one.arrival.identifiers, reason, now)
    db.executemany("INSERT OR IGNORE INTO request_instance VALUES (?, ?)", links)
    statistics.count(db, new, now)
    for each in quarantined:
        arrival = each.arrival
        _quarantine(db, arrival.requests, each.file, arrival.identifiers, each.reason, now)
        touched.update(arrival.requests)
    for request in sorted(touched):
        correct(db, request, now)


def _instance(db: sqlite3.Connection, one: Stored, at: str) -> tuple[int, bool]:
    """Insert or update an instance; return its number, and whether it is new to the ledger."""
    uid = one.arrival.identifiers.sop_instance_uid
    values = (
        one.path,
        one.size,
        bytes.fromhex(one.sha256),
        one.collided,
        at,
        one.stored_uid or None,
        bytes.fromhex(one.received_sha256) or None,
        uid,
    )
    inserted = db.execute(INSERT_INSTANCE, values).fetchone()
    if inserted:
        return int(inserted[0]), True
    number, size, collided = db.execute(INSTANCE, (uid,)).fetchone()
    if not one.duplicate:  # it was moved away and has come again
        db.execute(UPDATE_INSTANCE, values)
        change = (0, one.size - size, one.collided - collided)
        db.execute(statistics.ADD_TO_TOTAL, change)
    return int(number), False


def _quarantine(
    db: sqlite3.Connection,
    requests: Sequence[int],
    file: str,
    instance: Identifiers,
    reason: str,
    now: datetime,
) -> None:
    sql = "INSERT OR REPLACE INTO quarantine VALUES (?, ?, ?, ?)"
    db.execute(sql, (file, instance.sop_instance_uid, reason, now.isoformat()))
    links = [(request, file) for request in requests]
    db.executemany("INSERT OR IGNORE INTO quarantine_request VALUES (?, ?)", links)


def stage(
    db: sqlite3.Connection, request: int, attempt: int, first: int, matches: Sequence[Match]
) -> None:
    """Put matches aside until their attempt has decided."""
    rows = (
        (request, attempt, number, json.dumps([text for _, text in match.values]))
        for number, match in enumerate(matches, first)
    )
    db.executemany("INSERT INTO match VALUES (?, ?, ?, ?)", rows)
