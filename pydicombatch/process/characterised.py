"""A processor that looks at what was stored: statistics come from the stored values alone."""

from dataclasses import dataclass, replace
from mmap import ACCESS_READ, mmap
from pathlib import Path

from pydicombatch.core import traits
from pydicombatch.core.excerpt import Excerpt, UnreadableError
from pydicombatch.core.model import Arrival, Known, Quarantined, Stored
from pydicombatch.core.ports import Processor

EXCERPT = Excerpt(traits.READ)


@dataclass(frozen=True, slots=True)
class CharacterisingProcessor:
    """Adds the traits of the stored file to what another processor says.

    An instance that was anonymized is read as it was stored, so nothing identified is counted.
    `root` is `output.directory`.
    """

    inner: Processor
    root: Path

    def process(self, arrival: Arrival, known: Known | None) -> Stored | Quarantined:
        """Let the other one work; see `core.ports.Processor`."""
        done = self.inner.process(arrival, known)
        if isinstance(done, Quarantined) or done.duplicate:
            return done
        return replace(done, traits=_traits(self.root / done.path))

    def wish(self, arrival: Arrival) -> str:
        """Return the name that an arrival would like to have."""
        return self.inner.wish(arrival)

    def discard(self, arrival: Arrival) -> None:
        """Remove the spool file."""
        self.inner.discard(arrival)


def _traits(path: Path) -> traits.Traits | None:
    """Read a stored file; statistics are not worth an error."""
    try:
        with path.open("rb") as file, mmap(file.fileno(), 0, access=ACCESS_READ) as data:
            found = EXCERPT.of_file(data)
    except (OSError, ValueError, UnreadableError):
        return None
    return traits.of_values(dict(zip(traits.READ, found, strict=True)))
