"""The mapping file: old to new identifiers of patients and studies, for its owner alone."""

import csv
import fcntl
import os
from contextlib import suppress
from io import StringIO
from pathlib import Path
from typing import Final

from pydicombatch.core.errors import ConfigError

HEADER: Final = ("patient_id", "new_patient_id", "study_uid", "new_study_uid")
Row = tuple[str, str, str, str]


class MappingFile:
    """Appends each pair of identifiers once, also when several processes write."""

    def __init__(self, path: Path) -> None:
        """Open the file for its owner alone.

        Raises
        ------
        ConfigError
            If it cannot be opened.
        """
        self._path = path
        self._seen: set[Row] = set()
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
            with suppress(OSError):  # FAT and some network file systems know no modes
                os.fchmod(descriptor, 0o600)
            os.close(descriptor)
        except OSError as error:
            raise ConfigError.of(
                "The mapping file cannot be written", "Check anonymization.mapping_file", path.name
            ) from error

    def record(self, old: tuple[str, str], new: tuple[str, str]) -> None:
        """Keep the identifiers of one instance; raises `OSError` when the disk does."""
        row = (old[0], new[0], old[1], new[1])
        if row in self._seen:
            return
        descriptor = os.open(self._path, os.O_RDWR | os.O_APPEND)
        with os.fdopen(descriptor, "r+", encoding="utf-8", newline="") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX)
            self._catch_up(stream.read())
            if row in self._seen:
                return
            lines = StringIO()
            writer = csv.writer(lines)
            if not self._seen:
                writer.writerow(HEADER)
            writer.writerow(row)
            stream.write(lines.getvalue())
            stream.flush()
            os.fsync(stream.fileno())
            self._seen.add(row)

    def _catch_up(self, text: str) -> None:
        """Learn the rows that other processes wrote."""
        rows = csv.reader(StringIO(text))
        self._seen |= {(r[0], r[1], r[2], r[3]) for r in rows if len(r) == len(HEADER)}
