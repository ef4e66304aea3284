"""The quarantine: instances that must not be delivered, kept for a human to look at."""

import os
from pathlib import Path

from pydicombatch.core.errors import FatalError
from pydicombatch.store import tree
from pydicombatch.store.copying import NO_LINKS, copy_durably

WHAT = "The quarantine in state.directory"
TRIES = 1000


class Quarantine:
    """One directory of mode 0700.

    Parameters
    ----------
    directory
        Created by `prepare` when it is missing.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def prepare(self) -> None:
        """Create the directory, and remove unfinished copies.

        Raises
        ------
        FatalError
            If it cannot be written.
        """
        try:
            tree.make_private(self._directory)
            for part in self._directory.glob("*.part"):
                part.unlink(missing_ok=True)
        except OSError as exc:
            raise tree.fatal(exc, WHAT) from exc

    def put(self, source: Path, name: str) -> str:
        """Keep a file under this name, or with a number when another has it; durable.

        Parameters
        ----------
        source
            A durable file; it stays.
        name
            A bare file name of ours.

        Returns
        -------
        str
            The name in the directory; the same when the same content is there already.

        Raises
        ------
        FatalError
            If the directory is full, read-only or gone.
        """
        try:
            for number in range(TRIES):
                target = self._directory / (f"{number}-{name}" if number else name)
                if self._keep(source, target):
                    self._sync()
                    return target.name
        except OSError as exc:
            raise tree.fatal(exc, WHAT) from exc
        raise FatalError(
            "The quarantine holds too many copies of one instance",
            "Look through it and move the copies elsewhere",
        )

    def _keep(self, source: Path, target: Path) -> bool:
        """Return False when other content has the name."""
        if target.exists():
            with source.open("rb") as one, target.open("rb") as other:
                return tree.same_bytes(one, other)
        try:
            target.hardlink_to(source)
        except OSError as exc:
            if exc.errno not in NO_LINKS:
                raise
            self._copy(source, target)
        return True

    def _copy(self, source: Path, target: Path) -> None:
        part = target.with_name(target.name + ".part")
        try:
            copy_durably(source, part)
            part.rename(target)
        finally:
            part.unlink(missing_ok=True)

    def _sync(self) -> None:
        handle = os.open(self._directory, tree.DIRECTORY & ~os.O_NOFOLLOW)
        try:
            tree.sync(handle)
        finally:
            os.close(handle)
