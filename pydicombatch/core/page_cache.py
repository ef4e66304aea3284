"""What a file leaves behind in memory once nobody reads it any more."""

import os
from contextlib import suppress
from pathlib import Path

LARGE = 1 << 16  # bytes of a file whose pages are worth a call


def forget(path: Path) -> None:
    """Let the system drop the pages of a durable file, if it is large.

    A night of images must not drive out what else the machine works with.
    """
    with suppress(OSError):
        if hasattr(os, "posix_fadvise") and path.stat().st_size >= LARGE:
            with path.open("rb", buffering=0) as file:
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
