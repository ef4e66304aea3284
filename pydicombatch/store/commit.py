"""The atomic commit: an instance is wholly and durably at its final path, or not there at all.

Nothing of another instance is replaced. A file of the same SOP Instance UID that nobody claims is
ours, from before a crash, and gives way.
"""

import itertools
import mmap
import os
import stat
import threading
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from pydicombatch.core import page_cache
from pydicombatch.core.element_walk import UnreadableError
from pydicombatch.core.errors import FatalError
from pydicombatch.core.header import of_file
from pydicombatch.store import tree
from pydicombatch.store.copying import NO_LINKS, copy_durably, rename, take
from pydicombatch.store.layout import beside

WHAT = "output.directory"
DIGITS = (16, 32, 48)  # of the digest in the name of a collision; more exceed 255 bytes


@dataclass(frozen=True, slots=True)
class Committed:
    """Where an instance lies now."""

    path: str  # below the root, with forward slashes
    collided: bool = False  # the plain path has another SOP Instance UID
    duplicate: bool = False  # the same bytes were there already


class Store:
    """The output directory.

    Parameters
    ----------
    root
        `output.directory`.
    work
        A directory of ours on the same file system, for files that are not whole yet. When it
        lies below `root`, no instance lands in the branch that holds it.
    reserved
        Names in `root` that belong to others, such as the CSV of results.
    hard_links
        Whether a hard link may be tried before a copy is made.
    """

    def __init__(
        self, root: Path, work: Path, reserved: Iterable[str] = (), *, hard_links: bool = True
    ) -> None:
        self._root = root
        self._tree = tree.Tree(root)
        self._work = work
        self._names = {name.casefold() for name in (*reserved, *_branch(root, work))}
        self._hard_links = hard_links
        self._count = itertools.count(1)
        self._taking = threading.Lock()

    def prepare(self) -> None:
        """Create both directories, and remove unfinished files of an earlier run.

        Raises
        ------
        FatalError
            If they cannot be written, or lie on two file systems.
        """
        try:
            tree.make_private(self._root)
            tree.make_private(self._work)
            for leftover in self._work.iterdir():
                leftover.unlink()
            device = self._tree.anchor()
            work_device = self._work.stat().st_dev
        except OSError as exc:
            raise tree.fatal(exc, WHAT) from exc
        if work_device != device:
            raise FatalError(
                "output.directory and its work directory lie on two file systems",
                "Remove the mount between the two",
            )

    def scratch(self) -> Path:
        """Return the path of a new file on the file system of the output, not created yet."""
        return self._work / f"{os.getpid()}-{next(self._count)}.part"

    def size(self, path: str) -> int | None:
        """Return the bytes of a file below the root; None when it is not there."""
        try:
            found = (self._root / PurePosixPath(path)).lstat()
        except OSError:
            return None
        return found.st_size if stat.S_ISREG(found.st_mode) else None

    def commit(self, source: Path, target: PurePosixPath, sop_instance_uid: str) -> Committed:
        """Put a durable file at its final path, or at a name of its own when that is taken.

        Parameters
        ----------
        source
            A whole, durable file; it stays, and may share its content with the final one.
        target
            Relative, from `layout`.
        sop_instance_uid
            Of the instance, as the data set says.

        Raises
        ------
        FatalError
            If the output directory is full, read-only or gone; nothing half is left there.
        """
        with self.visit() as visit:
            return visit.commit(source, target, sop_instance_uid)

    @contextmanager
    def visit(self) -> Iterator["Visit"]:
        """Commit one instance after the other; their directories stay open.

        Names are durable once this has ended without an error.

        Raises
        ------
        FatalError
            If they cannot be made so.
        """
        visit = Visit(self, self._tree)
        try:
            yield visit
        finally:
            visit.leave()

    def outside_reserved(self, target: PurePosixPath) -> PurePosixPath:
        """Return another path where the name belongs to others."""
        first = target.parts[0]
        if first.casefold() not in self._names:
            return target
        # no value yields an escaped printable character, so the new name is nobody else's
        return PurePosixPath(f"%{ord(first[0]):02X}{first[1:]}", *target.parts[1:])

    def place(self, source: Path, directory: int, name: str, uid: str) -> str | None:
        """Give a file a name: return "new" or "found"; None when another instance has it."""
        if self._hard_links:
            try:
                os.link(source, name, dst_dir_fd=directory, follow_symlinks=False)
            except FileExistsError:
                return self._meet(source, directory, name, uid)
            except OSError as exc:
                if exc.errno not in NO_LINKS:
                    raise
            else:
                page_cache.forget(source)  # it is the final file, too
                return "new"
        return self._place_copy(source, directory, name, uid)

    def _place_copy(self, source: Path, directory: int, name: str, uid: str) -> str | None:
        scratch = self.scratch()
        try:
            copy_durably(source, scratch)
            with self._taking:
                if take(directory, name):
                    rename(scratch, directory, name)
                    return "new"
        finally:
            scratch.unlink(missing_ok=True)
        return self._meet(source, directory, name, uid)

    def _meet(self, source: Path, directory: int, name: str, uid: str) -> str | None:
        """Decide about a file that is there already."""
        with self._taking:
            found = _inspect(source, directory, name, uid)
            if found == "ours":
                self._replace(source, directory, name)
                return "new"
        return "found" if found == "same" else None

    def _replace(self, source: Path, directory: int, name: str) -> None:
        """Copy beside, then rename: readers see the old file or the whole new one."""
        scratch = self.scratch()
        try:
            copy_durably(source, scratch)
            os.replace(scratch, name, dst_dir_fd=directory)
        finally:
            scratch.unlink(missing_ok=True)


