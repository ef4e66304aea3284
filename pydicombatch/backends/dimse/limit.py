"""A query that is ended after so many matches, whether the archive goes along or not."""

import time
from collections.abc import Callable

from pydicombatch.backends.dimse.command import Tag
from pydicombatch.backends.dimse.fragments import Message
from pydicombatch.backends.dimse.identifier import decode
from pydicombatch.backends.dimse.negotiation import Context
from pydicombatch.backends.dimse.wire import ProtocolError
from pydicombatch.core.found import Found

COURTESY = 5.0  # seconds that a cancelled query may go on; C-CANCEL may be ignored (PS3.4 C.4.1.3)
IGNORES_KEYS = 0xFF01  # PS3.4 C.4.1.1.4: pending, but optional keys were not supported
UNLIMITED = float("inf")


class EnoughError(Exception):
    """The archive goes on sending what nobody wants any more."""


class Limit:
    """Hands over the first matches of a query and cancels the rest.

    Parameters
    ----------
    most
        How many are wanted; None for all.
    on_found
        Is handed each of them.
    cancel
        Sends the C-CANCEL.
    """

    def __init__(
        self, most: int | None, on_found: Callable[[Found], None], cancel: Callable[[], None]
    ) -> None:
        self._most = UNLIMITED if most is None else most
        self._on_found = on_found
        self._cancel = cancel
        self.unreadable = 0
        self._count = 0
        self._cancelled_at: float | None = None

    @property
    def is_reached(self) -> bool:
        """Whether as many as were wanted have come."""
        return self._count >= self._most

    def patience(self) -> float:
        """How many seconds the archive may be silent now."""
        if self._cancelled_at is None:
            return UNLIMITED
        return max(0.0, self._cancelled_at + COURTESY - time.monotonic())

    def take(self, message: Message, context: Context) -> None:
        """Take a match; one that cannot be read does not hide the others.

        Raises
        ------
        EnoughError
            If the query goes on although it was cancelled.
        """
        if not self.is_reached:
            self._hand_over(message, context.transfer_syntax)
        if self.is_reached and self._cancelled_at is None:
            self._cancelled_at = time.monotonic()
            self._cancel()
        if not self.patience():
            raise EnoughError

    def _hand_over(self, message: Message, syntax: str) -> None:
        try:
            found = decode(message.data_set, syntax)
        except ProtocolError:
            self.unreadable += 1
            return
        self._count += 1
        ignores = message.command.number(Tag.STATUS) == IGNORES_KEYS
        self._on_found(Found(message.data_set or b"", syntax, found, ignores))
