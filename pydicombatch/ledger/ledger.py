"""What the engine writes: runs, requests, attempts, instances; each call is one durable commit."""

import json
import sqlite3
from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path

from pydicombatch.core.attribution import Expectation
from pydicombatch.core.model import Identifiers, Known, Match, Quarantined, Request, Stored
from pydicombatch.core.records import Folded, Result, Retrieve
from pydicombatch.ledger import late, match_limits, selections, verdicts, writes
from pydicombatch.ledger.database import Database
from pydicombatch.ledger.queries import Queries
from pydicombatch.ledger.states import Selection

KNOWN = """
SELECT sop_instance_uid, path, sha256, received_sha256 FROM instance
WHERE sop_instance_uid IN (SELECT value FROM json_each(?))
"""


class Ledger(Queries):
    """The durable state of one extraction; safe to call from every thread.

    Raises
    ------
    FatalError
        From the constructor and every call: if the file cannot be used, or the disk is full.
    """

    def __init__(self, path: Path) -> None:
        self._database = Database(path)
        super().__init__(self._database.run)

    def begin_run(self, pid: int, now: datetime) -> int:
        """Record the start of a run and return its number."""
        return self._database.run(lambda db: writes.begin_run(db, pid, now))

    def end_run(self, run: int, exit_code: int, now: datetime) -> None:
        """Record how a run ended."""
        sql = "UPDATE run SET ended = ?, exit_code = ? WHERE id = ?"
        self._database.run(lambda db: db.execute(sql, (now.isoformat(), exit_code, run)))

    def set_digests(self, digests: dict[str, str]) -> None:
        """Remember what decides the result from now on."""
        rows = list(digests.items())

        def replace(db: sqlite3.Connection) -> None:
            db.execute("DELETE FROM digest")
            db.executemany("INSERT INTO digest VALUES (?, ?)", rows)

        self._database.run(replace)

    def set_meta(self, name: str, value: object) -> None:
        """Remember a small value under a name."""
        sql = "INSERT OR REPLACE INTO meta VALUES (?, ?)"
        self._database.run(lambda db: db.execute(sql, (name, json.dumps(value))))

    def load(self, requests: Iterable[Request]) -> None:
        """Make the requests of today's batch file the current ones.

        Known requests keep what became of them; those that left the file keep it too, and are
        not carried out any more. Any error of the iterable leaves the ledger as it was.
        """
        self._database.run(lambda db: writes.load(db, requests))

    def select(self, run: int, selection: Selection, *, planned: bool = False) -> int:
        """Make the requests of a selection pending for this run; return how many they are.

        With `planned` only rows that were looked up are carried out.
        """
        return self._database.run(lambda db: writes.select(db, run, selection, planned=planned))

    def choose(
        self,
        run: int,
        row: int,
        attempt: int | None,
        retrieves: Sequence[Retrieve],
        now: datetime,
    ) -> list[Folded]:
        """Record what a row means, with the retrieves that gives, in one step.

        Returns the row itself when all of its retrieves have been decided for others already.
        """
        return self._database.run(
            lambda db: selections.choose(db, run, row, attempt, retrieves, now)
        )

    def decide(self, row: int, now: datetime) -> list[Folded]:
        """Decide a row that was looked up, if none of its retrieves is pending."""
        return self._database.run(lambda db: selections.fold_open(db, [row], now))

    def follow(
        self, run: int, rows: Iterable[tuple[int, Sequence[Retrieve]]], now: datetime
    ) -> None:
        """Make a reviewed plan what the rows mean: lines of the batch file with their retrieves."""
        self._database.run(lambda db: selections.follow(db, run, rows, now))

    def forget_selections(self) -> None:
        """Look all rows up again that are not done: what is selected has changed."""
        self._database.run(selections.forget_unfinished)

    def start_attempt(
        self, run: int, request: int, now: datetime, expectation: Expectation | None = None
    ) -> int:
        """Record that a request leaves now, and what it asks for; return the attempt's number."""
        return self._database.run(
            lambda db: writes.start_attempt(db, run, request, now, expectation)
        )

    def record(
        self, stored: Sequence[Stored], quarantined: Sequence[Quarantined], now: datetime
    ) -> None:
        """Record what became of arrivals, all or none."""
        self._database.run(lambda db: writes.record(db, stored, quarantined, now))

    def interrupt(self, attempt: int, now: datetime, reason: str) -> None:
        """Record that an attempt came to nothing; its request stays pending."""
        values = (now.isoformat(), reason, attempt)
        self._database.run(lambda db: db.execute(verdicts.INTERRUPT, values))

    def postpone(
        self, request: int, attempt: int, tries: int, due: datetime, reason: str, now: datetime
    ) -> None:
        """Record that an attempt has failed, the n-th in a row, and when the next may leave."""
        self._database.run(
            lambda db: verdicts.postpone(db, request, attempt, tries, due, reason, now)
        )

    def resent(self, attempt: int, message_id: int) -> None:
        """Record that an attempt goes on with another C-MOVE."""
        sql = "UPDATE attempt SET message_id = ? WHERE id = ?"
        self._database.run(lambda db: db.execute(sql, (message_id, attempt)))

    def stage(self, request: int, attempt: int, first: int, matches: Sequence[Match]) -> None:
        """Put matches of a query that still runs aside, numbered from `first`."""
        self._database.run(lambda db: writes.stage(db, request, attempt, first, matches))

    def finish(self, request: int, attempt: int, result: Result, now: datetime) -> list[Folded]:
        """Record the outcome of a request; the matches staged by this attempt are its own.

        Returns the rows that are decided with it: those whose last retrieve it was.
        """
        return self._database.run(lambda db: verdicts.finish(db, request, attempt, result, now))

    def found_limits(self, limits: dict[str, int], reason: str, remedy: str) -> int:
        """Remember limits on matches; return how many queries are truncated after all."""
        return self._database.run(match_limits.found(limits, reason, remedy))

    def known_limits(self) -> dict[str, int]:
        """Return the limits on matches that earlier runs found, by level."""
        return dict(self.meta(match_limits.KNOWN) or {})

    def known(self, sop_instance_uids: Sequence[str]) -> dict[str, Known]:
        """Return what is stored under these SOP Instance UIDs."""
        uids = json.dumps(sop_instance_uids)
        rows = self._database.read(lambda db: db.execute(KNOWN, (uids,)).fetchall())
        return {uid: Known(path, now.hex(), (then or b"").hex()) for uid, path, now, then in rows}

    def owner(self, stored_uid: str) -> str | None:
        """Return the original SOP Instance UID of the file that has this anonymized one."""
        sql = "SELECT sop_instance_uid FROM instance WHERE stored_uid = ?"
        row = self._database.run(lambda db: db.execute(sql, (stored_uid,)).fetchone())
        return str(row[0]) if row else None

    def retained(self, instance: Identifiers, since: datetime | None = None) -> tuple[int, ...]:
        """Return the requests, sent since then (None: ever), all of whose keys name this."""
        moment = "" if since is None else since.isoformat()
        return self._database.read(lambda db: late.retained(db, instance, moment))

    def close(self) -> None:
        """Finish what is queued and close the file."""
        self._database.close()
