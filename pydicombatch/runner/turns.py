"""Whose turn it is: arrivals with a claim in common go one after the other, as they came."""

from collections import deque
from collections.abc import Iterable


class Turns:
    """The line of what is under way; the caller sees to it that one thread asks at a time."""

    def __init__(self) -> None:
        self._claims: dict[str, tuple[str, ...]] = {}
        self._lines: dict[str, deque[str]] = {}  # claim -> who has it, the first one first

    def __len__(self) -> int:
        return len(self._claims)

    def enter(self, one: str, claims: Iterable[str]) -> None:
        """Stand behind all that have one of these claims."""
        self._claims[one] = held = tuple(dict.fromkeys(claims))
        for claim in held:
            self._lines.setdefault(claim, deque()).append(one)

    def is_first(self, one: str) -> bool:
        """Whether nobody stands in front."""
        return all(self._lines[claim][0] == one for claim in self._claims[one])

    def leave(self, one: str) -> None:
        """Let the next ones go on."""
        for claim in self._claims.pop(one, ()):
            line = self._lines[claim]
            line.remove(one)
            if not line:
                del self._lines[claim]
