"""A regular expression as a graph of its characters, to see how it can divide a text. Pure.

The positions of an expression (Glushkov 1961) are the nodes; an edge says that one may follow
another. An expression takes exponential time when one word leads from a position back to it in two
ways (Weber and Seidl 1991): in the graph of pairs of positions, a pair of equals and a pair of
unequals then lie in one cycle. So it does when two repetitions give the same edge of a cycle.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

from pydicombatch.core.character_sets import ANYTHING, Ranges, overlap, ranges_of

# The parser of the standard library: its tree is what the matcher carries out
_PARSER: Any = vars(re)["_parser"]

MOST = 3_000  # positions
MOST_PAIRS = 100_000  # of positions that one text leads to
COPIES = 16  # of a repetition with a fixed count
ENDLESS = 2**31
_INLINE_CASE = re.compile(r"\(\?[a-zA-Z]*i")


class TooComplexError(ValueError):
    """The expression has more positions than anybody needs."""


@dataclass(slots=True)
class _Piece:
    """A part of an expression: where it can begin and end, and whether it can be empty."""

    first: frozenset[int] = frozenset()
    last: frozenset[int] = frozenset()
    empty: bool = True


@dataclass
class Graph:
    """Positions and what may follow them."""

    sets: list[Ranges] = field(default_factory=list)
    follows: dict[int, set[int]] = field(default_factory=dict)
    doubled: set[tuple[int, int]] = field(default_factory=set)  # edges from two repetitions
    loops: int = 0  # repetitions that can take what another can
    has_twins: bool = False  # whether a repetition holds two ways to take nothing
    options: int = 0  # parts that may be left out, and can take what another can

    def add(self, ranges: Ranges) -> _Piece:
        """Add a position."""
        if len(self.sets) >= MOST:
            raise TooComplexError
        here = len(self.sets)
        self.sets.append(ranges)
        self.follows[here] = set()
        return _Piece(frozenset({here}), frozenset({here}), empty=False)

    def link(self, before: Iterable[int], after: frozenset[int]) -> None:
        """Add edges; one that is there already has come about in two ways."""
        for one in before:
            self.doubled.update((one, other) for other in after & self.follows[one])
            self.follows[one] |= after

    def is_ambiguous(self) -> bool:
        """Whether a text can be divided in exponentially many ways."""
        single = _components({one: self.follows[one] for one in self.follows})
        if self.has_twins or any(single[one] == single[two] for one, two in self.doubled):
            return True
        pairs = self._pairs()
        component = _components(pairs)
        mixed = {component[one, other] for one, other in pairs if one != other}
        return any(component[one, one] in mixed for one in self.follows if (one, one) in pairs)

    def _pairs(self) -> dict[tuple[int, int], set[tuple[int, int]]]:
        """Return the pairs of positions that one text leads to from a single one."""
        waiting = [(one, one) for one in self.follows]
        found: dict[tuple[int, int], set[tuple[int, int]]] = {}
        while waiting:
            pair = waiting.pop()
            if pair in found:
                continue
            found[pair] = {
                (one, other)
                for one in self.follows[pair[0]]
                for other in self.follows[pair[1]]
                if one == other or overlap(self.sets[one], self.sets[other])
            }
            if len(found) > MOST_PAIRS:
                raise TooComplexError
            waiting.extend(found[pair])
        return found


def graph_of(expression: str, flags: int) -> Iterator[Graph]:
    """Yield the graph of an expression, and one of each that it looks ahead or behind for.

    Of an alternation, each alternative has one: they are tried one after the other.
    """
    waiting = _alternatives(_PARSER.parse(expression, flags & ~re.DEBUG))
    cased = bool(flags & re.IGNORECASE) or _INLINE_CASE.search(expression) is not None
    while waiting:
        builder = _Builder(cased=cased)
        builder.sequence(waiting.pop())
        builder.count()
        waiting.extend(builder.looked_for)
        yield builder.graph


def _alternatives(tree: Any) -> list[Any]:  # noqa: ANN401 - the tree is untyped
    if len(tree) == 1 and str(tree[0][0]) == "BRANCH":
        return list(tree[0][1][1])
    return [tree]


class _Builder:
    """Walks the tree of a parsed expression."""

    def __init__(self, *, cased: bool) -> None:
        self.graph = Graph()
        self.looked_for: list[Any] = []
        self._cased = cased
        self._loops: list[Ranges] = []
        self._depth = 0  # of repetitions around what is being read
        self._options: list[tuple[Ranges, int]] = []  # what may be left out, and how many there are

    def count(self) -> None:
        """Count the choices between repetitions that can take the same character."""
        every = [*self._loops, *(taken for taken, _ in self._options)]
        competing = [
            any(overlap(one, other) for at, other in enumerate(every) if at != number)
            for number, one in enumerate(every)
        ]
        loops = len(self._loops)
        self.graph.loops = sum(competing[:loops]) or min(1, loops)
        for (_, times), competes in zip(self._options, competing[loops:], strict=True):
            self.graph.options += times if competes or times > 1 else 0

    def sequence(self, items: Iterable[Any]) -> _Piece:
        """Put pieces behind one another."""
        whole = _Piece()
        for name, argument in items:
            whole = self._behind(whole, self._piece(str(name), argument))
        return whole

    def _behind(self, one: _Piece, other: _Piece) -> _Piece:
        self.graph.link(one.last, other.first)
        return _Piece(
            one.first | other.first if one.empty else one.first,
            one.last | other.last if other.empty else other.last,
            one.empty and other.empty,
        )

    def _piece(self, name: str, argument: Any) -> _Piece:  # noqa: ANN401 - the tree is untyped
        if name in {"LITERAL", "NOT_LITERAL", "ANY", "IN"}:
            return self.graph.add(ranges_of(name, argument, cased=self._cased))
        if name in {"MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"}:
            return self._repeat(*argument)
        return self._structure(name, argument)

    def _structure(self, name: str, argument: Any) -> _Piece:  # noqa: ANN401
        if name == "SUBPATTERN":
            return self.sequence(argument[3])
        if name == "ATOMIC_GROUP":
            return self.sequence(argument)
        if name == "BRANCH":
            return self._either(self.sequence(one) for one in argument[1])
        if name == "GROUPREF_EXISTS":
            return self._either(self.sequence(one or ()) for one in argument[1:])
        if name == "GROUPREF":  # whatever the group has taken
            return self._loop(self.graph.add(ANYTHING), 0, len(self.graph.sets) - 1)
        if name in {"ASSERT", "ASSERT_NOT"}:
            self.looked_for.append(argument[1])
        return _Piece()

    def _either(self, pieces: Iterable[_Piece]) -> _Piece:
        several = list(pieces)
        if sum(one.empty for one in several) > 1:  # as in (a|a), which the parser makes a(|) of
            self._twin()
        elif self._may_begin_alike(several):
            self._options.append((ANYTHING, len(several).bit_length()))
        return _Piece(
            frozenset().union(*(one.first for one in several)),
            frozenset().union(*(one.last for one in several)),
            any(one.empty for one in several),
        )

    def _repeat(self, least: int, most: int, body: Any) -> _Piece:  # noqa: ANN401
        most = min(most, ENDLESS)
        if most == 0:
            return _Piece()
        copies = min(max(least, 1), COPIES)
        whole = _Piece()
        options, is_blank = len(self._options), False
        self._depth += most > 1
        for number in range(copies):
            start = len(self.graph.sets)
            piece = self.sequence(body)
            is_blank = piece.empty
            if number == copies - 1 and most > copies:
                piece = self._loop(piece, least, start)
            whole = self._behind(whole, piece)
        self._depth -= most > 1
        if is_blank and least == 0:  # to leave it out, or to take it with nothing in it
            self._twin()
        if most > copies and most < ENDLESS:  # the copies that were not made have choices too
            added = self._options[options:]
            self._options += [(taken, times * (most - copies)) for taken, times in added]
        if least == 0 and most == 1:
            self._options.append((self._taken(start), 1))
        return _Piece(whole.first, whole.last, whole.empty or least == 0)

    def _may_begin_alike(self, pieces: list[_Piece]) -> bool:
        heads = [tuple(pair for at in one.first for pair in self.graph.sets[at]) for one in pieces]
        return any(overlap(one, other) for one, other in combinations(heads, 2))

    def _twin(self) -> None:
        """Note that nothing can be taken in two ways; again and again, if it is repeated."""
        self.graph.has_twins |= self._depth > 0
        self._options.append((ANYTHING, 2))

    def _loop(self, piece: _Piece, least: int, start: int) -> _Piece:
        """Let a piece follow itself."""
        self.graph.link(piece.last, piece.first)
        self._loops.append(self._taken(start))
        return _Piece(piece.first, piece.last, piece.empty or least == 0)

    def _taken(self, start: int) -> Ranges:
        """Return the characters of all positions from one on."""
        return tuple(pair for ranges in self.graph.sets[start:] for pair in ranges)


def _components(edges: dict[Any, set[Any]]) -> dict[Any, int]:
    """Give every node the number of its strongly connected component (Kosaraju)."""
    order = _finished(edges)
    reverse: dict[Any, set[Any]] = {one: set() for one in edges}
    for one, others in edges.items():
        for other in others:
            reverse[other].add(one)
    number: dict[Any, int] = {}
    for count, root in enumerate(reversed(order)):
        waiting = [root]
        while waiting:
            one = waiting.pop()
            if one not in number:
                number[one] = count
                waiting.extend(reverse[one])
    return number


def _finished(edges: dict[Any, set[Any]]) -> list[Any]:
    """Return the nodes in the order in which a depth-first search leaves them."""
    seen: set[Any] = set()
    order: list[Any] = []
    for root, begun in edges.items():
        waiting = [] if root in seen else [(root, iter(begun))]
        seen.add(root)
        while waiting:
            one, others = waiting[-1]
            new = next((other for other in others if other not in seen), None)
            if new is None:
                order.append(one)
                waiting.pop()
            else:
                seen.add(new)
                waiting.append((new, iter(edges[new])))
    return order
