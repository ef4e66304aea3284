"""What became of attempts and requests, each statement inside a transaction of its caller."""

import sqlite3
from datetime import datetime

from pydicombatch.core.model import Answer, Outcome, Tally
from pydicombatch.core.records import Folded, Result
from pydicombatch.ledger import selections

RECOUNT = """
UPDATE request SET
    stored = (SELECT count(*) FROM request_instance WHERE request = ?1),
    bytes = (SELECT coalesce(sum(size), 0) FROM request_instance
             JOIN instance ON instance.id = instance WHERE request = ?1),
    quarantined = (
        SELECT count(DISTINCT sop_instance_uid)
        FROM quarantine_request JOIN quarantine USING (file) WHERE request = ?1
        AND sop_instance_uid NOT IN (SELECT sop_instance_uid FROM instance)  -- came well later
    )
WHERE id = ?1
"""
FINISH = """
UPDATE request SET
    outcome = ?, status = ?, expected = ?, failed = ?, matches = ?,
    attempt = ?, answered = keys, seconds = ?, reason = ?, remedy = ?, comment = ?, finished_at = ?,
    evidence = ?, tries = 0, due = NULL,
    finished = (SELECT coalesce(max(finished), 0) + 1 FROM request)
WHERE id = ?
"""
STALE = "INSERT OR REPLACE INTO meta VALUES ('results_stale', 'true')"
CORRECT = """
UPDATE request SET outcome = 'complete', reason = '', remedy = ''
WHERE id = :request AND quarantined = 0 AND (
    -- an archive that broke off has not counted all there is (PS3.4 C.4.2.1.5)
    (outcome IN ('partial', 'failed') AND coalesce(status, 0) IN (0x0000, 0xB000)
        AND expected > 0 AND stored >= expected AND evidence <> 'instances')
    -- where each instance is known by its UID, it is these that must have come
    OR (outcome IN ('partial', 'failed') AND evidence = 'instances'
        AND EXISTS (SELECT 1 FROM missing WHERE request = :request)
        AND NOT EXISTS (
            SELECT 1 FROM missing WHERE request = :request AND sop_instance_uid NOT IN (
                SELECT sop_instance_uid
                FROM request_instance JOIN instance ON instance.id = instance
                WHERE request = :request)))
    OR (outcome = 'empty' AND stored > 0)
)
"""
INTERRUPT = "UPDATE attempt SET ended = ?, reason = ? WHERE id = ?"
END_ATTEMPT = """
UPDATE attempt SET ended = ?, status = ?, completed = ?, failed = ?, received = ?, reason = ?
WHERE id = ?
"""


def postpone(
    db: sqlite3.Connection,
    request: int,
    attempt: int,
    tries: int,
    due: datetime,
    reason: str,
    now: datetime,
) -> None:
    """Record that an attempt has failed, and when the next one may leave."""
    db.execute(INTERRUPT, (now.isoformat(), reason, attempt))
    sql = "UPDATE request SET tries = ?, due = ? WHERE id = ?"
    db.execute(sql, (tries, due.isoformat(), request))


def correct(db: sqlite3.Connection, request: int, now: datetime) -> None:
    """Let an instance that came after the verdict count: what was partial may be complete now."""
    finished = db.execute("SELECT outcome FROM request WHERE id = ?", (request,)).fetchone()
    if not finished or finished[0] is None:
        return  # its verdict is still to come
    recount(db, request)
    db.execute(CORRECT, {"request": request})
    selections.fold_again(db, request, now)
    db.execute(STALE)  # the row in the results file is written again


def recount(db: sqlite3.Connection, request: int) -> None:
    """Count what is stored and quarantined for a request."""
    db.execute(RECOUNT, (request,))


def finish(
    db: sqlite3.Connection, request: int, attempt: int, result: Result, now: datetime
) -> list[Folded]:
    """Write the outcome of a request; from now on the matches of this attempt count.

    Returns the rows whose last retrieve it was.
    """
    answer = result.answer
    status, tally = _response(answer)
    ended = (now.isoformat(), status, tally.sent, tally.failed, result.received, result.reason)
    db.execute(END_ATTEMPT, (*ended, attempt))
    others = "DELETE FROM match WHERE request = ? AND (attempt <> ? OR number >= ?)"
    db.execute(others, (request, attempt, result.matches))
    values = (
        result.outcome,
        status,
        result.expected,
        result.failed,
        result.matches,
        attempt,
        result.seconds,
        result.reason,
        result.remedy,
        answer.comment if answer else "",
        now.isoformat(),
        result.evidence,
        request,
    )
    db.execute("DELETE FROM missing WHERE request = ?", (request,))
    lacking = [(request, uid) for uid in result.missing]
    db.executemany("INSERT OR IGNORE INTO missing VALUES (?, ?)", lacking)
    db.execute(FINISH, values)
    recount(db, request)
    if result.outcome is not Outcome.EMPTY:
        db.execute(CORRECT, {"request": request})  # some came after they had been counted
    return selections.fold_after(db, request, now)


def _response(answer: Answer | None) -> tuple[int | None, Tally]:
    return (answer.status, answer.tally) if answer else (None, Tally())
