"""Which spool files the engine has been told of; the others are found after a crash."""

from contextlib import suppress
from pathlib import Path, PurePath

from pydicombatch.core.model import Arrival
from pydicombatch.receive.spool import NAME, identify

_PRUNE = 4096  # names kept, before those whose file is gone are forgotten


class Custody:
    """Names announced and still in the spool.

    Parameters
    ----------
    directory
        The spool.
    runs
        Identities in the names of our files; files of others are left alone.
    """

    def __init__(self, directory: Path, runs: frozenset[str]) -> None:
        self._directory = directory
        self._runs = runs
        self._announced: set[str] = set()
        self._prune_at = _PRUNE
        self.counted = 0  # the highest number in a name that was announced

    def begin(self) -> None:
        """Leave what lies there before the receiver starts to those who recover the spool."""
        self._announced |= {path.name for path in self._directory.iterdir()}

    def note(self, arrival: Arrival) -> None:
        """Remember that an arrival was announced."""
        self._announced.add(arrival.file.name)
        name = NAME.fullmatch(arrival.file.name)
        self.counted = max(self.counted, int(name["count"]) if name else 0)
        if len(self._announced) >= self._prune_at:
            with suppress(OSError):  # it only saves memory
                self._announced &= {path.name for path in self._directory.iterdir()}
            self._prune_at = 2 * len(self._announced) + _PRUNE

    def unannounced(self) -> list[Arrival]:
        """Return what is durable in the spool and was not announced; now it is."""
        found = []
        for path in sorted(self._directory.iterdir()):
            name = NAME.fullmatch(path.name)
            if name and name["run"] in self._runs and path.name not in self._announced:
                numbers = () if name["requests"] == "x" else name["requests"].split("+")
                identifiers, syntax = identify(path)
                requests = tuple(map(int, numbers))
                size = path.stat().st_size
                arrival = Arrival(PurePath(path.name), identifiers, syntax, size, requests)
                self.note(arrival)
                found.append(arrival)
        return found
