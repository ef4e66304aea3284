"""The lines of a batch file with what became of them, in the file's own columns. Pure."""

from collections.abc import Iterable, Iterator

from pydicombatch.core.records import Entry
from pydicombatch.report.explanations import explain
from pydicombatch.report.rows import EVIDENCE, Cells, of_request

FATE = ("Line", "Status", *EVIDENCE, "Attempts", "Meaning", "Reason", "Remedy")
Column = tuple[str, str | None]  # name in the file, canonical path; None: a carried column


def failed(columns: tuple[Column, ...], lines: Iterable[tuple[int, Entry]]) -> Iterator[Cells]:
    """Make a row of every line that was tried and is not done."""
    for _, entry in lines:
        if entry.outcome is not None and not entry.outcome.is_final:
            yield _own(columns, entry)


def with_fate(columns: tuple[Column, ...], lines: Iterable[tuple[int, Entry]]) -> Iterator[Cells]:
    """Make a row of every line, with its fate in further columns."""
    for line, entry in lines:
        fate = (*of_request(("Status", *EVIDENCE), entry), str(entry.attempts))
        said = explain(entry)
        why = (said.meaning, entry.reason, said.remedy)
        yield (*_own(columns, entry), str(line), *fate, *why)


def _own(columns: tuple[Column, ...], entry: Entry) -> Cells:
    values = {key.path: key.value for key in entry.keys}
    carried = dict(entry.carried)
    return tuple(
        carried.get(name, "") if path is None else values.get(path, "") for name, path in columns
    )
