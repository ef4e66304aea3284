"""Regular expressions that cannot hang a run.

A pattern becomes an automaton that follows all its paths at once, so that the work grows with
pattern times text and never with a power of it. What needs backtracking (references to groups,
looking around) is refused; everything else means what it means in Python.
"""

from dataclasses import dataclass, field

from pydicombatch.select.pattern import (
    Alternatives,
    Assertion,
    Character,
    Node,
    Repeat,
    Sequence,
    read,
)

LONGEST_TEXT = 4096  # characters that are looked at
MOST_STATES = 2000

Step = tuple[Character | Assertion | None, tuple[int, ...]]  # what is needed, where it leads


@dataclass(frozen=True, slots=True)
class Regex:
    """A pattern that is looked for anywhere in a text."""

    source: str
    ignore_case: bool
    steps: tuple[Step, ...] = field(repr=False, compare=False)

    def found_in(self, text: str) -> bool:
        """Tell whether the pattern occurs in the first 4096 characters of a text."""
        text = text[:LONGEST_TEXT]
        last = len(self.steps)
        here: set[int] = set()
        for at in range(len(text) + 1):
            reached = self._closure(here | {0}, text, at)
            if last in reached:
                return True
            if at < len(text):
                here = self._moved(reached, text[at])
        return False

    def _closure(self, start: set[int], text: str, at: int) -> set[int]:
        """Follow everything that needs no character."""
        seen: set[int] = set()
        waiting = list(start)
        while waiting:
            state = waiting.pop()
            if state in seen:
                continue
            seen.add(state)
            if state == len(self.steps):
                continue
            needs, targets = self.steps[state]
            if needs is None or (isinstance(needs, Assertion) and needs.holds(text, at)):
                waiting.extend(targets)
        return seen

    def _moved(self, states: set[int], character: str) -> set[int]:
        found: set[int] = set()
        for state in states:
            if state < len(self.steps):
                needs, targets = self.steps[state]
                if isinstance(needs, Character) and needs.fits(character, self.ignore_case):
                    found.update(targets)
        return found


def compile_regex(source: str, *, ignore_case: bool = False) -> Regex:
    """Make the automaton of a pattern.

    Raises
    ------
    ValueError
        If the pattern is wrong, needs backtracking or is too large; the message is a clause.
    """
    builder = _Builder()
    builder.add(read(source))
    return Regex(source, ignore_case, tuple(builder.steps))


class _Builder:
    """Lays the states out one behind the other; the state behind the last one accepts."""

    def __init__(self) -> None:
        self.steps: list[Step] = []

    def add(self, node: Node) -> None:
        """Append the states of a node; its end is the state that comes next."""
        if isinstance(node, Character | Assertion):
            self._put(node, (len(self.steps) + 1,))
        elif isinstance(node, Sequence):
            for part in node.parts:
                self.add(part)
        elif isinstance(node, Alternatives):
            self._alternatives(node)
        else:
            self._repeat(node)

    def _put(self, needs: Character | Assertion | None, targets: tuple[int, ...]) -> int:
        if len(self.steps) >= MOST_STATES:
            raise ValueError("it is too large")
        self.steps.append((needs, targets))
        return len(self.steps) - 1

    def _alternatives(self, node: Alternatives) -> None:
        fork = self._put(None, ())
        starts, ends = [], []
        for choice in node.choices:
            starts.append(len(self.steps))
            self.add(choice)
            ends.append(self._put(None, ()))
        self.steps[fork] = (None, tuple(starts))
        for end in ends:
            self.steps[end] = (None, (len(self.steps),))

    def _repeat(self, node: Repeat) -> None:
        for _ in range(node.least):
            self.add(node.part)
        if node.most is None:
            fork = self._put(None, ())
            self.add(node.part)
            self._put(None, (fork,))
            self.steps[fork] = (None, (fork + 1, len(self.steps)))
            return
        forks = []
        for _ in range(node.most - node.least):
            forks.append(self._put(None, ()))
            self.add(node.part)
        for fork in forks:
            self.steps[fork] = (None, (fork + 1, len(self.steps)))
