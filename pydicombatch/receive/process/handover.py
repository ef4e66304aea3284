"""Arrivals and questions of the receiver, answered in threads of their own.

A slow engine delays what peers are answered, not the messages between the processes.
"""

import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any

from pydicombatch.core.log import EventLog
from pydicombatch.core.model import Arrival, Identifiers
from pydicombatch.core.threads import begin
from pydicombatch.receive.process.channel import Channel

Retained = Callable[[Identifiers], tuple[int, ...]]
_TAKEN_TOGETHER = 32  # announcements confirmed by one message

log = EventLog(__name__)


class Handover:
    """Passes on what the receiver's processes announce and ask.

    Parameters
    ----------
    announce
        Called for every arrival.
    retained
        Ledger ids of requests sent earlier that name an instance.
    on_failure
        Called when an arrival could not be announced.
    """

    def __init__(
        self,
        announce: Callable[[Arrival], None],
        retained: Retained,
        on_failure: Callable[[], None],
    ) -> None:
        self._announce = announce
        self._retained = retained
        self._on_failure = on_failure
        self._arrivals: SimpleQueue[tuple[Channel | None, list[Arrival]] | None] = SimpleQueue()
        self._questions: SimpleQueue[tuple[Channel, list[Any]] | None] = SimpleQueue()
        self._threads = [
            threading.Thread(target=self._announcing, name="receiver-arrivals", daemon=True),
            threading.Thread(target=self._answering, name="receiver-questions", daemon=True),
        ]
        for thread in self._threads:
            begin(thread)

    def arrived(self, channel: Channel | None, together: list[Arrival]) -> None:
        """Announce arrivals, then tell the process that they were taken; None: it is gone."""
        self._arrivals.put((channel, together))

    def ask(self, channel: Channel, question: list[Any]) -> None:
        """Answer a question: its number, and identifiers."""
        self._questions.put((channel, question))

    def close(self) -> None:
        """Finish what was said, then end."""
        self._questions.put(None)
        self._arrivals.put(None)
        for thread in self._threads:
            thread.join()

    def _announcing(self) -> None:
        while (job := self._arrivals.get()) is not None:
            channel, together = job
            for first in range(0, len(together), _TAKEN_TOGETHER):
                some = together[first : first + _TAKEN_TOGETHER]
                for arrival in some:
                    self._hand_over(arrival)
                if channel is not None:
                    channel.send({"taken": len(some)})

    def _hand_over(self, arrival: Arrival) -> None:
        try:
            self._announce(arrival)
        except Exception as exc:  # noqa: BLE001 - it stays in the spool for the next run
            log.warning("announce.failed", error=type(exc).__name__)
            self._on_failure()

    def _answering(self) -> None:
        while (job := self._questions.get()) is not None:
            channel, (number, identifiers) = job
            try:
                requests = self._retained(Identifiers(*identifiers))
            except Exception as exc:  # noqa: BLE001 - the archive may send it again
                log.warning("retained.failed", error=type(exc).__name__)
                requests = ()
            channel.send({"answer": [number, list(requests)]})
