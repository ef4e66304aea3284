"""A plan for people to review: one line a retrieve; what was deleted is not retrieved."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from pydicombatch.core.errors import ConfigError, Finding
from pydicombatch.core.matching import is_uid
from pydicombatch.core.model import Key, Request, RequestType
from pydicombatch.core.records import Retrieve, Selected
from pydicombatch.plan.cells import Bad, Record
from pydicombatch.plan.csv_table import DELIMITERS, CsvTable, encoding_of
from pydicombatch.plan.requests import retrieve_identity
from pydicombatch.select.levels import LEVELS, UNIQUE_KEYS, is_one_value

LINE, LEVEL, MODALITY, INSTANCES, BYTES, CHECK = (
    "Line", "QueryRetrieveLevel", "Modality", "Instances", "Bytes", "Check",
)  # fmt: skip
AGAIN = "Make the plan anew, and only delete lines from it"
MOST_FINDINGS = 50


@dataclass(frozen=True, slots=True)
class Reviewed:
    """What is left of a plan."""

    rows: tuple[tuple[int, tuple[Retrieve, ...]], ...]  # line of the batch file -> its retrieves

    @property
    def digest(self) -> str:
        """Name what the plan lists, whatever the order of its lines; SHA-256, hexadecimal."""
        named = sorted((line, one.identity) for line, several in self.rows for one in several)
        return sha256(repr(named).encode()).hexdigest()


def header(model: str, level: str, shown: Iterable[str]) -> list[str]:
    """Name the columns of a plan."""
    levels = LEVELS[model][: LEVELS[model].index(level) + 1]
    keys = [UNIQUE_KEYS[one] for one in levels]
    more = [path for path in shown if path not in {*keys, LEVEL, MODALITY}]
    return [LINE, LEVEL, *keys, MODALITY, INSTANCES, BYTES, *more, CHECK]


def check_of(line: int, keys: Iterable[Key]) -> str:
    """Return what tells whether a line is as it was written.

    A column of a spreadsheet may have been sorted alone, or a digit of a UID been lost. It begins
    with a letter, so that it stays a text.
    """
    named = repr((line, [(key.path, key.value) for key in keys]))
    return f"c{sha256(named.encode()).hexdigest()[:10]}"


def line_of(names: Iterable[str], one: Selected, size: int | None) -> list[str]:
    """Make the cells of a retrieve."""
    found = {
        **dict(one.shown),
        **{key.path: key.value for key in one.keys},
        LINE: str(one.line),
        MODALITY: one.modality,
        INSTANCES: "" if one.instances is None else str(one.instances),
        BYTES: "" if size is None else str(size),
        CHECK: check_of(one.line, one.keys),
    }
    return [found.get(name, "") for name in names]


def read(
    path: Path, aet: str, kind: RequestType, model: str, requests: Iterable[Request]
) -> Reviewed:
    """Read a plan that somebody has reviewed.

    Parameters
    ----------
    path
        The CSV that `plan --output` wrote, perhaps saved by a spreadsheet.
    aet, kind, model
        AE title of the archive, type and model of the retrieves.
    requests
        The rows of the batch file.

    Raises
    ------
    ConfigError
        With every line that is no retrieve of a row.
    """
    records = _records(path)
    first = next(records, None)
    names = [cell if isinstance(cell, str) else "" for cell in first.cells] if first else []
    lacking = [name for name in (LINE, LEVEL, CHECK) if name not in names]
    if first is None or lacking:
        problem = f"The plan has no column {lacking[0]}" if first else "The plan is empty"
        raise ConfigError.of(problem, AGAIN, str(path), 1)
    reader = _Reader(names, aet, kind, model, {one.row: one for one in requests})
    findings: list[Finding] = []
    for record in records:
        problem = reader.take(record)
        if problem:
            findings.append(Finding(problem, AGAIN, str(path), record.line))
    if findings:
        raise ConfigError(*findings[:MOST_FINDINGS])
    if not reader.rows:
        raise ConfigError.of("The plan lists nothing to retrieve", AGAIN, str(path))
    return Reviewed(tuple((line, tuple(several)) for line, several in sorted(reader.rows.items())))


def _records(path: Path) -> Iterator[Record]:
    if not path.is_file():
        raise ConfigError.of("The plan is no file", AGAIN, str(path))
    encoding = encoding_of(path)
    tables = [CsvTable(path, encoding, delimiter) for delimiter in DELIMITERS]
    return max(tables, key=lambda one: len(one.header())).records()


class _Reader:
    """Takes the lines of a plan one by one."""

    def __init__(
        self,
        names: list[str],
        aet: str,
        kind: RequestType,
        model: str,
        requests: Mapping[int, Request],
    ) -> None:
        self._names = names
        self._named = (aet, kind, model)
        self._model = model
        self._requests = requests
        self.rows: dict[int, list[Retrieve]] = {}
        self._seen: set[tuple[int, str]] = set()

    def take(self, record: Record) -> str:
        """Take a line; return what is wrong with it, "" when nothing is."""
        cells = record.cells
        if not any(cells):  # its cells were cleared, which is what deleting means to many
            return ""
        if any(isinstance(cell, Bad) for cell in cells) or len(cells) != len(self._names):
            return "The line has not the cells that the header names, or damaged ones"
        found = {
            n: c.strip() for n, c in zip(self._names, cells, strict=True) if isinstance(c, str)
        }
        line = found[LINE]
        request = self._requests.get(int(line)) if line.isascii() and line.isdigit() else None
        if request is None:
            return "The Line is none of the batch file"
        keys = self._keys(found)
        if isinstance(keys, str):
            return keys
        if found[CHECK] != check_of(request.row, keys):
            return "The line is not as the plan had it: its Line, level or UIDs were changed"
        return _contradiction(request, keys) or self._add(request.row, keys, found)

    def _keys(self, found: Mapping[str, str]) -> tuple[Key, ...] | str:
        level = found[LEVEL]
        if level not in LEVELS[self._model]:
            return f"The {LEVEL} is none of request.model {self._model}"
        keys = [Key(LEVEL, level)]
        for one in LEVELS[self._model][: LEVELS[self._model].index(level) + 1]:
            path = UNIQUE_KEYS[one]
            value = found.get(path, "")
            if not (is_uid(value) if path.endswith("UID") else is_one_value(value)):
                return f"The {path} names no {one.lower()}"
            keys.append(Key(path, value))
        return tuple(keys)

    def _add(self, line: int, keys: tuple[Key, ...], found: Mapping[str, str]) -> str:
        instances = found.get(INSTANCES, "")
        if instances and not (instances.isascii() and instances.isdigit()):
            return f"The {INSTANCES} are no number"
        identity = retrieve_identity(*self._named, keys)
        if (line, identity) in self._seen:
            return "The line is there twice"
        self._seen.add((line, identity))
        told = int(instances) if instances else None
        retrieve = Retrieve(identity, keys, found.get(MODALITY, ""), told)
        self.rows.setdefault(line, []).append(retrieve)
        return ""


def _contradiction(request: Request, keys: tuple[Key, ...]) -> str:
    """Say when a line is about something else than its row names."""
    for key in keys[1:]:
        asked = [one.strip() for one in request.value(key.path).split("\\")]
        if all(map(is_one_value, asked)) and key.value not in asked:
            return f"The {key.path} is not that of line {request.row} of the batch file"
    return ""
