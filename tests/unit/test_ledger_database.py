import sqlite3
import stat
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from pydicombatch.core.errors import FatalError
from pydicombatch.ledger.database import VERSION, Database
from tests.support.fakes import LIMIT


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.sqlite"


@pytest.fixture
def database(path: Path) -> Iterator[Database]:
    with closing(Database(path)) as opened:
        opened.run(lambda db: db.execute("CREATE TABLE word (text TEXT UNIQUE)"))
        yield opened


def add(database: Database, word: str) -> None:
    database.run(lambda db: db.execute("INSERT INTO word VALUES (?)", (word,)))


def words(database: Database) -> set[str]:
    return {row[0] for row in database.run(lambda db: db.execute("SELECT * FROM word").fetchall())}


def hold(database: Database, pool: ThreadPoolExecutor) -> threading.Event:
    """Keep the ledger's thread busy, so that what comes now is committed together."""
    busy, go = threading.Event(), threading.Event()

    def wait(db: sqlite3.Connection) -> None:
        busy.set()
        assert go.wait(LIMIT)

    pool.submit(database.run, wait)
    assert busy.wait(LIMIT)
    return go


def test_operations_of_many_threads_are_all_kept(database: Database, path: Path) -> None:
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda n: add(database, str(n)), range(400)))
    database.close()
    with closing(sqlite3.connect(path)) as other:
        assert other.execute("SELECT count(*) FROM word").fetchone() == (400,)


def test_one_failing_operation_leaves_those_of_the_same_commit_alone(database: Database) -> None:
    add(database, "taken")

    def odd(db: sqlite3.Connection) -> None:
        db.execute("INSERT INTO word VALUES ('half')")
        raise LookupError("mine")

    with ThreadPoolExecutor(4) as pool:
        go = hold(database, pool)
        good = pool.submit(add, database, "good")
        taken = pool.submit(add, database, "taken")
        failing = pool.submit(database.run, odd)
        go.set()
        good.result(LIMIT)
        with pytest.raises(FatalError, match="IntegrityError"):
            taken.result(LIMIT)
        with pytest.raises(LookupError, match="mine"):
            failing.result(LIMIT)
    assert words(database) == {"taken", "good"}


def test_a_full_disk_is_said_to_everybody_and_nothing_acknowledged_is_lost(
    database: Database,
) -> None:
    add(database, "kept")

    def narrow(db: sqlite3.Connection) -> None:
        pages = db.execute("PRAGMA page_count").fetchone()[0]
        db.execute(f"PRAGMA max_page_count={pages}")

    database.run(narrow)
    with pytest.raises(FatalError, match="disk of the state directory is full") as caught:
        add(database, "x" * 1_000_000)
    assert "Make space" in caught.value.remedy
    database.run(lambda db: db.execute("PRAGMA max_page_count=1000000"))
    add(database, "after space was made")
    assert words(database) == {"kept", "after space was made"}


def test_a_full_disk_fails_all_operations_of_its_commit(database: Database) -> None:
    pages = database.run(lambda db: db.execute("PRAGMA page_count").fetchone()[0])
    database.run(lambda db: db.execute(f"PRAGMA max_page_count={pages}"))
    with ThreadPoolExecutor(3) as pool:
        go = hold(database, pool)
        small = pool.submit(add, database, "small")
        large = pool.submit(add, database, "x" * 1_000_000)
        go.set()
        with pytest.raises(FatalError, match="full"):
            large.result(LIMIT)
        said = small.exception(LIMIT)
    assert (said is None) == ("small" in words(database))


@pytest.mark.parametrize(
    "content", [b"no database at all" * 100, b"SQLite format 3\0" + b"x" * 5000]
)
def test_a_file_that_is_no_database_is_refused_with_a_remedy(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(FatalError, match="damaged") as caught:
        Database(path)
    assert "--restart" in caught.value.remedy
    assert path.read_bytes() == content


def test_a_page_that_was_damaged_is_a_fatal_error_and_not_a_fresh_start(path: Path) -> None:
    with closing(Database(path)) as database:
        database.run(lambda db: db.execute("CREATE TABLE word (text TEXT UNIQUE)"))
        for n in range(200):
            add(database, str(n) * 100)
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(size // 2)
        file.write(b"\xff" * (size - size // 2))
    with closing(Database(path)) as database, pytest.raises(FatalError, match=r"ledger|damaged"):
        words(database)


def test_the_database_of_another_program_is_refused(path: Path) -> None:
    with closing(sqlite3.connect(path)) as other:
        other.execute("CREATE TABLE request (whatever)")
        other.commit()
    with pytest.raises(FatalError, match="no ledger of pydicombatch"):
        Database(path)


def test_a_newer_version_is_refused_and_left_as_it_is(path: Path) -> None:
    Database(path).close()
    with closing(sqlite3.connect(path)) as other:
        other.execute(f"PRAGMA user_version={VERSION + 1}")
    with pytest.raises(FatalError, match="another version"):
        Database(path)
    with closing(sqlite3.connect(path)) as other:
        assert other.execute("PRAGMA user_version").fetchone() == (VERSION + 1,)


def test_a_directory_in_its_place_is_a_fatal_error(path: Path) -> None:
    path.mkdir()
    with pytest.raises(FatalError, match="cannot be used"):
        Database(path)


def test_only_its_owner_can_read_the_ledger_and_its_write_ahead_log(
    database: Database, path: Path
) -> None:
    files = list(path.parent.iterdir())
    assert {file.name for file in files} >= {"ledger.sqlite", "ledger.sqlite-wal"}
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}


def test_every_commit_is_durable(database: Database) -> None:
    pragma = [
        database.run(lambda db, name=name: db.execute(f"PRAGMA {name}").fetchone()[0])  # type: ignore[misc]
        for name in ("journal_mode", "synchronous", "secure_delete")
    ]
    assert pragma == ["wal", 2, 1]


def test_a_question_sees_what_is_committed_and_waits_for_no_writer(database: Database) -> None:
    def ask(db: sqlite3.Connection) -> list[str]:
        return [row[0] for row in db.execute("SELECT text FROM word")]

    add(database, "kept")
    with ThreadPoolExecutor(1) as pool:
        go = hold(database, pool)
        try:
            assert database.read(ask) == ["kept"]
        finally:
            go.set()
    with pytest.raises(FatalError):
        database.read(lambda db: db.execute("INSERT INTO word VALUES ('not by asking')"))
    assert words(database) == {"kept"}
    database.close()
    with pytest.raises(FatalError, match="closed"):
        database.read(ask)


def test_after_closing_a_call_is_an_error_and_hangs_nobody(database: Database) -> None:
    database.close()
    database.close()
    with pytest.raises(FatalError, match="closed"):
        words(database)


def test_two_processes_may_make_the_same_ledger_at_once(path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        opened = list(pool.map(lambda _: Database(path), range(8)))
    for database in opened:
        assert database.run(lambda db: db.execute("SELECT * FROM total").fetchall()) == [(0, 0, 0)]
        database.close()
