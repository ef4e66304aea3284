"""What was stored when, and what it is: sums that are kept as instances come.

Ten million instances are too many to be counted anew for a report. Every sum is over instances
that are stored for the first time; one that was moved away and came again counts once.
"""

import sqlite3
from collections import Counter
from collections.abc import Sequence
from datetime import datetime

from pydicombatch.core.model import Stored
from pydicombatch.core.records import Minute, RunRecord, Share, Statistics, Timing
from pydicombatch.core.traits import Traits

ADD_TO_TOTAL = """
UPDATE total SET
    instances = instances + ?, bytes = bytes + ?, collisions = collisions + ?
"""
ADD_MINUTE = """
INSERT INTO minute VALUES (?, ?, ?) ON CONFLICT (at) DO UPDATE SET
    instances = instances + excluded.instances, bytes = bytes + excluded.bytes
"""
ADD_SERIES = """
INSERT INTO series VALUES (?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (study, series) DO UPDATE SET instances = instances + excluded.instances
"""
SHARES = """
SELECT {0}, count(DISTINCT study), count(*), sum(instances) FROM series GROUP BY {0} ORDER BY {0}
"""
KINDS = ("modality", "year", "sex", "age")
TIMING = """
SELECT batch.line, request.bytes, request.finished_at
FROM batch JOIN request ON request.id = batch.request WHERE request.finished_at NOTNULL
"""


def count(db: sqlite3.Connection, stored: Sequence[Stored], now: datetime) -> None:
    """Add instances that are new to the sums."""
    if not stored:
        return
    total = sum(one.size for one in stored)
    collisions = sum(one.collided for one in stored)
    db.execute(ADD_TO_TOTAL, (len(stored), total, collisions))
    db.execute(ADD_MINUTE, (now.isoformat(timespec="minutes"), len(stored), total))
    kinds = Counter(one.traits for one in stored)
    rows = [(*_series(kind), number) for kind, number in kinds.items() if kind is not None]
    db.executemany(ADD_SERIES, rows)


def _series(kind: Traits) -> tuple[str, ...]:
    return kind.study, kind.series, kind.modality, kind.year, kind.sex, kind.age


def read(db: sqlite3.Connection) -> Statistics:
    """Return all sums."""
    minutes = db.execute("SELECT at, instances, bytes FROM minute ORDER BY at").fetchall()
    runs = db.execute("SELECT started, ended, exit_code FROM run ORDER BY id").fetchall()
    shares = {
        kind: tuple(Share(*row) for row in db.execute(SHARES.format(kind)).fetchall())
        for kind in KINDS
    }
    return Statistics(
        tuple(Minute(datetime.fromisoformat(at), number, size) for at, number, size in minutes),
        tuple(
            RunRecord(datetime.fromisoformat(begun), ended and datetime.fromisoformat(ended), code)
            for begun, ended, code in runs
        ),
        **shares,
    )


def timing(db: sqlite3.Connection) -> dict[int, Timing]:
    """Return for every finished line how much it brought and when it finished."""
    rows = db.execute(TIMING).fetchall()
    return {line: Timing(size, datetime.fromisoformat(at)) for line, size, at in rows}
