"""The requests of a configuration, made one by one as they are needed."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256

from pydicombatch.config.models import Config
from pydicombatch.core.errors import ConfigError, Finding
from pydicombatch.core.model import Key, Request, RequestType
from pydicombatch.plan.batch_file import BatchFile, Row, open_batch
from pydicombatch.plan.dates import normal


@dataclass(frozen=True, slots=True)
class Entry:
    """A row and the request it makes; none when something is wrong with the row."""

    line: int
    request: Request | None
    findings: tuple[Finding, ...] = ()
    emptied: tuple[str, ...] = ()  # elements whose fixed value an empty cell has taken away
    redated: tuple[str, ...] = ()  # elements whose dates are sent in another spelling


class Plan:
    """All requests of a configuration, in the order of the batch file; iterate as often as needed.

    Nothing is kept: every iteration reads the batch file anew, and equal rows are all yielded
    (the ledger runs them once, by their identity).
    """

    def __init__(self, config: Config) -> None:
        self.config = config
        # a C-ECHO has no identifier, so it has no elements and no rows
        self._echo = config.request.type is RequestType.ECHO
        self.keys: tuple[Key, ...] = () if self._echo else config.request.keys

    def __iter__(self) -> Iterator[Request]:
        """Yield the requests.

        Raises
        ------
        ConfigError
            At the first row that makes none; `check` finds all of them beforehand.
        """
        for entry in self.entries():
            if entry.request is None:
                raise ConfigError(*entry.findings)
            yield entry.request

    @cached_property
    def batch(self) -> BatchFile | None:
        """The batch file with its columns; None when there is none.

        Raises
        ------
        ConfigError
            If it cannot be read or its header is wrong.
        """
        path, carry = self.config.request.elements_batch_file, self.config.request.carry
        if path is None and carry:
            raise ConfigError.of(
                "request.carry names columns, but there is no batch file",
                "Name the file under request.elements_batch_file, or remove request.carry",
            )
        return None if path is None or self._echo else open_batch(path, carry)

    @property
    def file(self) -> str:
        """The name of the batch file, "" when there is none."""
        return str(self.batch.path) if self.batch else ""

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """The canonical paths of all keys: the fixed elements first, then the added columns."""
        batch = self.batch.columns if self.batch else ()
        added = [one.path for one in batch if one.path is not None]
        return tuple(dict.fromkeys([*(key.path for key in self.keys), *added]))

    @cached_property
    def carried(self) -> tuple[str, ...]:
        """The names of the columns that go along into the results, in the order of the file."""
        batch = self.batch.columns if self.batch else ()
        return tuple(one.name for one in batch if one.path is None)

    def entries(self) -> Iterator[Entry]:
        """Yield a request or the findings of every row."""
        if self.batch is None:
            keys = tuple(map(normal, self.keys))
            redated = _redated(self.keys, keys)
            return iter([Entry(1, self._request(1, keys, ()), redated=redated)])
        return map(self._entry, self.batch.rows())

    def _entry(self, row: Row) -> Entry:
        if row.findings or self.batch is None:
            return Entry(row.line, None, row.findings)
        cells = list(zip(self.batch.columns, row.cells, strict=True))
        given = {column.path: cell for column, cell in cells if column.path is not None}
        fixed = {key.path: key.value for key in self.keys}
        written = tuple(Key(path, value) for path, value in {**fixed, **given}.items())
        keys = tuple(map(normal, written))
        carried = tuple((column.name, cell) for column, cell in cells if column.path is None)
        emptied = tuple(path for path, cell in given.items() if not cell and fixed.get(path))
        request = self._request(row.line, keys, carried)
        return Entry(row.line, request, (), emptied, _redated(written, keys))

    def _request(
        self, row: int, keys: tuple[Key, ...], carried: tuple[tuple[str, str], ...]
    ) -> Request:
        section = self.config.request
        named = identity(self.config.pacs.aet, section.type, section.model, keys)
        return Request(named, row, section.type, section.model, keys, carried)


def _redated(written: tuple[Key, ...], sent: tuple[Key, ...]) -> tuple[str, ...]:
    return tuple(one.path for one, other in zip(written, sent, strict=True) if one != other)


def identity(aet: str, kind: RequestType, model: str, keys: tuple[Key, ...]) -> str:
    """Name a request by what it asks: SHA-256, hexadecimal, of archive, type, model and keys.

    Only keys with a value count, in no order, so that a batch file that was edited, reordered or
    saved by another program keeps the identities of its rows.
    """
    asked = sorted([key.path, key.value] for key in keys if key.value)
    return sha256(json.dumps([aet, kind.value, model, asked]).encode()).hexdigest()


def retrieve_identity(aet: str, kind: RequestType, model: str, keys: tuple[Key, ...]) -> str:
    """Name a retrieve that a row was found to mean; never the same as that of a row."""
    return sha256(f"retrieve {identity(aet, kind, model, keys)}".encode()).hexdigest()
