"""Lookup tables: `keytype/value = replacement`, from properties or from CSV."""

import csv
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from pydicombatch.core.errors import ConfigError
from pydicombatch.process.anonymize import properties
from pydicombatch.process.anonymize.javatext import trim

_MOST_INDIRECTIONS: Final = 10
_COLUMNS: Final = 2


class LookupFailure(Exception):  # noqa: N818 - an outcome of the language, often wanted
    """The key is not in the table."""


@dataclass(frozen=True, slots=True)
class LookupTable:
    """Replacements by full key."""

    entries: Mapping[str, str] = field(default_factory=dict)

    def find(self, keytype: str, key: str) -> str:
        """Return the replacement; a value `@keytype/value` refers to another key.

        Raises
        ------
        LookupFailure
            If the key, or one it refers to, is not in the table.
        """
        full = f"{trim(keytype)}/{trim(key)}"
        for _ in range(_MOST_INDIRECTIONS + 1):
            value = self.entries.get(full)
            if value is None:
                raise LookupFailure
            value = trim(value)
            if not (value.startswith("@") and "/" in value):
                return value
            full = trim(value[1:])
        raise LookupFailure


def load(path: Path, *, strict: bool) -> LookupTable:
    """Read a table.

    Parameters
    ----------
    strict
        Whether a missing table or one that is not UTF-8 is an error, and a `.csv` file of two
        columns is stored. To the Java tool a missing table is empty, other bytes are U+FFFD, and
        it forgets what it reads from CSV.

    Raises
    ------
    ConfigError
        If the file cannot be read or does not parse.
    """
    if not path.exists() and not strict:
        return LookupTable()
    try:
        encoding = "utf-8-sig" if path.suffix.lower() == ".csv" else "utf-8"
        text = path.read_text(encoding, "strict" if strict else "replace")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError.of(
            "The lookup table cannot be read", "Check that it exists as UTF-8 text", path.name
        ) from error
    if path.suffix.lower() == ".csv":
        return LookupTable(_from_csv(text, path.name) if strict else {})
    try:
        return LookupTable({entry.key: entry.value for entry in properties.parse(text)})
    except properties.BadEscapeError as error:
        raise ConfigError.of(
            "A \\u in the lookup table lacks its four digits",
            "Double the backslash or complete the digits",
            path.name,
            error.line,
        ) from error


def _from_csv(text: str, name: str) -> dict[str, str]:
    entries = {}
    reader = csv.reader(text.splitlines())
    for row in reader:
        if not any(map(str.strip, row)):
            continue
        if len(row) != _COLUMNS:
            raise ConfigError.of(
                "A row of the lookup table has not two columns",
                "Write keytype/value in the first column and the replacement in the second",
                name,
                reader.line_num,
            )
        entries[row[0].strip()] = row[1].strip()
    return entries
