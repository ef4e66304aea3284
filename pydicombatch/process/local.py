"""The processor in this process: spool file, decompression, layout, commit, digest."""

import hashlib
import os
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from errno import errorcode
from pathlib import Path, PurePath, PurePosixPath
from typing import Protocol

from pydicombatch.core.errors import FatalError
from pydicombatch.core.log import EventLog
from pydicombatch.core.model import Arrival, Known, Quarantined, Stored
from pydicombatch.process.characterised import BEGINNING, of_beginning
from pydicombatch.process.decompress import KeptError, is_plain
from pydicombatch.process.placing import UnusableError, values

AT_ONCE = 1 << 20  # bytes of a file that are read in one piece

log = EventLog(__name__)


class Landing(Protocol):
    """Where an instance lies now."""

    @property
    def path(self) -> str:
        """Below the output directory, with forward slashes."""

    @property
    def collided(self) -> bool:
        """Whether the plain path has another SOP Instance UID."""


class Visitor(Protocol):
    """Puts several files into the output directory; see `store.commit.Visit`."""

    def commit(self, source: Path, target: PurePosixPath, sop_instance_uid: str) -> Landing:
        """Put a durable file at its final path."""


class Committer(Protocol):
    """The output directory; see `store.commit.Store`."""

    def scratch(self) -> Path:
        """Return the path of a new file on the file system of the output."""

    def size(self, path: str) -> int | None:
        """Return the bytes of a stored file; None when it is not there."""

    def commit(self, source: Path, target: PurePosixPath, sop_instance_uid: str) -> Landing:
        """Put a durable file at its final path."""

    def visit(self) -> AbstractContextManager[Visitor]:
        """Commit one instance after the other; their names are durable at the end."""


class Planner(Protocol):
    """The templates of the output; see `store.layout.Layout`."""

    @property
    def paths(self) -> tuple[str, ...]:
        """Elements whose values are needed."""

    def plan(self, values: Mapping[str, str]) -> PurePosixPath:
        """Return where an instance with these values lands."""


class Spooled(Protocol):
    """Where arrivals lie; see `receive.spool.Spool`."""

    def path(self, name: PurePath) -> Path:
        """Return where a file of the spool is."""

    def discard(self, name: PurePath) -> None:
        """Remove a file of the spool."""


class Keeper(Protocol):
    """The quarantine; see `store.quarantine.Quarantine`."""

    def put(self, source: Path, name: str) -> str:
        """Keep a file, durably, and return its name."""


@dataclass(frozen=True, slots=True)
class LocalProcessor:
    """Takes arrivals from the spool to the output directory; safe in several threads.

    `decompress` writes a file as Explicit VR Little Endian to a path that is not there yet, or
    raises `KeptError`; None to store all as it came.
    """

    spool: Spooled
    store: Committer
    layout: Planner
    quarantine: Keeper
    decompress: Callable[[Path, Path], None] | None = None

    def process(
        self, some: Sequence[tuple[Arrival, Known | None]]
    ) -> Generator[Stored | Quarantined, None, None]:
        """Decompress if asked to, store, and say what lies where, one after the other.

        Parameters
        ----------
        some
            Arrivals, whose files lie in the spool and stay there; each with what the ledger holds
            under the same SOP Instance UID.

        Raises
        ------
        FatalError
            If the spool cannot be read, or output or quarantine are full, read-only or gone.
        """
        with self.store.visit() as visit:
            for arrival, known in some:
                yield self._process(visit, arrival, known)

    def _process(
        self, visit: Visitor, arrival: Arrival, known: Known | None
    ) -> Stored | Quarantined:
        source = self.spool.path(arrival.file)
        try:
            target = self.layout.plan(values(source, arrival.identifiers, self.layout.paths))
            with self._final_bytes(source, arrival) as final:
                kept = final == source and self._is_to_be_decompressed(arrival)
                return replace(self._land(visit, arrival, final, target, known), kept=kept)
        except UnusableError as exc:
            name = self.quarantine.put(source, arrival.file.name)
            return Quarantined(arrival, name, str(exc))
        except OSError as exc:
            symbol = errorcode.get(exc.errno or 0, type(exc).__name__)
            raise FatalError(
                f"An instance in the spool cannot be processed ({symbol})",
                "Check the disks of state.directory and output.directory, then run again",
            ) from exc
        except (FatalError, MemoryError):
            raise
        except Exception as exc:  # noqa: BLE001 - one odd instance must not end every run
            log.warning("process.failed", error=type(exc).__name__)
            name = self.quarantine.put(source, arrival.file.name)
            return Quarantined(arrival, name, f"It could not be processed ({type(exc).__name__})")

    def wish(self, arrival: Arrival) -> str:
        """Return the plain path of an arrival; in one case, as some file systems know but one."""
        return wish(self.spool.path(arrival.file), arrival, self.layout)

    def discard(self, arrival: Arrival) -> None:
        """Remove the spool file; called once the ledger holds what became of it."""
        self.spool.discard(arrival.file)

    @contextmanager
    def _final_bytes(self, source: Path, arrival: Arrival) -> Iterator[Path]:
        """Give the file that is to be stored; a decompressed one only as long as needed."""
        if not self._is_to_be_decompressed(arrival):
            yield source
            return
        scratch = self.store.scratch()
        try:
            yield self._decompressed(source, scratch)
        finally:
            scratch.unlink(missing_ok=True)

    def _is_to_be_decompressed(self, arrival: Arrival) -> bool:
        return self.decompress is not None and not is_plain(arrival.transfer_syntax_uid)

    def _decompressed(self, source: Path, scratch: Path) -> Path:
        assert self.decompress is not None
        try:
            self.decompress(source, scratch)
        except KeptError as exc:
            log.warning("decompress.kept", reason=str(exc))
            return source
        return scratch

    def _land(
        self,
        visit: Visitor,
        arrival: Arrival,
        final: Path,
        target: PurePosixPath,
        known: Known | None,
    ) -> Stored:
        digest, beginning, length = digested(final)
        if known is not None:
            size = self.store.size(known.path)
            if size is not None:
                return self._again(arrival, final, digest, known, size)
        landing = visit.commit(final, target, arrival.identifiers.sop_instance_uid)
        return Stored(
            arrival,
            landing.path,
            length,
            digest,
            collided=landing.collided,
            traits=of_beginning(beginning, whole=len(beginning) == length),
        )

    def _again(self, arrival: Arrival, final: Path, digest: str, known: Known, size: int) -> Stored:
        same = digest == known.sha256
        aside = "" if same else self.quarantine.put(final, arrival.file.name)
        return Stored(arrival, known.path, size, known.sha256, duplicate=True, aside=aside)


def wish(source: Path, arrival: Arrival, layout: Planner) -> str:
    """Return the plain path of a spool file, in one case.

    Raises
    ------
    UnusableError
        If it cannot be read.
    """
    return str(layout.plan(values(source, arrival.identifiers, layout.paths))).casefold()


def sha256(path: Path) -> str:
    """Return the digest of a file, in hexadecimal."""
    return digested(path)[0]


def digested(path: Path) -> tuple[str, bytes, int]:
    """Return the digest of a file, its beginning or all of it, and how many bytes it has."""
    with path.open("rb", buffering=0) as file:
        size = os.fstat(file.fileno()).st_size
        data = file.read(size if size <= AT_ONCE else BEGINNING)
        if len(data) == size <= AT_ONCE:
            return hashlib.sha256(data).hexdigest(), data, size
        if hasattr(os, "posix_fadvise"):
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_SEQUENTIAL)
        file.seek(0)
        return hashlib.file_digest(file, "sha256").hexdigest(), data, size
