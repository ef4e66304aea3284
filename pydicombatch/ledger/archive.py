"""Puts a ledger away, so that an extraction begins anew without forgetting the old one."""

import sqlite3
from contextlib import closing, suppress
from datetime import datetime
from pathlib import Path

from pydicombatch.core.errors import FatalError

NAME = "ledger.sqlite"
PARTS = ("", "-wal", "-shm")  # SQLite finds the last two by the name of the first


def put_away(state: Path, now: datetime) -> Path | None:
    """Rename the ledger of a state directory after the time; return its new name, None if none.

    Raises
    ------
    FatalError
        If it cannot be renamed.
    """
    if not (state / NAME).exists():
        return None
    name = f"ledger-{now:%Y%m%dT%H%M%S%f}.sqlite"
    _fold_in(state / NAME)
    try:
        for part in reversed(PARTS):  # the ledger itself last: it is there until all is done
            if (state / f"{NAME}{part}").exists():
                (state / f"{NAME}{part}").rename(state / f"{name}{part}")
    except OSError as exc:
        raise FatalError(
            f"The old ledger cannot be put away ({type(exc).__name__})",
            "Check the permissions of the state directory",
        ) from exc
    return state / name


def _fold_in(ledger: Path) -> None:
    """Bring the write-ahead log into the ledger; a damaged one is put away as it is."""
    with suppress(sqlite3.Error), closing(sqlite3.connect(ledger)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
