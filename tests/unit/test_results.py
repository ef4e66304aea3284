import csv
import stat
from collections.abc import Iterable
from contextlib import closing, suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pydicombatch.core.errors import FatalError
from pydicombatch.core.model import Outcome
from pydicombatch.core.records import Entry, Result
from pydicombatch.ledger.ledger import Ledger
from pydicombatch.ledger.states import Selection
from pydicombatch.report.results import STALE, ResultsFile
from pydicombatch.report.rows import Cells, of_request
from tests.support.fakes import FakeResults, entry, request, stored

HEADER = ("Line", "Outcome")
NOW = datetime(2026, 1, 5, 12, tzinfo=UTC)


def rows_of(one: Entry) -> Iterable[Cells]:
    return [(str(one.line), str(one.outcome))]


def file_of(path: Path, ledger: FakeResults, header: Cells = HEADER) -> ResultsFile:
    return ResultsFile(path, header, rows_of, ledger)


def lines_in(path: Path) -> list[str]:
    with path.open(encoding="utf-8", newline="") as file:
        header, *rows = csv.reader(file)
    assert header[:2] == list(HEADER)
    return [row[0] for row in rows]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "out" / "results.csv"


def test_rows_appear_while_requests_finish_and_are_put_in_order_at_the_end(path: Path) -> None:
    ledger = FakeResults()
    file = file_of(path, ledger)
    file.open()
    assert lines_in(path) == []
    ledger.entries.append(entry(3, finished=1))
    file.update()
    assert lines_in(path) == ["3"]
    ledger.entries += [entry(1, finished=2), entry(2, finished=3)]
    file.update()
    assert lines_in(path) == ["3", "1", "2"]
    file.close()
    assert lines_in(path) == ["1", "2", "3"]


def test_a_file_that_is_in_order_is_not_written_again(path: Path) -> None:
    ledger = FakeResults(entry(1), entry(2))
    file = file_of(path, ledger)
    file.open()
    before = path.stat().st_ino
    ledger.entries.append(entry(3))
    file.close()
    assert (path.stat().st_ino, lines_in(path)) == (before, ["1", "2", "3"])


def test_what_a_rewrite_that_was_cut_off_has_left_goes_when_the_next_run_begins(path: Path) -> None:
    """F30: also when the file itself is as it should be."""
    ledger = FakeResults()
    ledger.entries.append(entry(1, finished=1))
    first = file_of(path, ledger)
    first.open()
    first.close()
    left = path.with_name(f"{path.name}.part")
    left.write_text("half", encoding="utf-8")
    file_of(path, ledger).open()
    assert not left.exists()
    assert lines_in(path) == ["1"]


def append(path: Path) -> None:
    with path.open("a") as file:
        file.write('4,"half a ro')


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-3])


def edit(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b"complete", b"COMPLETE", 1))


def save_by_a_spreadsheet(path: Path) -> None:
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\r\n", b";\n"))


def leave(path: Path) -> None:
    """Change nothing."""


@pytest.mark.parametrize("damage", [append, cut, edit, save_by_a_spreadsheet, Path.unlink, leave])
def test_whatever_became_of_the_file_each_row_is_there_once(path: Path, damage: object) -> None:
    ledger = FakeResults(entry(2, finished=1), entry(1, finished=2))
    file_of(path, ledger).open()
    damage(path)  # type: ignore[operator]
    ledger.entries.append(entry(3))
    file = file_of(path, ledger)
    file.open()
    assert sorted(lines_in(path)) == ["1", "2", "3"]
    file.close()
    assert lines_in(path) == ["1", "2", "3"]
    changed = damage in {cut, edit, save_by_a_spreadsheet}  # somebody's work: it is kept
    kept = ["results.csv.1"] if changed else []
    assert sorted(one.name for one in path.parent.iterdir()) == ["results.csv", *kept]


@pytest.mark.parametrize("damage", [append, cut, Path.unlink])
def test_a_file_that_is_damaged_during_the_run_is_mended(path: Path, damage: object) -> None:
    ledger = FakeResults(entry(1), entry(2))
    file = file_of(path, ledger)
    file.open()
    damage(path)  # type: ignore[operator]
    ledger.entries.append(entry(3))
    file.update()
    assert lines_in(path) == ["1", "2", "3"]


class Killed(BaseException):
    """Stands for SIGKILL: no handler runs."""


class MortalLedger(FakeResults):
    """Dies at its n-th write."""

    def __init__(self, inner: FakeResults, lives: int) -> None:
        super().__init__()
        self.entries = inner.entries
        self._meta = inner._meta
        self._lives = lives

    def set_meta(self, name: str, value: object) -> None:
        self._lives -= 1
        if self._lives < 0:
            raise Killed
        super().set_meta(name, value)


def finish(ledger: FakeResults, line: int) -> None:
    number = max([one.finished or 0 for one in ledger.entries], default=0) + 1
    ledger.entries.append(entry(line, finished=number))


def ask_again(ledger: FakeResults, lines: set[int]) -> None:
    ledger.entries[:] = [one for one in ledger.entries if one.line not in lines]
    ledger.set_meta(STALE, True)


def project(path: Path, ledger: FakeResults, lives: int) -> None:
    file = file_of(path, MortalLedger(ledger, lives))
    with suppress(Killed):
        file.open()
        file.update()
        file.close()


