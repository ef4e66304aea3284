"""The spool directory as the receiver uses it: by descriptor, one system call a step."""

import contextlib
import errno
import os
import re
from pathlib import Path

PART = ".part"
_LONGEST_IDS = 120  # bytes of a name that request ids may take; the ledger finds the others by UID
_MODE = 0o600
_UNSYNCABLE = frozenset({errno.EINVAL, errno.ENOTSUP, errno.EBADF, errno.ENOSYS})


class SpoolDirectory:
    """Creates, seals and removes spool files; used by one process at a time.

    Parameters
    ----------
    path
        An existing directory. What an earlier receiver of this run left half is removed.
    run
        Identity of the run: letters, digits, `_` and `.`.
    counted
        The last number that was given to a file before; no name is given twice.
    """

    def __init__(self, path: str, run: str, counted: int = 0) -> None:
        if not re.fullmatch(r"[A-Za-z0-9_.]{1,64}", run):
            raise ValueError("the identity of a run is made of letters, digits, _ and .")
        self.descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._path = Path(path)
        self.run = run
        self._parts = 0
        self._spare: tuple[str, int] | None = None
        self._count = max(counted, self._recover())

    @property
    def counters(self) -> list[int]:
        """The last number of a file that is not acknowledged, and of one that is."""
        return [self._parts, self._count]

    @counters.setter
    def counters(self, last: list[int]) -> None:
        self._parts, self._count = last

    def create(self) -> tuple[str, int]:
        """Create a file that is not acknowledged; return its name and descriptor."""
        spare, self._spare = self._spare, None
        return spare or self._create()

    def prepare(self) -> None:
        """Create the next file in advance, while nobody waits; an error waits for `create`."""
        if self._spare is None:
            with contextlib.suppress(OSError):
                self._spare = self._create()

    def _create(self) -> tuple[str, int]:
        self._parts += 1
        name = f"{self.run}-{self._parts}{PART}"
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        return name, os.open(name, flags, _MODE, dir_fd=self.descriptor)

    def final_name(self, requests: tuple[int, ...]) -> str:
        """Return the next free name, `<run>-<requests joined by + or x>-<counter>.dcm`."""
        self._count += 1
        return f"{self.run}-{joined(requests)}-{self._count:08d}.dcm"

    def rename(self, part: str, final: str) -> None:
        """Give a file the name under which it counts."""
        os.rename(part, final, src_dir_fd=self.descriptor, dst_dir_fd=self.descriptor)

    def remove(self, name: str) -> None:
        """Remove a file; nothing happens when it is not there."""
        try:
            os.unlink(name, dir_fd=self.descriptor)
        except FileNotFoundError:
            return

    def sync(self) -> None:
        """Make the names durable, where the file system can."""
        try:
            os.fsync(self.descriptor)
        except OSError as exc:
            if exc.errno not in _UNSYNCABLE:
                raise

    def free(self) -> int:
        """Return how many bytes this user may still write to the file system."""
        found = os.fstatvfs(self.descriptor)
        return found.f_bavail * found.f_frsize

    def close(self) -> None:
        """Give the descriptor back."""
        if self._spare is not None:
            name, descriptor = self._spare
            os.close(descriptor)
            self.remove(name)
        os.close(self.descriptor)

    def _recover(self) -> int:
        highest = 0
        name = re.compile(re.escape(self.run) + r"-(?:x|[0-9+]+)-(\d+)\.dcm")
        for entry in self._path.iterdir():
            found = name.fullmatch(entry.name)
            if found:
                highest = max(highest, int(found[1]))
            elif entry.name.startswith(f"{self.run}-") and entry.name.endswith(PART):
                self.remove(entry.name)
        return highest


def joined(requests: tuple[int, ...]) -> str:
    """Return how a name tells the requests; those that do not fit are found by UID."""
    ids = "+".join(map(str, requests)) or "x"
    return ids if len(ids) <= _LONGEST_IDS else ids[: ids.rindex("+", 0, _LONGEST_IDS)]
