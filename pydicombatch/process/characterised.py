"""A processor that looks at what was stored: statistics come from the stored values alone."""

from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import lru_cache
from mmap import ACCESS_READ, mmap
from pathlib import Path

from pydicombatch.core import traits
from pydicombatch.core.excerpt import Excerpt, UnreadableError
from pydicombatch.core.model import Arrival, Known, Quarantined, Stored
from pydicombatch.core.ports import Processor

EXCERPT = Excerpt(traits.READ)
BEGINNING = 1 << 16  # bytes; what traits are made of is nearly always in them


@dataclass(frozen=True, slots=True)
class CharacterisingProcessor:
    """Adds the traits of the stored file to what another processor says.

    An instance that was anonymized is read as it was stored, so nothing identified is counted.
    `root` is `output.directory`.
    """

    inner: Processor
    root: Path

    def process(
        self, some: Sequence[tuple[Arrival, Known | None]]
    ) -> Generator[Stored | Quarantined, None, None]:
        """Let the other one work; see `core.ports.Processor`."""
        with closing(self.inner.process(some)) as results:
            for done in results:
                if isinstance(done, Quarantined) or done.duplicate or done.traits is not None:
                    yield done
                else:
                    yield replace(done, traits=_traits(self.root / done.path))

    def wish(self, arrival: Arrival) -> str:
        """Return the name that an arrival would like to have."""
        return self.inner.wish(arrival)

    def discard(self, arrival: Arrival) -> None:
        """Remove the spool file."""
        self.inner.discard(arrival)


def of_beginning(data: bytes, *, whole: bool) -> traits.Traits | None:
    """Return the traits of a file of the usual kind from its beginning; None if more is needed.

    Parameters
    ----------
    data
        `BEGINNING` bytes of it, or more.
    whole
        Whether that is all of it.
    """
    try:
        return _of_values(EXCERPT.of_beginning(data, whole=whole))
    except (ValueError, UnreadableError):
        return None


def _traits(path: Path) -> traits.Traits | None:
    """Read a stored file; statistics are not worth an error."""
    try:
        with path.open("rb", buffering=0) as file:
            data = file.read(BEGINNING)
            found = of_beginning(data, whole=len(data) < BEGINNING)
            if found is not None:
                return found
            with mmap(file.fileno(), 0, access=ACCESS_READ) as all_of_it:
                return _of_values(EXCERPT.of_file(all_of_it))
    except (OSError, ValueError, UnreadableError):
        return None


@lru_cache(maxsize=64)
def _of_values(found: tuple[str, ...]) -> traits.Traits:
    """Make once what the instances of a series have in common."""
    return traits.of_values(dict(zip(traits.READ, found, strict=True)))
