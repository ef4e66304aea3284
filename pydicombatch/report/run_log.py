"""`run.log` in the state directory: one line an event, rotated, readable by its owner alone."""

import logging
import os
from logging.handlers import RotatingFileHandler
from pathlib import Path
from types import TracebackType
from typing import Self

LARGEST = 10_000_000  # bytes of one file
KEPT = 5  # older files
NAME = "pydicombatch"  # the logger above all of ours


class RunLog:
    """Collects the program's log lines in a file while it is open.

    Parameters
    ----------
    path
        The newest file; older ones get a number behind their name.
    largest, kept
        Bytes of a file at most, and how many older ones there may be.
    """

    def __init__(self, path: Path, *, largest: int = LARGEST, kept: int = KEPT) -> None:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600))
        self._handler = _PrivateHandler(path, maxBytes=largest, backupCount=kept, encoding="utf-8")
        line = "%(asctime)s %(levelname)s %(threadName)s %(message)s"
        self._handler.setFormatter(logging.Formatter(line))

    def __enter__(self) -> Self:
        logger = logging.getLogger(NAME)
        logger.addHandler(self._handler)
        logger.setLevel(logging.INFO)
        logger.propagate = False  # our lines belong into this file, whatever a caller has set up
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        logging.getLogger(NAME).removeHandler(self._handler)
        self._handler.close()


class _PrivateHandler(RotatingFileHandler):
    """Makes every new file with mode 0600, whatever the umask; a full disk does not end a run."""

    def _open(self):  # type: ignore[no-untyped-def]  # noqa: ANN202 - as in the base class
        descriptor = os.open(self.baseFilename, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        return os.fdopen(descriptor, "a", encoding=self.encoding)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - name of the base class
        """Leave the line out: the standard handler would print a traceback."""
