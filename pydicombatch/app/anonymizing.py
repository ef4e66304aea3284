"""Files and folders through the anonymizer alone, without any archive."""

import os
import shutil
import stat
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path, PurePath

from pydicombatch.config.models import STATE
from pydicombatch.core.errors import ConfigError
from pydicombatch.core.threads import begin
from pydicombatch.process.messages import Job, Made, Refused
from pydicombatch.process.recipe import Recipe
from pydicombatch.process.workers import Workers
from pydicombatch.store import tree

WORK = ".pydicombatch-work-"
DIRECTORY_FILE = "DICOMDIR"  # PS3.10 8.6: names every patient of a medium, and is no instance
WHAT = "The output directory"


class Fate(StrEnum):
    """What became of a file."""

    ANONYMIZED = "anonymized"
    QUARANTINED = "quarantined"
    LEFT_OUT = "left out"


@dataclass(frozen=True, slots=True)
class Source:
    """A file to anonymize."""

    path: Path
    relative: PurePath  # below the input folder and below the output
    named: bool = False  # on the command line itself
    unread: str = ""  # why what it may hold stays unknown


@dataclass(frozen=True, slots=True)
class Done:
    """A file and what became of it."""

    source: Source
    fate: Fate
    reason: str = ""

    @property
    def is_well(self) -> bool:
        """Whether all that was asked for was done."""
        if self.fate is Fate.LEFT_OUT:
            return not (self.source.named or self.source.unread)
        return self.fate is Fate.ANONYMIZED


def sources(inputs: Iterable[Path], output: Path) -> list[Source]:
    """Find the files of files and folders.

    Raises
    ------
    ConfigError
        If an input is not there, two files would get one name, or an input would be replaced.
    """
    hidden = output.resolve()
    found = [one for path in inputs for one in _below(path, hidden)]
    _refuse_twins(found)
    ours = {identity for one in found if (identity := _identity(one.path))}
    if any(_identity(output / one.relative) in ours for one in found):
        raise ConfigError.of(
            "The output would replace its own input", "Name another directory under --output"
        )
    return found


def _below(path: Path, hidden: Path) -> Iterator[Source]:
    if not path.exists():
        raise ConfigError.of("An input does not exist", "Correct its name", str(path))
    if not path.is_dir():
        yield Source(path, PurePath(path.name), named=True)
        return
    errors: list[OSError] = []
    for folder, folders, files in os.walk(path, onerror=errors.append):
        place = Path(folder)
        folders[:] = sorted(name for name in folders if _is_input(place / name, hidden))
        linked = [name for name in folders if _unfollowed(place / name)]
        for name in sorted(files) + linked:
            one = place / name
            yield Source(one, one.relative_to(path), unread=_unfollowed(one))
    for error in errors:
        one = Path(error.filename)
        yield Source(one, one.relative_to(path), unread="The folder cannot be read")


def _unfollowed(path: Path) -> str:
    try:
        if not path.is_symlink() or path.is_file():
            return ""
        if path.is_dir():  # it may lead round in a circle
            return "It is a link to a folder, which is not followed"
        return "" if path.exists() else "It is a link to nothing that can be read"
    except OSError:  # such as a path that is too long
        return ""


def _is_input(folder: Path, hidden: Path) -> bool:
    ours = folder.name == STATE or folder.name.startswith(WORK)
    return folder.resolve() != hidden and not ours


def _refuse_twins(found: list[Source]) -> None:
    places: dict[str, Path] = {}
    for one in found:
        other = places.setdefault(str(one.relative).casefold(), one.path)
        if other != one.path:
            raise ConfigError.of(
                f"Two inputs have one relative path: {other} and {one.path}",
                "Name the folder above both as the input, or anonymize them one by one",
            )


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


