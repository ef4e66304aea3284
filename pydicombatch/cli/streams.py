"""Standard output whose reader may go away: the run matters, not who listens."""

import os
from contextlib import suppress
from io import TextIOWrapper
from typing import Any, TextIO


class Patient(TextIOWrapper):
    """A text stream that goes to nowhere once its reader has closed it.

    Parameters
    ----------
    stream
        Standard output or standard error; its buffer is taken over.
    """

    def __init__(self, stream: TextIO) -> None:
        self._descriptor = stream.fileno()
        encoding = stream.encoding or "utf-8"
        buffer: Any = stream.detach() if isinstance(stream, TextIOWrapper) else stream.buffer
        super().__init__(buffer, encoding=encoding, errors="backslashreplace", line_buffering=True)

    def write(self, text: str) -> int:
        """Write, or lose, a text."""
        try:
            return super().write(text)
        except BrokenPipeError:
            self._give_up()
            return len(text)

    def flush(self) -> None:
        """Flush, or lose, what was written."""
        try:
            super().flush()
        except BrokenPipeError:
            self._give_up()

    def _give_up(self) -> None:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self._descriptor)
        os.close(nowhere)
        with suppress(OSError):
            super().flush()
