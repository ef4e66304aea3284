"""The finished table as CSV or Parquet, private, whole or not there at all."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Protocol, TextIO

from pydicombatch.core.errors import ConfigError
from pydicombatch.report.export.headers import Row
from pydicombatch.report.whole import appearing

SUFFIXES = (".csv", ".parquet")


class Sink(Protocol):
    """Where the rows go."""

    def add(self, rows: Sequence[Row]) -> None:
        """Append rows."""


class _Csv:
    def __init__(self, file: TextIO, columns: Sequence[str]) -> None:
        self._file = file
        self._columns = list(columns)
        self._header = True

    def add(self, rows: Sequence[Row]) -> None:
        import pandas as pd  # noqa: PLC0415 - see `prepare`

        frame = pd.DataFrame([(one.path, *one.cells) for one in rows], columns=self._columns)
        frame.to_csv(self._file, index=False, header=self._header)
        self._header = False

    def end(self) -> None:
        """Make sure that a table without rows has its header."""
        if self._header:
            self.add(())


class _Parquet:
    def __init__(self, path: Path, columns: Sequence[str]) -> None:
        import pyarrow as pa  # noqa: PLC0415 - an extra
        import pyarrow.parquet as pq  # noqa: PLC0415

        self._columns = list(columns)
        self._schema = pa.schema([(name, pa.string()) for name in columns])
        self._table = pa.Table
        self.writer = pq.ParquetWriter(path, self._schema, compression="zstd")

    def add(self, rows: Sequence[Row]) -> None:
        import pandas as pd  # noqa: PLC0415 - see `prepare`

        cells = [[_utf8(cell) or None for cell in (one.path, *one.cells)] for one in rows]
        frame = pd.DataFrame(cells, columns=self._columns, dtype=object)
        self.writer.write_table(self._table.from_pandas(frame, self._schema, preserve_index=False))


def check(path: Path) -> None:
    """Make sure that such a table can be written.

    Raises
    ------
    ConfigError
        If its name ends in neither of the two, or pyarrow is not installed.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise ConfigError.of(
            "The name of the table ends in neither .csv nor .parquet",
            "Choose one of them behind --output",
        )
    if path.suffix.lower() == ".parquet":
        try:
            import pyarrow.parquet  # noqa: F401, PLC0415 - an extra
        except ImportError as exc:
            raise ConfigError.of(
                "Parquet needs pyarrow, which is not installed",
                "Install it with `pip install 'pydicombatch[parquet]'`, or choose a name in .csv",
            ) from exc


def prepare() -> None:
    """Load pandas, which takes a while: best done while others read."""
    import_module("pandas")


@contextmanager
def opened(path: Path, columns: Sequence[str]) -> Iterator[Sink]:
    """Give what takes the rows; the file appears at its path, mode 0600, when all went well.

    Raises
    ------
    FatalError
        If it cannot be written.
    """
    with appearing(path, "table") as (unfinished, descriptor):
        if path.suffix.lower() == ".parquet":
            os.close(descriptor)
            sink = _Parquet(unfinished, columns)
            with sink.writer:
                yield sink
        else:
            with os.fdopen(
                descriptor, "w", encoding="utf-8", errors="backslashreplace", newline=""
            ) as file:
                csv = _Csv(file, columns)
                yield csv
                csv.end()


def _utf8(text: str) -> str:
    """Write what UTF-8 cannot hold, halves of surrogate pairs, as escapes."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
