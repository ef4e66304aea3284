"""When a connection was heard, and how much to read of it next."""

import time

from pydicombatch.receive.server.admission import Progress
from pydicombatch.receive.upperlayer.machine import Association
from pydicombatch.receive.upperlayer.phase import Phase

# bytes: until there is an association, and when few bytes are much work:
_FIRST_READ, _SMALL_READ = 32768, 1024
_MUCH, _FEW = 16, 128  # more events in one read, and fewer bytes for each of them


class Times:
    """The moments of one connection that its deadlines count from; monotonic seconds.

    Parameters
    ----------
    longest_read
        Bytes that are read at once at most.
    """

    def __init__(self, longest_read: int) -> None:
        self.heard = self.closing_since = self._opened = time.monotonic()
        self.unsent_since: float | None = None
        self.read_size = _FIRST_READ
        self._longest_read = longest_read
        self._unit_since: float | None = None
        self._units = 0

    @property
    def reads_little(self) -> bool:
        """Whether few bytes of this peer are much work."""
        return self.read_size <= _SMALL_READ

    def note(self, association: Association, work: int, size: int) -> None:
        """Note that so many bytes came, and how many events they were."""
        now = self.heard = time.monotonic()
        if work > _MUCH and work * _FEW > size:
            self.read_size = _SMALL_READ
        elif association.phase is Phase.OPEN:
            self.read_size = min(4 * self.read_size, self._longest_read)
        if association.phase is Phase.OPEN:
            self.closing_since = now
            if not association.inside_pdu:
                self._unit_since = None
            elif self._unit_since is None or association.units != self._units:
                self._unit_since = now
        self._units = association.units

    def progress(self, association: Association) -> Progress:
        """Where the connection is, for its deadline."""
        times = (self._opened, self.closing_since, self._unit_since, self.heard)
        owed = (not association.between_messages, association.awaits_answer)
        return Progress(association.phase, *times, *owed, self.unsent_since)
