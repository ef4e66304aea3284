"""One SQLite connection in one thread; operations that meet there share a commit."""

import os
import queue
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from importlib import resources
from pathlib import Path
from typing import Any, TypeVar

from pydicombatch.core.errors import FatalError, PydicombatchError
from pydicombatch.core.threads import begin

T = TypeVar("T")
Operation = Callable[[sqlite3.Connection], Any]
VERSION = 2
MOST_TOGETHER = 256  # operations that share one commit
CACHE = 16_384  # KiB at most: identities and UIDs hit their index anywhere, 2 MiB are too few


class Database:
    """Serialises operations; each returns only once its transaction is on the disk.

    Parameters
    ----------
    path
        The SQLite file; made with the schema when it is missing, with mode 0600.

    Raises
    ------
    FatalError
        If the file is no ledger, damaged, of another version, or cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._jobs: queue.SimpleQueue[tuple[Operation, Future[Any]] | None] = queue.SimpleQueue()
        self._door = threading.Lock()  # nothing may queue up behind the end mark
        self._closed = False
        self._reading = threading.Lock()
        self._reader: sqlite3.Connection | None = None
        opened: Future[None] = Future()
        self._thread = threading.Thread(
            target=self._serve, args=(opened,), name="ledger", daemon=True
        )
        begin(self._thread)
        opened.result()

    def run(self, operation: Callable[[sqlite3.Connection], T]) -> T:
        """Carry out an operation inside a transaction; return its result after the commit.

        Raises
        ------
        FatalError
            If the ledger cannot be written or read, or has been closed.
        """
        future: Future[T] = Future()
        with self._door:
            if self._closed:
                raise FatalError("The ledger is closed already", "Start the run again")
            self._jobs.put((operation, future))
        return future.result()

    def read(self, operation: Callable[[sqlite3.Connection], T]) -> T:
        """Ask what is committed, without waiting for those who write.

        Raises
        ------
        FatalError
            If the ledger cannot be read, or has been closed.
        """
        with self._reading:
            if self._closed:
                raise FatalError("The ledger is closed already", "Start the run again")
            try:
                if self._reader is None:
                    self._reader = _connect_to_read(self._path)
                return operation(self._reader)
            except sqlite3.Error as exc:
                raise translate(exc) from exc

    def close(self) -> None:
        """Finish what is queued and close the file."""
        with self._door:
            if not self._closed:
                self._closed = True
                self._jobs.put(None)
        with self._reading:  # first: the last one to close puts the write-ahead log into the file
            if self._reader is not None:
                self._reader.close()
                self._reader = None
        self._thread.join()

    def _serve(self, opened: Future[None]) -> None:
        try:
            connection = connect(self._path)
        except BaseException as exc:  # noqa: BLE001 - handed to the thread that waits for it
            opened.set_exception(exc)
            return
        opened.set_result(None)
        going = True
        while going:
            going = self._commit_together(connection)
        connection.close()

    def _commit_together(self, connection: sqlite3.Connection) -> bool:
        """Take what is queued, commit it once; return whether to go on."""
        jobs, going = self._take()
        done: list[tuple[Future[Any], Any]] = []
        try:
            connection.execute("BEGIN IMMEDIATE")
            for operation, future in jobs:
                _attempt(connection, operation, future, done)
            connection.execute("COMMIT")
        except Exception as exc:  # noqa: BLE001 - whatever it is, those who wait must hear of it
            _roll_back(connection)
            for future, _ in done:
                future.set_exception(translate(exc))
            for _, future in jobs:
                if not future.done():
                    future.set_exception(translate(exc))
            return going
        for future, result in done:
            future.set_result(result)
        return going

    def _take(self) -> tuple[list[tuple[Operation, Future[Any]]], bool]:
        jobs = []
        item = self._jobs.get()
        while item is not None:
            jobs.append(item)
            if len(jobs) == MOST_TOGETHER:
                return jobs, True
            try:
                item = self._jobs.get_nowait()
            except queue.Empty:
                return jobs, True
        return jobs, False


def connect(path: Path) -> sqlite3.Connection:
    """Open a ledger with every commit durable (WAL, synchronous FULL).

    Raises
    ------
    FatalError
        If the file is no ledger, damaged, of another version, or cannot be opened.
    """
    try:
        path.touch(mode=0o600)
        if path.stat().st_uid == os.geteuid():
            # the umask may have taken bits away, or somebody may have added some; FAT has none
            with suppress(OSError):
                path.chmod(0o600)
        connection = sqlite3.connect(path, isolation_level=None, timeout=30)
    except (sqlite3.Error, OSError) as exc:
        raise translate(exc) from exc
    try:
        _prepare(connection)
    except sqlite3.Error as exc:
        connection.close()
        raise translate(exc) from exc
    except BaseException:
        connection.close()
        raise
    return connection


def _connect_to_read(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, timeout=30, check_same_thread=False)
    connection.execute("PRAGMA query_only=ON")
    return connection


def _prepare(connection: sqlite3.Connection) -> None:
    mode = connection.execute("PRAGMA journal_mode=WAL").fetchone()[0]
    if mode != "wal":  # it answers with the old mode instead of failing
        raise sqlite3.OperationalError("no write-ahead log on this file system")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("PRAGMA secure_delete=ON")
    connection.execute(f"PRAGMA cache_size=-{CACHE}")
    version = _version(connection)
    if version not in {0, VERSION}:
        raise FatalError(
            "The ledger was written by another version of pydicombatch",
            "Use that version again, or start anew with --restart",
        )
    if version == 0:
        _create(connection)


def _create(connection: sqlite3.Connection) -> None:
    """Make the tables; another process may be at it, too, and be the first."""
    script = resources.files(__package__).joinpath("schema.sql").read_text(encoding="utf-8")
    try:
        connection.executescript(f"BEGIN IMMEDIATE;{script}PRAGMA user_version={VERSION};COMMIT;")
    except sqlite3.OperationalError as exc:
        _roll_back(connection)
        if _version(connection) == VERSION:
            return
        if "already exists" in str(exc):
            raise FatalError(
                "The file ledger.sqlite is no ledger of pydicombatch",
                "Move it out of the state directory, or set state.directory to another one",
            ) from exc
        raise


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def translate(exc: Exception) -> PydicombatchError:
    """Turn an error of SQLite into one with a remedy."""
    if isinstance(exc, PydicombatchError):
        return exc
    text = str(exc).lower()
    if "full" in text:
        return FatalError(
            "The disk of the state directory is full",
            "Make space and start again; nothing that was acknowledged is lost",
        )
    if "malformed" in text or "not a database" in text:
        return FatalError(
            "The ledger is damaged",
            "Restore ledger.sqlite from a backup, or start anew with --restart; "
            "files that are there are recognised",
        )
    return FatalError(
        f"The ledger cannot be used ({type(exc).__name__})",
        "Check that the state directory is on a local disk and writable",
    )


def _attempt(
    connection: sqlite3.Connection,
    operation: Operation,
    future: Future[Any],
    done: list[tuple[Future[Any], Any]],
) -> None:
    """Run one operation; its own failure leaves the others of the transaction alone."""
    connection.execute("SAVEPOINT operation")
    try:
        result = operation(connection)
    except sqlite3.Error as exc:
        if type(exc) in {sqlite3.OperationalError, sqlite3.DatabaseError}:
            raise  # the disk or the file: it concerns everybody
        connection.execute("ROLLBACK TO operation")
        future.set_exception(translate(exc))
    except Exception as exc:  # noqa: BLE001 - belongs to the caller of this operation
        connection.execute("ROLLBACK TO operation")
        future.set_exception(exc)
    else:
        done.append((future, result))
    connection.execute("RELEASE operation")


def _roll_back(connection: sqlite3.Connection) -> None:
    if connection.in_transaction:
        try:
            connection.execute("ROLLBACK")
        except sqlite3.Error:
            return  # SQLite has rolled back by itself, as it does when the disk is full
