"""Finished pieces of an export, kept until all are there: a killed export goes on behind them.

The name of a part is the digest of what it is about: elements, paths, sizes and digests of its
instances. So a part is never taken for another one, whatever has been stored since.
"""

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

from pydicombatch.report.export.headers import Row, Wanted

FOLDER = "export"  # in the state directory
TABLE = "table"  # a file in it: where the table of the export at work is written
TOGETHER = 250  # instances of a part
ODD = "surrogatepass"


def left_table(folder: Path) -> list[Path]:
    """Return the unfinished table of a killed export, wherever it is; none if there is none."""
    try:
        table = Path(os.fsdecode((folder / TABLE).read_bytes()))
    except OSError:
        return []
    return [table] if table.name.endswith(".part") and table.is_file() else []


def begin(folder: Path, table: Path) -> None:
    """Remove what a killed export was at, its unfinished table too, and note where ours will be."""
    for file in folder.glob(f"{'?' * 64}.[0-9]*"):
        file.unlink()
    for file in left_table(folder):
        with suppress(OSError):  # it may lie where this user may not write any more
            file.unlink()
    (folder / TABLE).write_bytes(os.fsencode(table.absolute()))


def end(folder: Path) -> None:
    """Remove all parts: the table is whole."""
    for file in (*folder.glob("*.jsonl"), folder / TABLE):
        file.unlink(missing_ok=True)


def name(paths: Sequence[str], wanted: Iterable[Wanted]) -> str:
    """Return the name of the part that holds these elements of these instances."""
    digest = sha256("\0".join(paths).encode())
    for one in wanted:
        digest.update(f"\n{one.path}\0{one.size}\0{one.sha256}".encode(errors=ODD))
    return f"{digest.hexdigest()}.jsonl"


def write(path: Path, rows: Iterable[Row]) -> None:
    """Put a part at its path, whole or not at all."""
    unfinished = path.with_suffix(f".{os.getpid()}")
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.writelines(f"{json.dumps((one.finding, one.path, *one.cells))}\n" for one in rows)
        file.flush()
        os.fsync(file.fileno())
    unfinished.replace(path)


def read(path: Path) -> Iterator[Row]:
    """Go through the rows of a part."""
    with path.open(encoding="ascii") as file:
        for finding, place, *cells in map(json.loads, file):
            yield Row(place, tuple(cells), finding)