class Anonymization:
    """Anonymizes files in worker processes.

    Parameters
    ----------
    recipe
        How.
    output
        Where the anonymized files go, under their relative paths, with mode 0600.
    workers
        Processes at the same time.
    on_done
        Hears of every file, one at a time.
    stop
        When it is set, no further file is begun.
    """

    def __init__(
        self,
        recipe: Recipe,
        output: Path,
        workers: int,
        on_done: Callable[[Done], None],
        stop: threading.Event,
    ) -> None:
        self._recipe = recipe
        self._output = output
        self._count = workers
        self._on_done = on_done
        self._stop = stop
        self._lock = threading.Lock()
        self._error: Exception | None = None
        self._work = output

    def carry_out(self, files: Iterable[Source]) -> None:
        """Anonymize all files.

        Raises
        ------
        FatalError
            If the output directory is full or cannot be written.
        """
        todo = iter(files)
        tree.create(self._output, WHAT)
        with ExitStack() as stack:
            self._work = Path(stack.enter_context(_work_directory(self._output)))
            pool = stack.enter_context(Workers(self._recipe, self._count))
            threads = [
                threading.Thread(target=self._serve, args=(todo, pool), daemon=True)
                for _ in range(self._count)
            ]
            for thread in threads:
                begin(thread)
            for thread in threads:
                thread.join()
        if self._error is not None:
            raise self._error

    def _serve(self, todo: Iterator[Source], pool: Workers) -> None:
        try:
            while (one := self._next(todo)) is not None:
                done = self._anonymize(one, pool)
                with self._lock:
                    self._on_done(done)
        except Exception as exc:  # noqa: BLE001 - raised again once all threads have ended
            self._error = self._error or exc
            self._stop.set()

    def _next(self, todo: Iterator[Source]) -> Source | None:
        with self._lock:
            return None if self._stop.is_set() else next(todo, None)

    def _anonymize(self, one: Source, pool: Workers) -> Done:
        reason = one.unread or _left_out(one.path)
        if reason:
            return Done(one, Fate.LEFT_OUT, reason)
        unfinished = self._work / f"{threading.get_ident()}.dcm"
        made = pool.carry_out(Job(one.path, unfinished))
        if isinstance(made, Made):
            self._place(unfinished, self._output / one.relative)
            return Done(one, Fate.ANONYMIZED)
        return _refused(one, made)

    def _place(self, unfinished: Path, target: Path) -> None:
        try:
            tree.make_private(target.parent)
            unfinished.replace(target)
        except OSError as exc:
            raise tree.fatal(exc, WHAT) from exc


def _refused(one: Source, made: Refused) -> Done:
    if made.errno:
        raise tree.fatal(OSError(made.errno, ""), WHAT)
    return Done(one, Fate.LEFT_OUT if made.not_dicom else Fate.QUARANTINED, made.reason)


def _left_out(path: Path) -> str:
    try:
        found = path.stat()
    except OSError:
        return "It cannot be read"
    if not stat.S_ISREG(found.st_mode):  # a pipe would be waited for without end
        return "It is not a file"
    if path.name.upper() == DIRECTORY_FILE:
        return "It is the directory of a medium, not an instance"
    return ""


def _work_directory(output: Path) -> "tempfile.TemporaryDirectory[str]":
    """Make a place on the same file system for what is not whole yet; no killed call's stays."""
    try:
        for left in output.glob(f"{WORK}*"):
            if not _is_alive(left.name.removeprefix(WORK).partition("-")[0]):
                shutil.rmtree(left)
        return tempfile.TemporaryDirectory(prefix=f"{WORK}{os.getpid()}-", dir=output)
    except OSError as exc:
        raise tree.fatal(exc, WHAT) from exc


def _is_alive(process: str) -> bool:
    """Whether another call may be at work; one of another machine cannot be told."""
    try:
        os.kill(int(process), 0)
    except ProcessLookupError:
        return False
    except (OSError, ValueError, OverflowError):
        return True
    return int(process) != os.getpid()


def processors() -> int:
    """Return how many worker processes this machine can keep busy."""
    return min(8, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 2)
