"""The matches of a query as an aligned table, CSV, the DICOM JSON model, or DICOM files."""

import csv
import json
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol, TextIO

from pydicom.dataset import Dataset
from pydicom.uid import generate_uid

from pydicombatch.core.elements import DEFAULT_CHARSET, read
from pydicombatch.core.errors import ConfigError
from pydicombatch.core.file_meta import file_meta
from pydicombatch.core.found import Found
from pydicombatch.core.log import printable

WIDEST = 64  # characters of a cell of the table: a UID fits
GAP = "  "
NAME = "match-{:06}.dcm"
NOTHING = "(nothing matches)"
CHARSET_TAG = "00080005"

Open = Callable[[], TextIO]


class Writer(Protocol):
    """Writes matches in one format."""

    def add(self, found: Found) -> None:
        """Take a match."""

    def end(self) -> None:
        """Write what is not written yet."""


def row(found: Found, paths: Sequence[str], charset: str | None) -> tuple[str, ...]:
    """Return the text of the requested elements of a match."""
    return tuple(read(found.dataset, path, charset) for path in paths)


class Table:
    """Columns as wide as what stands in them, for people."""

    def __init__(self, output: Open, paths: Sequence[str], charset: str | None) -> None:
        self._output = output
        self._paths = paths
        self._charset = charset
        self._rows: list[list[str]] = []

    def add(self, found: Found) -> None:
        """Take a match; how wide the columns are is known at the end."""
        self._rows.append([_cell(text) for text in row(found, self._paths, self._charset)])

    def end(self) -> None:
        """Write the table."""
        several = [list(self._paths), *self._rows]
        widths = [max(map(len, column)) for column in zip(*several, strict=True)]
        several.insert(1, ["-" * width for width in widths])
        if not self._rows:
            several = [[NOTHING]]
        file = self._output()
        for cells in several:
            padded = (cell.ljust(width) for cell, width in zip(cells, widths, strict=False))
            file.write(GAP.join(padded).rstrip() + "\n")


class Csv:
    """A header, and a line for each match as it comes."""

    def __init__(self, output: Open, paths: Sequence[str], charset: str | None) -> None:
        self._output = output
        self._paths = paths
        self._charset = charset
        self._writer: Any = None

    def add(self, found: Found) -> None:
        """Write a match."""
        self._begun().writerow(row(found, self._paths, self._charset))

    def end(self) -> None:
        """Write the header, if nothing has matched."""
        self._begun()

    def _begun(self) -> Any:  # noqa: ANN401 - the csv module does not name its type
        if self._writer is None:
            self._writer = csv.writer(self._output(), lineterminator="\n")
            self._writer.writerow(self._paths)
        return self._writer


class Json:
    """An array of the DICOM JSON model (PS3.18 F.2), an object for each match as it comes."""

    def __init__(self, output: Open, charset: str | None) -> None:
        self._output = output
        self._charset = charset
        self._file: TextIO | None = None

    def add(self, found: Found) -> None:
        """Write a match."""
        text = json.dumps(as_json(found.dataset, self._charset))
        self._next("[\n" if self._file is None else ",\n").write(text)

    def end(self) -> None:
        """Close the array."""
        empty = self._file is None
        self._next("[" if empty else "\n").write("]\n")

    def _next(self, before: str) -> TextIO:
        self._file = self._file or self._output()
        self._file.write(before)
        return self._file


class Files:
    """A DICOM file for each match, as it was sent, in a folder for its owner alone.

    Parameters
    ----------
    folder
        Made when missing.
    sop_class_uid
        The information model: what a match has in place of a SOP class.

    Raises
    ------
    ConfigError
        If the folder cannot be used, or holds matches of an earlier query.
    """

    def __init__(self, folder: Path, sop_class_uid: str) -> None:
        self._folder = folder
        self._sop_class_uid = sop_class_uid
        self._count = 0
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if any(folder.glob("match-*.dcm")):
                raise ConfigError.of(
                    "The folder holds matches of an earlier query", "Name another one, or empty it"
                )
        except OSError as exc:
            raise unwritable(exc) from exc

    def add(self, found: Found) -> None:
        """Write a match."""
        self._count += 1
        path = self._folder / NAME.format(self._count)
        meta = file_meta(self._sop_class_uid, generate_uid(), found.transfer_syntax_uid)
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                os.fchmod(descriptor, 0o600)
                file.write(meta + found.encoded)
        except OSError as exc:
            raise unwritable(exc) from exc

    def end(self) -> None:
        """Nothing is left to write."""


def as_json(dataset: Dataset, charset: str | None) -> dict[str, Any]:
    """Turn a match into the DICOM JSON model; text is Unicode there, so it declares UTF-8."""
    if not dataset.get("SpecificCharacterSet"):
        with suppress(Exception):  # what cannot be set is not used
            dataset.SpecificCharacterSet = charset or DEFAULT_CHARSET
    found: dict[str, Any] = dataset.to_json_dict(suppress_invalid_tags=True)
    found[CHARSET_TAG] = {"vr": "CS", "Value": [DEFAULT_CHARSET]}
    return dict(sorted(found.items()))


def private(path: Path) -> TextIO:
    """Open a file that only its owner can read.

    Raises
    ------
    ConfigError
        If it cannot be written.
    """
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        os.fchmod(descriptor, 0o600)
    except OSError as exc:
        raise unwritable(exc) from exc
    return os.fdopen(descriptor, "w", encoding="utf-8", newline="")


def unwritable(exc: OSError) -> ConfigError:
    """Say that the output cannot be written."""
    return ConfigError.of(
        f"The output cannot be written ({type(exc).__name__})",
        "Check its name, its directory and the free space",
    )


def _cell(text: str) -> str:
    plain = printable(text)
    return plain if len(plain) <= WIDEST else plain[: WIDEST - 1] + "…"
