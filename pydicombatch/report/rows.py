"""The rows of the results CSV. Pure: requests and matches in, cells out."""

from collections.abc import Iterable, Iterator

from pydicombatch.core.elements import column
from pydicombatch.core.model import RequestType
from pydicombatch.core.records import Entry

EVIDENCE = ("Outcome", "Expected", "Stored", "Failed", "Quarantined")
Cells = tuple[str, ...]


def header(kind: RequestType, paths: Iterable[str], carried: Iterable[str]) -> Cells:
    """Name the columns.

    Parameters
    ----------
    kind
        Type of the requests; a query has a row per match, every other one a row per request.
    paths
        Canonical paths of the requested elements; their columns are sorted by name.
    carried
        Columns of the batch file that go along, in their order.
    """
    names = [column(path) for path in paths]
    if kind is RequestType.FIND:
        return (*sorted(names), *carried)
    return (*sorted([*names, "Status"]), *carried, *EVIDENCE)


def of_query(names: Cells, entry: Entry, matches: Iterable[Cells]) -> Iterator[Cells]:
    """Make a row of every match; columns that were not asked for stay empty."""
    columns = [column(key.path) for key in entry.keys]
    carried = dict(entry.carried)
    for cells in matches:
        found = {**carried, **dict(zip(columns, cells, strict=False))}
        yield tuple(found.get(name, "") for name in names)


def of_request(names: Cells, entry: Entry) -> Cells:
    """Make the row of a request: its keys, the status as `0x0`, and what became of it."""
    found = dict(entry.carried)
    found |= {column(key.path): key.value for key in entry.keys}
    found["Status"] = "" if entry.status is None else hex(entry.status)
    found["Outcome"] = entry.outcome or "pending"
    found["Expected"] = "" if entry.expected is None else str(entry.expected)
    found["Stored"] = str(entry.stored)
    found["Failed"] = str(entry.failed)
    found["Quarantined"] = str(entry.quarantined)
    return tuple(found.get(name, "") for name in names)
