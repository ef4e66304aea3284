"""Whom an instance belongs to that comes when nobody waits for it any more."""

import sqlite3

from pydicombatch.core.attribution import ATTRIBUTABLE
from pydicombatch.core.model import Identifiers

RETAINED = """
WITH named (keyword, value) AS (VALUES {})
SELECT request FROM named CROSS JOIN asked USING (keyword, value)  -- CROSS: in this order
WHERE at >= ?
GROUP BY request HAVING count(DISTINCT keyword) = max(keywords)
ORDER BY request
"""


def retained(db: sqlite3.Connection, instance: Identifiers, since: str) -> tuple[int, ...]:
    """Find the requests, sent since then, all of whose keys name this instance."""
    pairs = [
        (keyword, value)
        for keyword, attribute in ATTRIBUTABLE.items()
        if (value := getattr(instance, attribute))
    ]
    if not pairs:
        return ()
    sql = RETAINED.format(", ".join(["(?, ?)"] * len(pairs)))
    values = [text for pair in pairs for text in pair]
    return tuple(row[0] for row in db.execute(sql, [*values, since]))
