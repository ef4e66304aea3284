"""What a run has done so far, counted from its events, which are passed on one at a time."""

import threading
from collections.abc import Callable

from pydicombatch.runner.events import Event, Finished, InstanceStored


class RunTally:
    """Counts events and hands them to a listener that need not be safe for threads."""

    def __init__(self, listener: Callable[[Event], None] | None) -> None:
        self._listener = listener
        self._lock = threading.Lock()
        self.requests = 0
        self.instances = 0
        self.bytes = 0
        self.kept = 0

    def __call__(self, event: Event) -> None:
        """Take an event from any thread."""
        with self._lock:
            if isinstance(event, Finished):
                self.requests += 1
            elif isinstance(event, InstanceStored):
                self.instances += 1
                self.bytes += event.size
                self.kept += event.kept
            if self._listener:
                self._listener(event)
