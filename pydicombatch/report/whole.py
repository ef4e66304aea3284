"""A file that an operator asked for: it appears whole or not at all, for its owner alone."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pydicombatch.core.errors import FatalError


def unfinished_of(path: Path) -> Path:
    """Return the name that a file has until it is whole; a killed process leaves it."""
    return path.with_name(f".{path.name}.part")


@contextmanager
def appearing(path: Path, what: str) -> Iterator[tuple[Path, int]]:
    """Give a file beside the path and its descriptor, mode 0600; at the end it gets its name.

    The descriptor is the caller's to close.

    Raises
    ------
    FatalError
        If `what` cannot be written.
    """
    unfinished = unfinished_of(path)
    try:
        unfinished.unlink(missing_ok=True)
        yield unfinished, os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        unfinished.replace(path)
    except OSError as exc:
        raise FatalError(
            f"The {what} cannot be written ({type(exc).__name__})",
            "Check the name behind --output, its directory and the free space",
        ) from exc
    finally:
        unfinished.unlink(missing_ok=True)
