"""Queries that were believed before a limit of the archive on matches showed."""

import json
import sqlite3
from collections.abc import Callable

from pydicombatch.ledger.verdicts import STALE

KNOWN = "match_limits"
TRUNCATE = """
UPDATE request SET outcome = 'truncated', reason = ?, remedy = ?
WHERE outcome = 'complete' AND matches = ?
    AND NOT EXISTS (SELECT 1 FROM selection WHERE selection.row = request.id)
"""


def found(limits: dict[str, int], reason: str, remedy: str) -> Callable[[sqlite3.Connection], int]:
    """Make the operation that remembers limits and takes back what was believed in spite of them.

    Parameters
    ----------
    limits
        Matches, by Query/Retrieve Level.
    reason, remedy
        Why a request with so many matches is not complete after all.
    """

    def write(db: sqlite3.Connection) -> int:
        sql = "INSERT OR REPLACE INTO meta VALUES (?, ?)"
        db.execute(sql, (KNOWN, json.dumps(limits)))
        rows = [(reason, remedy, count) for count in set(limits.values())]
        changed = db.executemany(TRUNCATE, rows).rowcount
        if changed:
            db.execute(STALE)
        return changed

    return write
