"""The ledger for those who only ask: beside a writer, on a read-only disk, damaged or foreign."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from pydicombatch.core.errors import FatalError
from pydicombatch.core.model import Outcome
from pydicombatch.core.records import Result
from pydicombatch.ledger.database import VERSION
from pydicombatch.ledger.ledger import Ledger
from pydicombatch.ledger.reading import LedgerReader
from pydicombatch.ledger.states import Selection
from tests.support.fakes import request

NOW = datetime(2026, 1, 5, 12, tzinfo=UTC)
LINES = range(1, 1203)  # more than two pages


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with closing(Ledger(tmp_path / "ledger.sqlite")) as made:
        made.load(request(line, PatientID=f"P{line}") for line in LINES)
        run = made.begin_run(1, NOW)
        made.select(run, Selection.ALL)
        outcomes = [None, *Outcome]
        for one in made.next(run, 0, 5000):
            outcome = outcomes[one.line % len(outcomes)]
            if outcome is not None and one.line <= 30:
                attempt = made.start_attempt(run, one.id, NOW)
                made.finish(one.id, attempt, Result(outcome, reason="Why"), NOW)
        yield made


def test_a_reader_sees_what_a_writer_has_committed_and_never_waits_for_it(
    ledger: Ledger, tmp_path: Path
) -> None:
    with closing(LedgerReader(tmp_path / "ledger.sqlite")) as reader:
        assert reader.counts() == ledger.counts()
        assert list(reader.lines()) == list(ledger.lines())
        ledger.set_meta("x", 1)
        assert reader.meta("x") == 1


def test_unfinished_lines_are_those_that_were_tried_and_are_not_final(
    ledger: Ledger, tmp_path: Path
) -> None:
    with closing(LedgerReader(tmp_path / "ledger.sqlite")) as reader:
        found = list(reader.unfinished())
    expected = [
        (line, one)
        for line, one in ledger.lines()
        if one.outcome is not None and not one.outcome.is_final
    ]
    assert found == expected
    assert len({one.outcome for _, one in found}) == len(Outcome) - 2


def test_a_reader_cannot_write(ledger: Ledger, tmp_path: Path) -> None:
    with closing(LedgerReader(tmp_path / "ledger.sqlite")) as reader:
        with pytest.raises(FatalError):
            reader._all("DELETE FROM batch")
        assert reader.counts().lines == len(LINES)


def test_a_ledger_at_rest_can_be_read_where_nothing_can_be_written(tmp_path: Path) -> None:
    """F33: a copy on a disk that is read-only."""
    folder = tmp_path / "copy with # and ?"
    folder.mkdir()
    with closing(Ledger(folder / "ledger.sqlite")) as made:
        made.load([request(1, PatientID="P1")])
    folder.chmod(0o500)
    try:
        with closing(LedgerReader(folder / "ledger.sqlite")) as reader:
            assert reader.counts().lines == 1
    finally:
        folder.chmod(0o700)


@pytest.mark.parametrize("content", [b"", b"no database at all, but long enough" * 50, b"SQLite"])
def test_what_is_no_ledger_is_an_error_with_a_remedy_and_stays_as_it_is(
    tmp_path: Path, content: bytes
) -> None:
    """F38."""
    path = tmp_path / "ledger.sqlite"
    path.write_bytes(content)
    with pytest.raises(FatalError):
        LedgerReader(path)
    assert path.read_bytes() == content


def test_a_ledger_of_another_version_is_not_read(ledger: Ledger, tmp_path: Path) -> None:
    """F38."""
    with closing(sqlite3.connect(tmp_path / "ledger.sqlite")) as db:
        db.execute(f"PRAGMA user_version={VERSION + 1}")
    with pytest.raises(FatalError, match="newer version"):
        LedgerReader(tmp_path / "ledger.sqlite")


def test_a_ledger_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(FatalError):
        LedgerReader(tmp_path / "ledger.sqlite")
    assert not list(tmp_path.iterdir())
