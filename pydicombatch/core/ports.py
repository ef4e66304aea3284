"""What the runner needs from the outside world, one verb each."""

from collections.abc import Callable, Generator, Sequence
from typing import Protocol

from pydicombatch.core.adoption import Adoption, Returned
from pydicombatch.core.attribution import Expectation
from pydicombatch.core.model import (
    Answer,
    Arrival,
    Known,
    Match,
    Quarantined,
    Request,
    Stored,
    Tally,
)


class Archive(Protocol):
    """One association to the archive, kept open between requests, used by one thread.

    Every verb opens the association when it is not open, and re-opens it when the archive has
    dropped it in between. Each may raise `TransientError` (connection lost, silence, rejected for
    load: try again later), `RequestError` (this request cannot be sent: try another) or
    `FatalError` (rejected for good, model not offered: nothing will succeed).
    """

    def open(self) -> None:
        """Open the association unless it is open."""

    def echo(self) -> Answer:
        """Send a C-ECHO and return its final response."""

    def find(self, request: Request, on_match: Callable[[Match], None]) -> Answer:
        """Send a C-FIND, hand over every match, return the final response."""

    def is_relational(self) -> bool:
        """Whether it has granted relational queries on the association that is open."""

    def move(
        self,
        request: Request,
        message_id: int,
        destination: str,
        on_progress: Callable[[Tally], None],
    ) -> Answer:
        """Send a C-MOVE to `destination`, hand over the counts of every pending response."""

    def get(
        self, request: Request, message_id: int, adopter: "Adopter", turn: Callable[[], None]
    ) -> Answer:
        """Send a C-GET; `adopter` takes what comes back on the same association.

        `turn` waits until one more request may leave: queries before it, and other rounds.
        """

    def cancel(self) -> None:
        """Ask the archive to end the operation that runs (PS3.7 9.3.2.3); from any thread."""

    def abort(self) -> None:
        """Drop the association at once; from any thread."""

    def close(self) -> None:
        """Release the association; never raises."""


class Adopted(Protocol):
    """An association of ours while the receiver serves it, as the one who asked sees it."""

    def fileno(self) -> int:
        """Return a descriptor that can be read when there is something to hear."""

    def hear(self) -> Returned | None:
        """Hear what there is, without waiting; None: instances come, or are being kept.

        Raises
        ------
        ConnectionError
            If the receiver is gone.
        """

    def send(self, data: bytes) -> None:
        """Have bytes sent behind what is being sent; from any thread."""

    def end(self) -> None:
        """Have it dropped, whatever it does; from any thread."""

    def close(self) -> None:
        """Give the descriptor back; only by its owner."""


class Adopter(Protocol):
    """Takes the instances that come back on our own association (C-GET)."""

    def adopt(self, connection: int, adoption: Adoption) -> Adopted:
        """Serve a connection until something else comes than an instance; from any thread.

        `connection` is a descriptor; it stays the caller's, who must not use it meanwhile.

        Raises
        ------
        ConnectionError
            If the receiver is gone.
        """


class Receiver(Protocol):
    """Our storage SCP: what the archive pushes ends up in the spool, durable, then announced."""

    def start(self, announce: Callable[[Arrival], None]) -> None:
        """Listen; call `announce` for every instance that is durable in the spool.

        Raises
        ------
        ConfigError
            If the port cannot be bound.
        """

    def expect(self, expectation: Expectation) -> None:
        """Accept the instances of this request from now on; returns once that is in force."""

    def settle(self, request: int) -> None:
        """Forget this request; its late instances are welcome as long as the ledger says so."""

    def hasten(self) -> None:
        """Announce at once what is kept: somebody waits for the last instances of a request."""

    def refused(self) -> int:
        """Return how many instances nobody asked for were refused so far."""

    def is_full(self) -> bool:
        """Tell whether instances are refused because the disk of the spool is too full."""

    def close(self) -> None:
        """Stop listening; instances acknowledged so far have been announced."""


class Processor(Protocol):
    """Takes an arrival from the spool to its final path."""

    def process(
        self, some: Sequence[tuple[Arrival, Known | None]]
    ) -> Generator[Stored | Quarantined, None, None]:
        """Decompress, anonymize, store arrivals in turn; the spool files stay until `discard`.

        Each comes with what the ledger holds under the same SOP Instance UID; two arrivals of one
        UID are never processed at the same time. Safe to call from several threads. A power cut
        may take what was stored until the iterator has ended, or was closed, without an error.

        Raises
        ------
        FatalError
            If the output directory is full, read-only or gone.
        """

    def wish(self, arrival: Arrival) -> str:
        """Return the name that an arrival would like to have, "" when that is not known yet."""

    def discard(self, arrival: Arrival) -> None:
        """Remove the spool file; called once the ledger holds what became of it."""
