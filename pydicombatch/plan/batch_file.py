"""A batch file: its columns, checked once, and its rows, read anew each time."""

from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import cast

from pydicombatch.core.elements import ElementError, parse_path
from pydicombatch.core.errors import ConfigError, Finding
from pydicombatch.plan.cells import Bad, Record, Table
from pydicombatch.plan.csv_table import DELIMITERS, CsvTable, encoding_of, unreadable

_ZIP = b"PK\x03\x04"
_OLE = b"\xd0\xcf\x11\xe0"  # .xls of before 2007


@dataclass(frozen=True, slots=True)
class Column:
    """One column of the batch file."""

    name: str  # as it was written
    path: str | None  # canonical path of the element; None when it is carried along


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the batch file: a text for every column, or what is wrong with it."""

    line: int  # in the file, the header being line 1
    cells: tuple[str, ...]
    findings: tuple[Finding, ...] = ()


@dataclass(frozen=True, slots=True)
class BatchFile:
    """A batch file whose header is sound."""

    path: Path
    table: Table
    columns: tuple[Column, ...]

    def rows(self) -> Iterator[Row]:
        """Yield the rows from the beginning.

        Raises
        ------
        ConfigError
            If the file cannot be read any further.
        """
        records = self.table.records()
        next(records, None)
        return map(self._row, records)

    def _row(self, record: Record) -> Row:
        wanted = len(self.columns)
        cells, extra = record.cells[:wanted], record.cells[wanted:]
        wrong = partial(Finding, file=str(self.path), line=record.line)
        if any(extra):
            problem = f"The row has more than the {wanted} cells that the header names"
            remedy = "Put cells that contain the delimiter in double quotes"
            return Row(record.line, (), (wrong(problem, remedy),))
        if len(cells) < wanted and isinstance(self.table, CsvTable):
            problem = f"The row has {len(cells)} cells, but the header names {wanted}"
            remedy = "Add the missing cells, empty ones too"
            return Row(record.line, (), (wrong(problem, remedy),))
        if not any(cells):
            problem = "The row has no value in any of its cells"
            return Row(record.line, (), (wrong(problem, "Fill it in, or delete the line"),))
        findings = tuple(
            wrong(f"The cell of {column.name} {cell.problem}", cell.remedy)
            for column, cell in zip(self.columns, cells, strict=False)
            if isinstance(cell, Bad)
        )
        texts = tuple("" if isinstance(cell, Bad) else cell for cell in cells)
        return Row(record.line, texts + ("",) * (wanted - len(texts)), findings)


def open_batch(path: Path, carry: tuple[str, ...] = ()) -> BatchFile:
    """Recognise a batch file and read its header.

    Parameters
    ----------
    path
        CSV (delimiter, encoding and byte order mark are recognised) or .xlsx.
    carry
        Names of columns that are no elements and go along into the results.

    Raises
    ------
    ConfigError
        If the file cannot be read, has no rows, or has a column that is no element.
    """
    table = _table(path, carry)
    records = table.records()
    header, first = next(records, None), next(records, None)
    if header is None:
        raise ConfigError.of("The batch file is empty", "Write a header and rows", str(path))
    columns = _columns(header, path, carry)
    if first is None:
        raise ConfigError.of(
            "The batch file has a header but no rows",
            "Add a row for each request, or remove request.elements_batch_file",
            str(path),
            header.line,
        )
    return BatchFile(path, table, columns)


def _table(path: Path, carry: tuple[str, ...]) -> Table:
    try:
        with path.open("rb") as stream:
            start = stream.read(4)
    except OSError as exc:
        raise unreadable(path, exc) from exc
    if start == _OLE:
        raise ConfigError.of(
            "The batch file is an old .xls workbook", "Save it as .xlsx or as CSV", str(path)
        )
    if start == _ZIP or path.suffix.lower() == ".xlsx":
        module = import_module("pydicombatch.plan.spreadsheet")  # openpyxl takes its time
        return cast("Table", module.Spreadsheet(path))
    encoding = encoding_of(path)
    candidates = [CsvTable(path, encoding, delimiter) for delimiter in DELIMITERS]
    return max(candidates, key=lambda one: _sense(one, carry))


def _sense(table: CsvTable, carry: tuple[str, ...]) -> tuple[int, int]:
    """Rate a delimiter by how many columns it makes that mean something, then by their number."""
    try:
        names = table.header()
    except ConfigError:
        return (-1, 0)
    return sum(name in carry or _is_element(name) for name in names), len(names)


def _is_element(name: str) -> bool:
    try:
        parse_path(name)
    except ElementError:
        return False
    return True


def _columns(header: Record, path: Path, carry: tuple[str, ...]) -> tuple[Column, ...]:
    bad = [
        Finding(f"A name in the header {one.problem}", one.remedy, str(path), header.line)
        for one in header.cells
        if isinstance(one, Bad)
    ]
    if bad:
        raise ConfigError(*bad)
    names = [cell for cell in header.cells if isinstance(cell, str)]
    while names and not names[-1]:  # a spreadsheet's empty columns on the right
        names.pop()
    columns: list[Column] = []
    problems: list[tuple[str, str]] = []
    for number, name in enumerate(names, start=1):
        try:
            columns.append(_column(name, number, carry, columns))
        except ElementError as error:
            problems.append((error.problem, error.remedy))
    problems += [_not_there(name, names) for name in carry if name not in names]
    if problems:
        raise ConfigError(*(Finding(*one, str(path), header.line) for one in problems))
    return tuple(columns)


def _column(name: str, number: int, carry: tuple[str, ...], before: list[Column]) -> Column:
    if not name:
        raise ElementError(f"Column {number} has no name", "Name its element, or remove it")
    column = Column(name, _meaning(name, number, carry))
    same = column.path or column.name
    twin = next((one for one in before if (one.path or one.name) == same), None)
    if twin is not None:
        raise ElementError(
            f"Column {number} ({name}) is the same as column {before.index(twin) + 1} "
            f"({twin.name})",
            "Remove one of them",
        )
    return column


def _meaning(name: str, number: int, carry: tuple[str, ...]) -> str | None:
    if name not in carry:
        try:
            return parse_path(name)
        except ElementError as error:
            raise ElementError(
                f"Column {number}: {error.problem}",
                f"{error.remedy}, or list the column under request.carry to copy it into the "
                "results",
            ) from error
    if _is_element(name):
        raise ElementError(
            f"Column {number} ({name}) is an element and listed under request.carry too",
            "Remove it from request.carry: elements are among the results anyway",
        )
    return None


def _not_there(name: str, names: list[str]) -> tuple[str, str]:
    close = get_close_matches(name, [one for one in names if one], n=1)
    remedy = f"Did you mean {close[0]}" if close else "Add the column, or remove it from the list"
    return f"request.carry names the column '{name}', which the batch file does not have", remedy
