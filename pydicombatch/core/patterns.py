"""Regular expressions of an operator that no value can make hang (fault S12). Pure.

Python's matcher tries every way in which a text can be divided among the repetitions of an
expression. Where one repetition can divide the same text in several ways, as in `(a+)+`, their
number doubles with each character: such an expression is refused. Where several repetitions follow
one another, as in `.*a.*b`, it grows like a power of the length: such an expression is given texts
up to a length alone, so that no comparison takes more than about `STEPS` steps, a second or two.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from math import comb

from pydicombatch.core.pattern_graph import Graph, TooComplexError, graph_of

LONGEST = 20_000  # characters of an expression
STEPS = 20_000_000
LONGEST_TEXT = 10_240  # characters; LT, the longest text that people search, has no more
SHORTEST_TEXT = 64  # characters; LO has 64, so an expression must be able to read as many


class PatternError(ValueError):
    """An expression that cannot be used; the message is a clause without any value."""


class TooLongError(PatternError):
    """A text that is too long for this expression."""


@dataclass(frozen=True, slots=True)
class Pattern:
    """A compiled expression with the longest text that it may be held against."""

    compiled: re.Pattern[str]
    longest: int  # characters

    def search(self, text: str) -> re.Match[str] | None:
        """Find it anywhere in a text."""
        return self.compiled.search(self._bounded(text))

    def fullmatch(self, text: str) -> re.Match[str] | None:
        """Hold it against the whole of a text."""
        return self.compiled.fullmatch(self._bounded(text))

    def sub(self, replace: Callable[[re.Match[str]], str], text: str) -> str:
        """Replace all places where it is found."""
        return self.compiled.sub(replace, self._bounded(text))

    def _bounded(self, text: str) -> str:
        if len(text) > self.longest:
            raise TooLongError(f"a text of more than {self.longest} characters is too long for it")
        return text


def bounded(expression: str, flags: int = 0) -> Pattern:
    """Compile an expression if no text can make it hang.

    Parameters
    ----------
    expression
        In the syntax of Python's `re`.
    flags
        Of the `re` module.

    Raises
    ------
    PatternError
        If it is malformed, too long, or could take for ever.
    """
    if len(expression) > LONGEST:
        raise PatternError(f"it has more than {LONGEST} characters")
    try:
        compiled = re.compile(expression, flags)
    except (re.error, ValueError, OverflowError, RecursionError) as exc:
        raise PatternError("it is not a regular expression") from exc
    return Pattern(compiled, longest_text(expression, compiled.flags))


def longest_text(expression: str, flags: int = 0) -> int:
    """Return how many characters an expression may be held against; see the module.

    Raises
    ------
    PatternError
        If it could take for ever on fewer than 64.
    """
    try:
        graphs = list(graph_of(expression, flags))
    except (TooComplexError, RecursionError) as exc:
        raise PatternError("it is too complex") from exc
    if any(graph.is_ambiguous() for graph in graphs):
        raise PatternError("it repeats something in several ways at once, as (a+)+ does")
    longest = min(map(_longest, graphs), default=LONGEST_TEXT)
    if longest < SHORTEST_TEXT:
        raise PatternError("it has too many repetitions that can take the same text")
    return longest


def _longest(graph: Graph) -> int:
    """Search for the longest text whose divisions among the repetitions are few enough."""
    power = graph.loops + 1  # the search begins at every character
    choices = 2 ** min(graph.options, 64)
    low, high = 0, LONGEST_TEXT
    while low < high:
        middle = (low + high + 1) // 2
        fits = comb(middle + power, power) * choices <= STEPS
        low, high = (middle, high) if fits else (low, middle - 1)
    return low
