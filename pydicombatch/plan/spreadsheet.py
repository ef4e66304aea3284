"""Batch files in .xlsx: the first sheet, read row by row, every cell as the text it stands for."""

import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, time
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

from openpyxl import load_workbook
from openpyxl.utils.exceptions import InvalidFileException

from pydicombatch.core.errors import ConfigError
from pydicombatch.plan.cells import Bad, Record, clean
from pydicombatch.plan.csv_table import unreadable

UNREADABLE = (  # all that a damaged workbook makes openpyxl raise
    AttributeError,
    BadZipFile,
    EOFError,
    IndexError,
    InvalidFileException,
    KeyError,
    SyntaxError,  # of the XML
    TypeError,
    ValueError,
    zlib.error,
)
EXACT_DIGITS = 15  # a spreadsheet keeps no more of a number (IEEE 754 binary64)


@dataclass(frozen=True, slots=True)
class Spreadsheet:
    """The first sheet of a workbook."""

    path: Path

    def records(self) -> Iterator[Record]:
        """Yield every row that is not blank, the header first."""
        book = self._open()
        try:
            sheet = book.worksheets[0]
            sheet.reset_dimensions()  # some programs write wrong ones
            for line, row in enumerate(sheet.iter_rows(), start=1):
                record = Record(line, tuple(_text(cell) for cell in row))
                if not record.is_blank:
                    yield record
        except UNREADABLE as exc:
            raise self._broken() from exc
        finally:
            book.close()

    def _open(self) -> Any:  # noqa: ANN401 - openpyxl's read-only types differ from its hints
        try:
            return load_workbook(self.path, read_only=True, data_only=False)
        except OSError as exc:
            raise unreadable(self.path, exc) from exc
        except UNREADABLE as exc:
            raise self._broken() from exc

    def _broken(self) -> ConfigError:
        return ConfigError.of(
            "The batch file is no workbook that can be read",
            "Save it again as .xlsx, or as CSV in UTF-8",
            str(self.path),
        )


def _text(cell: Any) -> str | Bad:  # noqa: ANN401
    value, kind = cell.value, getattr(cell, "data_type", "")
    if kind == "f":
        return Bad("is a formula", "Paste its value in place of the formula")
    if isinstance(value, bool):
        return str(value).upper()
    if isinstance(value, int | float):
        return _number(value, str(cell.number_format))
    if isinstance(value, datetime | date | time):
        return _moment(value)
    return "" if value is None else clean(str(value))


def _number(value: float, number_format: str) -> str | Bad:
    if value != int(value):
        return clean(repr(value))
    digits = str(abs(int(value)))
    if len(digits) > EXACT_DIGITS:
        return Bad(
            f"is a number of more than {EXACT_DIGITS} digits, of which a spreadsheet loses some",
            "Format the column as text in the spreadsheet and enter the original again",
        )
    if re.fullmatch(r"0+", number_format):  # shown with leading zeros, so they are meant
        digits = digits.zfill(len(number_format))
    return f"-{digits}" if value < 0 else digits


def _moment(value: datetime | date | time) -> str:
    if isinstance(value, datetime):
        return f"{value:%Y%m%d}" if value.time() == time() else f"{value:%Y%m%d%H%M%S}"
    return f"{value:%H%M%S}" if isinstance(value, time) else f"{value:%Y%m%d}"
