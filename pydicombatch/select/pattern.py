"""The text of a regular expression to its parts; what an automaton cannot follow is refused."""

from collections.abc import Callable
from dataclasses import dataclass

LONGEST = 500  # characters of a pattern
DEEPEST = 50  # groups in groups
MOST_TIMES = 500

_CLASSES: dict[str, Callable[[str], bool]] = {
    "d": str.isdecimal,
    "w": lambda one: one.isalnum() or one == "_",
    "s": str.isspace,
}
_ESCAPED = {"n": "\n", "t": "\t", "r": "\r", "f": "\f", "v": "\v", "a": "\a", "0": "\0"}


@dataclass(frozen=True, slots=True)
class Character:
    """One character: of ranges or of classes, or of none of them."""

    ranges: tuple[tuple[str, str], ...] = ()
    classes: tuple[str, ...] = ()  # `d`, `w`, `s`, and in upper case what is none of these
    negated: bool = False

    def fits(self, character: str, ignore_case: bool) -> bool:  # noqa: FBT001 - as it is stored
        """Tell whether a character is meant."""
        forms = {character}
        if ignore_case:
            forms |= {one for one in (character.lower(), character.upper()) if len(one) == 1}
        return any(map(self._holds, forms)) is not self.negated

    def _holds(self, one: str) -> bool:
        return any(low <= one <= high for low, high in self.ranges) or any(
            _CLASSES[name.lower()](one) is name.islower() for name in self.classes
        )


@dataclass(frozen=True, slots=True)
class Assertion:
    """A place: `^`, `$`, a word boundary `b`, or none `B`."""

    kind: str

    def holds(self, text: str, at: int) -> bool:
        """Tell whether a text has such a place here."""
        if self.kind == "^":
            return at == 0
        if self.kind == "$":
            return at == len(text) or (at == len(text) - 1 and text[at] == "\n")
        before = at > 0 and _CLASSES["w"](text[at - 1])
        behind = at < len(text) and _CLASSES["w"](text[at])
        return (before is not behind) is (self.kind == "b")


@dataclass(frozen=True, slots=True)
class Sequence:
    """One part behind the other."""

    parts: tuple["Node", ...]


@dataclass(frozen=True, slots=True)
class Alternatives:
    """One of several."""

    choices: tuple["Node", ...]


@dataclass(frozen=True, slots=True)
class Repeat:
    """A part several times; `most` None is without end."""

    part: "Node"
    least: int
    most: int | None


Node = Character | Assertion | Sequence | Alternatives | Repeat
ANY = Character((("\n", "\n"),), negated=True)


def read(source: str) -> Node:
    """Read a pattern.

    Raises
    ------
    ValueError
        If it is wrong or needs backtracking; the message is a clause.
    """
    if len(source) > LONGEST:
        raise ValueError(f"it has more than {LONGEST} characters")
    reader = _Reader(source)
    node = reader.choices(0)
    if reader.at < len(source):
        raise ValueError("a ) has no ( before it")
    return node


class _Reader:
    """Goes through the pattern once, from left to right."""

    def __init__(self, source: str) -> None:
        self._source = source
        self.at = 0

    def choices(self, depth: int) -> Node:
        """Read what is separated by bars, up to the end or a closing bracket."""
        if depth > DEEPEST:
            raise ValueError("its groups are nested too deeply")
        found = [self._sequence(depth)]
        while self._take("|"):
            found.append(self._sequence(depth))
        return found[0] if len(found) == 1 else Alternatives(tuple(found))

    def _peek(self, length: int = 1) -> str:
        return self._source[self.at : self.at + length]

    def _take(self, text: str) -> bool:
        if not self._source.startswith(text, self.at):
            return False
        self.at += len(text)
        return True

    def _next(self) -> str:
        if self.at >= len(self._source):
            raise ValueError("it ends too early")
        self.at += 1
        return self._source[self.at - 1]

    def _sequence(self, depth: int) -> Node:
        parts: list[Node] = []
        while self._peek() not in {"", "|", ")"}:
            parts.append(self._repeated(self._atom(depth)))
        return Sequence(tuple(parts))

    def _atom(self, depth: int) -> Node:
        character = self._next()
        if character == "(":
            return self._group(depth)
        if character == "[":
            return self._set()
        if character == ".":
            return ANY
        if character in "^$":
            return Assertion(character)
        if character == "\\":
            return self._escape()
        if character in "*+?":
            raise ValueError(f"a {character} has nothing to repeat")
        return Character(((character, character),))

    def _group(self, depth: int) -> Node:
        if self._take("?") and not self._take(":"):
            raise ValueError("of the groups that begin with (? only (?: is known")
        inner = self.choices(depth + 1)
        if not self._take(")"):
            raise ValueError("a ( is not closed")
        return inner

    def _escape(self) -> Node:
        character = self._next()
        if character in "bB":
            return Assertion(character)
        if character.lower() in _CLASSES:
            return Character(classes=(character,))
        literal = self._literal(character)
        return Character(((literal, literal),))

    def _literal(self, character: str) -> str:
        """Return what stands behind a backslash as itself."""
        if character in _ESCAPED:
            return _ESCAPED[character]
        if character.isalnum():
            raise ValueError(f"\\{character} is not known here")
        return character

    def _set(self) -> Node:
        negated = self._take("^")
        ranges: list[tuple[str, str]] = []
        classes: list[str] = []
        first = True
        while first or self._peek() != "]":
            first = False
            low = self._member(classes)
            if low is None:
                continue
            high = low
            if self._peek() == "-" and self._peek(2)[1:] not in {"", "]"}:
                self.at += 1
                high = self._member(classes) or ""
            if high < low:
                raise ValueError("a range in [ ] runs backwards")
            ranges.append((low, high))
        self.at += 1
        return Character(tuple(ranges), tuple(classes), negated)

    def _member(self, classes: list[str]) -> str | None:
        """Read one character of a set; None when it was a class."""
        character = self._next()
        if character != "\\":
            return character
        character = self._next()
        if character.lower() in _CLASSES:
            classes.append(character)
            return None
        return "\b" if character == "b" else self._literal(character)

    def _repeated(self, part: Node) -> Node:
        times = self._times()
        if times is None:
            return part
        if isinstance(part, Assertion):
            raise ValueError(  # noqa: TRY004 - the text is wrong, not a type
                "a place such as ^, $ or \\b cannot be repeated"
            )
        self._take("?")  # as few as possible: whether it is found does not depend on it
        if self._peek() in {"*", "+"} or self._times() is not None:
            raise ValueError("a repetition is repeated")
        return Repeat(part, *times)

    def _times(self) -> tuple[int, int | None] | None:
        for sign, least, most in (("*", 0, None), ("+", 1, None), ("?", 0, 1)):
            if self._take(sign):
                return least, most
        end = self._source.find("}", self.at)
        low, comma, high = self._source[self.at + 1 : end].partition(",")
        digits = [one for one in (low, high) if one]
        if self._peek() != "{" or end < 0 or not all(one.isdecimal() for one in digits):
            return None
        if not low and not comma:
            return None
        self.at = end + 1
        return _bounds(low, comma, high)


def _bounds(low: str, comma: str, high: str) -> tuple[int, int | None]:
    least = int(low or 0)
    most = (int(high) if high else None) if comma else least
    if max(least, most or 0) > MOST_TIMES or (most is not None and most < least):
        raise ValueError(
            f"a repetition in {{ }} is not from a number to a larger one to {MOST_TIMES}"
        )
    return least, most
