"""A query that is ended after so many matches, whether the archive goes along or not."""

import time
from collections.abc import Callable

from pydicombatch.core.found import Found

COURTESY = 5.0  # seconds that a cancelled query may go on; C-CANCEL may be ignored (PS3.4 C.4.1.3)
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
        self._count = 0
        self._cancelled_at: float | None = None

    @property
    def is_reached(self) -> bool:
        """Whether as many as were wanted have come."""
        return self._count >= self._most

    @property
    def patience(self) -> float:
        """How many seconds the archive may be silent now."""
        if self._cancelled_at is None:
            return UNLIMITED
        return max(0.0, self._cancelled_at + COURTESY - time.monotonic())

    def take(self, found: Found) -> None:
        """Take a match.

        Raises
        ------
        EnoughError
            If the query goes on although it was cancelled.
        """
        if not self.is_reached:
            self._count += 1
            self._on_found(found)
        if self.is_reached and self._cancelled_at is None:
            self._cancelled_at = time.monotonic()
            self._cancel()
        if not self.patience:
            raise EnoughError