@settings(max_examples=60, deadline=None)  # every row is synced to the disk
@given(
    order=st.permutations(range(1, 7)),
    lives=st.lists(st.integers(0, 5), min_size=12, max_size=12),
    redone=st.sets(st.integers(1, 6)),
)
def test_each_row_is_there_once_whenever_it_is_killed(
    tmp_path_factory: pytest.TempPathFactory, order: list[int], lives: list[int], redone: set[int]
) -> None:
    path = tmp_path_factory.mktemp("results") / "results.csv"
    ledger = FakeResults()
    for line in order:
        finish(ledger, line)
        project(path, ledger, lives.pop())
    ask_again(ledger, redone)
    for line in redone:
        project(path, ledger, lives.pop())
        finish(ledger, line)
    project(path, ledger, 99)
    assert lines_in(path) == ["1", "2", "3", "4", "5", "6"]


def test_a_kill_while_stale_rows_are_taken_out_leaves_none_of_them(path: Path) -> None:
    ledger = FakeResults(entry(1), entry(2))
    file_of(path, ledger).open()
    ledger.entries[1] = entry(2, Outcome.FAILED)
    for lives in range(4):
        ledger.set_meta(STALE, True)
        with pytest.raises(Killed):
            file_of(path, MortalLedger(ledger, min(lives, 2))).open()
        file_of(path, ledger).open()
        assert "2,failed" in path.read_text()
        assert lines_in(path) == ["1", "2"]


def test_a_file_of_somebody_else_is_kept_under_another_name(path: Path) -> None:
    path.parent.mkdir()
    path.write_text("precious")
    path.with_name("results.csv.1").write_text("older")
    file_of(path, FakeResults(entry(1))).open()
    assert path.with_name("results.csv.1").read_text() == "older"
    assert path.with_name("results.csv.2").read_text() == "precious"
    assert lines_in(path) == ["1"]


def test_a_file_of_somebody_else_is_kept_when_the_configuration_names_it_later(
    path: Path,
) -> None:
    ledger = FakeResults(entry(1))
    file_of(path, ledger).open()
    other = path.with_name("other.csv")
    other.write_text("precious")
    file_of(other, ledger).open()
    assert other.with_name("other.csv.1").read_text() == "precious"
    assert lines_in(other) == ["1"]


def test_a_changed_header_rewrites_the_file(path: Path) -> None:
    ledger = FakeResults(entry(1))
    file_of(path, ledger).open()
    file_of(path, ledger, (*HEADER, "More")).open()
    assert path.read_text().splitlines() == ["Line,Outcome,More", "1,complete"]


def test_only_its_owner_can_read_the_file(path: Path) -> None:
    ledger = FakeResults(entry(2, finished=1), entry(1, finished=2))
    file = file_of(path, ledger)
    file.open()
    file.close()
    path.unlink()
    file.update()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_value_that_is_no_text_does_not_stop_the_run(path: Path) -> None:
    file = ResultsFile(path, ("A",), lambda _: [("odd \udce9",)], FakeResults(entry(1)))
    file.open()
    assert path.read_text().splitlines() == ["A", "odd \\udce9"]


def test_what_a_failed_append_left_behind_is_cut_off_by_the_next(path: Path) -> None:
    ledger = FakeResults()
    trouble = [True]

    def rows(one: Entry) -> Iterable[Cells]:
        yield (str(one.line), "x" * 100_000)
        if one.line == 2 and trouble:
            raise OSError(trouble.pop())

    file = ResultsFile(path, HEADER, rows, ledger)
    file.open()
    ledger.entries += [entry(1), entry(2)]
    with pytest.raises(FatalError, match="results CSV cannot be written"):
        file.update()
    file.update()
    assert lines_in(path) == ["1", "2"]


def test_a_directory_in_its_place_is_a_fatal_error_with_a_remedy(path: Path) -> None:
    path.parent.parent.joinpath("out").write_text("a file where the directory should be")
    with pytest.raises(FatalError, match="cannot be written") as caught:
        file_of(path, FakeResults()).open()
    assert "output.database_file" in caught.value.remedy


def test_the_file_follows_a_real_ledger_through_runs_and_corrections(tmp_path: Path) -> None:
    path = tmp_path / "results.csv"
    names = ("StudyInstanceUID", "Outcome", "Stored")
    rows = [request(n, StudyInstanceUID=f"1.{n}") for n in (1, 2, 3)]

    with closing(Ledger(tmp_path / "ledger.sqlite")) as ledger:

        def projected() -> ResultsFile:
            return ResultsFile(path, names, lambda one: [of_request(names, one)], ledger)

        def run(*outcomes: tuple[int, Outcome]) -> None:
            number = ledger.begin_run(1, NOW)
            ledger.load(rows)
            ledger.select(number, Selection.ALL)
            file = projected()
            file.open()
            for request_id, outcome in outcomes:
                attempt = ledger.start_attempt(number, request_id, NOW)
                ledger.finish(request_id, attempt, Result(outcome, expected=1), NOW)
                file.update()
            file.close()

        run((3, Outcome.FAILED), (1, Outcome.COMPLETE))
        assert path.read_text().splitlines()[1:] == ["1.1,complete,0", "1.3,failed,0"]
        run((3, Outcome.PARTIAL), (2, Outcome.EMPTY))
        assert path.read_text().splitlines()[1:] == [
            "1.1,complete,0",
            "1.2,empty,0",
            "1.3,partial,0",
        ]
        ledger.record([stored("9.1", 3)], [], NOW)  # late
        del rows[1]  # the empty row leaves the batch file
        run()
        assert path.read_text().splitlines()[1:] == ["1.1,complete,0", "1.3,complete,1"]
