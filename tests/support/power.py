"""The disk as a power cut may leave it, rebuilt from the record of the shim.

Only what POSIX promises is believed: a file holds what was written before an fsync of it began
that has ended, and a directory the names that were made before an fsync of that directory. All
else may be there or not; file systems that promise more cannot make a test pass that fails here.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from random import Random

from tests.support.shim import Call, Event

Tree = dict[str, bytes]  # path below the root -> content


class Cut(Enum):
    """Which of the unsynced changes reach the disk."""

    NONE = "nothing unsynced is there"
    REMOVALS = "unsynced removals have happened, all else unsynced has not"
    SOME = "any choice of them"
    ALL = "all of them, as after SIGKILL"


@dataclass(eq=False)
class File:
    """Content that is safe, and changes that are not."""

    safe: bytearray = field(default_factory=bytearray)
    loose: list[Event] = field(default_factory=list)

    def sync(self, start: int) -> None:
        """Make safe what ended before."""
        for event in self.loose:
            if event.end < start:
                _apply(self.safe, event)
        self.loose = [event for event in self.loose if event.end >= start]

    def content(self, chooses: Callable[[bool], bool]) -> bytes:
        """Return what may be there."""
        content = bytearray(self.safe)
        for event in self.loose:
            if chooses(False):
                _apply(content, event)
        return bytes(content)


@dataclass(eq=False)
class Directory:
    """Names that are safe, and changes that are not."""

    safe: dict[str, "File | Directory"] = field(default_factory=dict)
    now: dict[str, "File | Directory"] = field(default_factory=dict)
    loose: list[tuple[int, str, "File | Directory | None"]] = field(default_factory=list)

    def put(self, moment: int, name: str, node: "File | Directory | None") -> None:
        """Make, replace or remove a name."""
        self.loose.append((moment, name, node))
        _set(self.now, name, node)

    def sync(self, start: int) -> None:
        """Make safe what ended before."""
        for moment, name, node in self.loose:
            if moment < start:
                _set(self.safe, name, node)
        self.loose = [one for one in self.loose if one[0] >= start]

    def names(self, chooses: Callable[[bool], bool]) -> dict[str, "File | Directory"]:
        """Return the names that may be there."""
        names = dict(self.safe)
        for _, name, node in self.loose:
            if chooses(node is None):
                _set(names, name, node)
        return names


class Disk:
    """Follows a record, event by event, from a root directory that was empty."""

    def __init__(self, root: Path) -> None:
        self._root = str(root.resolve())
        self._top = Directory()
        self._inodes: dict[int, File] = {}

    def apply(self, event: Event) -> None:
        """Take the next event in."""
        match event.call:
            case Call.WRITE | Call.TRUNCATE:
                self._inodes[event.inode].loose.append(event)
            case Call.SYNC:
                self._sync(event)
            case Call.SEND:
                pass
            case _:
                self._name(event)

    def after(self, cut: Cut, random: Random) -> Tree:
        """Return the files that are there after a power cut now."""
        choices: dict[Cut, Callable[[bool], bool]] = {
            Cut.NONE: lambda _: False,
            Cut.REMOVALS: lambda removes: removes,
            Cut.SOME: lambda _: random.random() < 0.5,
            Cut.ALL: lambda _: True,
        }
        return dict(_walk(self._top, "", choices[cut]))

    def _sync(self, event: Event) -> None:
        if event.is_directory:
            self._directory(event.first).sync(event.start)
        elif event.inode in self._inodes:
            self._inodes[event.inode].sync(event.start)

    def _name(self, event: Event) -> None:
        parent, name = self._parent(event.first)
        match event.call:
            case Call.CREATE:
                self._inodes[event.inode] = File()
                parent.put(event.end, name, self._inodes[event.inode])
            case Call.MKDIR:
                parent.put(event.end, name, Directory())
            case Call.UNLINK | Call.RMDIR:
                parent.put(event.end, name, None)
            case Call.LINK | Call.RENAME:
                target, new = self._parent(event.second)
                target.put(event.end, new, parent.now[name])
                if event.call is Call.RENAME:
                    parent.put(event.end, name, None)

    def _parent(self, path: str) -> tuple[Directory, str]:
        above, _, name = path.rpartition("/")
        return self._directory(above), name

    def _directory(self, path: str) -> Directory:
        node = self._top
        for name in path[len(self._root) :].split("/")[1:]:
            inner = node.now[name]
            assert isinstance(inner, Directory), f"{name} is not a directory"
            node = inner
        return node


def history(root: Path, events: Iterable[Event]) -> Iterator[tuple[Event, Disk]]:
    """Go through a record; the disk is as it was before each event."""
    disk = Disk(root)
    for event in events:
        yield event, disk
        disk.apply(event)


def files_below(root: Path) -> Tree:
    """Read the files that are really there, without those that SQLite keeps in shared memory."""
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file() and not path.name.endswith("-shm")
    }


def write(tree: Tree, root: Path, chosen: Callable[[str], bool] = lambda _: True) -> None:
    """Write a rebuilt disk."""
    for path, content in tree.items():
        if chosen(path):
            target = root / path
            target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            target.write_bytes(content)


def _walk(
    top: Directory, path: str, chooses: Callable[[bool], bool]
) -> Iterator[tuple[str, bytes]]:
    for name, node in sorted(top.names(chooses).items()):
        if isinstance(node, File):
            yield path + name, node.content(chooses)
        else:
            yield from _walk(node, f"{path}{name}/", chooses)


def _apply(content: bytearray, event: Event) -> None:
    end = event.offset + (len(event.data) if event.call is Call.WRITE else 0)
    content.extend(bytes(max(0, end - len(content))))  # a hole reads as zeros
    if event.call is Call.WRITE:
        content[event.offset : end] = event.data
    else:
        del content[end:]


def _set(names: dict[str, File | Directory], name: str, node: File | Directory | None) -> None:
    if node is None:
        names.pop(name, None)
    else:
        names[name] = node
