"""All parts of an export, made by processes of our own: one for each core."""

import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from itertools import islice
from multiprocessing import get_context, parent_process
from pathlib import Path

from pydicombatch.core.errors import FatalError
from pydicombatch.core.threads import begin
from pydicombatch.report.export import parts
from pydicombatch.report.export.headers import Reader, Wanted

AHEAD = 4  # parts a process that wait for it


@dataclass(frozen=True, slots=True)
class Part:
    """A finished piece."""

    file: Path
    instances: int
    resumed: bool  # it was there already


def carry_out(
    root: Path,
    folder: Path,
    paths: Sequence[str],
    wanted: Iterable[Wanted],
    processes: int,
    meanwhile: Callable[[], None] = lambda: None,
) -> Iterator[Part]:
    """Make every part that is not there yet; yield all in the order of the instances.

    Parameters
    ----------
    root
        The output directory.
    folder
        Where parts lie; made if needed, readable by its owner alone.
    paths
        Canonical paths of elements.
    wanted
        The instances.
    processes
        How many read at the same time; started by `spawn`, and ended with the last part.
    meanwhile
        Called once, when the first parts have been given away.

    Raises
    ------
    FatalError
        If a part cannot be written, or a process was killed.
    """
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        with ProcessPoolExecutor(
            processes, get_context("spawn"), _prepare, (str(root), tuple(paths))
        ) as pool:
            given = (_given(pool, folder, paths, one) for one in _several(wanted, parts.TOGETHER))
            waiting = deque(islice(given, AHEAD * processes))
            meanwhile()
            while waiting:
                yield _finished(*waiting.popleft())
                waiting.extend(islice(given, 1))
    except OSError as exc:
        raise FatalError(
            f"A part of the export cannot be written ({type(exc).__name__})",
            "Make space on the disk of the state directory, and start again: it goes on",
        ) from exc
    except BrokenProcessPool as exc:
        raise FatalError(
            "A process of the export has ended unexpectedly",
            "Look whether the machine is out of memory, and start again: it goes on",
        ) from exc


def _several(wanted: Iterable[Wanted], most: int) -> Iterator[tuple[Wanted, ...]]:
    rest = iter(wanted)
    while several := tuple(islice(rest, most)):
        yield several


def _given(
    pool: ProcessPoolExecutor, folder: Path, paths: Sequence[str], several: tuple[Wanted, ...]
) -> tuple[Future[None] | None, Part]:
    """Let a part be made, if it is not there."""
    file = folder / parts.name(paths, several)
    there = file.is_file()
    work = None if there else pool.submit(_make, str(file), several)
    return work, Part(file, len(several), there)


def _finished(work: Future[None] | None, part: Part) -> Part:
    if work is not None:
        work.result()
    return part


class _Worker:
    """What a process keeps between two parts."""

    reader: Reader


def _prepare(root: str, paths: tuple[str, ...]) -> None:
    begin(threading.Thread(target=_end_with_parent, daemon=True))
    _Worker.reader = Reader(Path(root), paths)


def _end_with_parent() -> None:
    """Leave when the parent is gone, killed perhaps: nobody else would tell this process."""
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _make(file: str, wanted: Sequence[Wanted]) -> None:
    parts.write(Path(file), map(_Worker.reader.read, wanted))