class Visit:
    """What `Store.visit` gives: for one thread, and a short time.

    Parameters
    ----------
    store, directories
        The output directory.
    """

    def __init__(self, store: Store, directories: tree.Tree) -> None:
        self._store = store
        self._tree = directories
        self._handles = ExitStack()
        self._opened: dict[PurePosixPath, int] = {}

    def commit(self, source: Path, target: PurePosixPath, sop_instance_uid: str) -> Committed:
        """Put a durable file at its final path; see `Store.commit`."""
        plain = self._store.outside_reserved(target)
        was_open = plain.parent in self._opened
        try:
            return self._commit(source, plain, sop_instance_uid)
        except FileNotFoundError as exc:
            if not was_open:
                raise tree.fatal(exc, WHAT) from exc
        except OSError as exc:
            raise tree.fatal(exc, WHAT) from exc
        self.leave()  # it was removed meanwhile: it was empty
        return self.commit(source, target, sop_instance_uid)

    def leave(self) -> None:
        """Make durable what was named in the directories that are open, and close them."""
        opened, self._opened = self._opened, {}
        try:
            with self._handles:
                for directory in opened.values():
                    tree.sync(directory)
        except OSError as exc:
            raise tree.fatal(exc, WHAT) from exc

    def _commit(self, source: Path, plain: PurePosixPath, uid: str) -> Committed:
        directory = self._entered(plain.parent)
        others = (beside(plain, uid, digits) for digits in DIGITS)
        for path in itertools.chain((plain,), others):
            done = self._store.place(source, directory, path.name, uid)
            if done is not None:
                return Committed(str(path), path is not plain, done == "found")
        raise FatalError(
            "output.directory has other files under every name of an instance",
            "Move what does not belong to this extraction out of it",
        )

    def _entered(self, parent: PurePosixPath) -> int:
        """Return the handle of a directory, open until `leave`."""
        if parent not in self._opened:
            self._opened[parent] = self._handles.enter_context(self._tree.opened(parent))
        return self._opened[parent]


def _inspect(source: Path, directory: int, name: str, uid: str) -> str:
    """Return "same" (bytes), "ours" (an earlier or unfinished one) or "foreign"."""
    if not tree.is_file(directory, name):
        return "foreign"
    handle = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
    with os.fdopen(handle, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        if size == 0:
            return "ours"  # a name that was held when the machine went down
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            if _uid_of(data) != uid:
                return "foreign"
        with source.open("rb") as original:
            return "same" if tree.same_bytes(original, file) else "ours"


def _uid_of(data: mmap.mmap) -> str:
    try:
        return of_file(data).identifiers.sop_instance_uid
    except UnreadableError:
        return ""


def _branch(root: Path, work: Path) -> tuple[str, ...]:
    """Return the name in `root` under which `work` lies, if it does."""
    try:
        return work.resolve().relative_to(root.resolve()).parts[:1]
    except ValueError:
        return ()
