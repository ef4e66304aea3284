"""CSV files as people's programs write them: any usual encoding, line end and quoting."""

import codecs
import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from pydicombatch.core.errors import ConfigError
from pydicombatch.plan.cells import Bad, Record, clean

DELIMITERS = (",", ";", "\t")
CHUNK = 1_048_576  # bytes

_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_OPENS = re.compile(r"\([0-9A-Fa-f]{4}")
_CLOSES = re.compile(r"[0-9A-Fa-f]{4}\)")


@dataclass(frozen=True, slots=True)
class CsvTable:
    """A CSV file of known encoding and delimiter."""

    path: Path
    encoding: str
    delimiter: str

    def records(self) -> Iterator[Record]:
        """Yield every line that is not blank, the header first."""
        try:
            with self.path.open(encoding=self.encoding, newline="") as stream:
                yield from self._read(stream)
        except UnicodeError as exc:
            raise ConfigError.of(
                "It has bytes that are no text", "Save it as UTF-8", str(self.path)
            ) from exc
        except OSError as exc:
            raise unreadable(self.path, exc) from exc

    def header(self) -> tuple[str, ...]:
        """Return the names of the first line, "" for a bad one; none when the file is empty."""
        first = next(self.records(), None)
        cells = first.cells if first else ()
        return tuple("" if isinstance(cell, Bad) else cell for cell in cells)

    def _read(self, stream: TextIO) -> Iterator[Record]:
        reader = csv.reader(stream, delimiter=self.delimiter, skipinitialspace=True, strict=True)
        line, is_header = 1, True
        try:
            for cells in reader:
                texts = _join_tags(cells) if is_header else cells
                record = Record(line, tuple(map(clean, texts)))
                line = reader.line_num + 1
                if cells:  # a line without a character; one of empty cells is a row
                    is_header = False
                    yield record
        except csv.Error as exc:
            raise ConfigError.of(
                "It cannot be read from this line on: a quote is not closed, is "
                "followed by text, or a cell is far too long",
                'Write a quote inside a quoted cell twice ("")',
                str(self.path),
                line,
            ) from exc


def encoding_of(path: Path) -> str:
    """Find out how the file is encoded: by its byte order mark, else UTF-8, else cp1252."""
    try:
        with path.open("rb") as stream:
            start = stream.read(4)
            for mark, name in _BOMS:
                if start.startswith(mark):
                    return name
            stream.seek(0)
            decoder = codecs.getincrementaldecoder("utf-8")()
            while chunk := stream.read(CHUNK):
                decoder.decode(chunk)
            decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return "cp1252"
    except OSError as exc:
        raise unreadable(path, exc) from exc
    return "utf-8"


def unreadable(path: Path, error: OSError) -> ConfigError:
    """Say why a batch file cannot be opened."""
    if isinstance(error, FileNotFoundError):
        return ConfigError.of(
            "The batch file does not exist",
            "Correct request.elements_batch_file; it is relative to the folder you start in",
            str(path),
        )
    if isinstance(error, IsADirectoryError):
        return ConfigError.of(
            "The batch file is a folder", "Name a CSV or .xlsx file in it", str(path)
        )
    return ConfigError.of(
        f"The batch file cannot be read ({type(error).__name__})",
        "Check its permissions",
        str(path),
    )


def _join_tags(cells: list[str]) -> list[str]:
    """Put `(0010` and `0020)` together again, which an unquoted comma has cut apart."""
    joined: list[str] = []
    for cell in cells:
        text = cell.strip()
        if joined and _CLOSES.fullmatch(text) and _OPENS.fullmatch(joined[-1].strip()):
            joined[-1] = f"{joined[-1].strip()},{text}"
        else:
            joined.append(cell)
    return joined
