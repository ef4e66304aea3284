"""Script text to parts: literals and calls, scanned left to right as the Java tool scans."""

from dataclasses import dataclass
from typing import Final

from pydicombatch.process.anonymize.javatext import is_whitespace, trim

CLAUSES: Final = {"if": 2, "select": 2, "append": 1}
_UNINTERPRETED: Final = frozenset(("keep", "remove", "empty", "blank"))  # act as result text


@dataclass(frozen=True, slots=True)
class Call:
    """One function call; `clauses` are scripts themselves."""

    name: str
    args: tuple[str, ...]
    clauses: tuple[str, ...] = ()

    @property
    def argument_text(self) -> str:
        """What a failing function yields."""
        return f"({','.join(self.args)})"

    @property
    def text(self) -> str:
        """The call as text, which is what an unknown name yields."""
        return f"@{self.name}{self.argument_text}"


Part = str | Call


@dataclass(frozen=True, slots=True)
class Parsed:
    """The parts of one script; `faults` are sentences about text that does nothing."""

    parts: tuple[Part, ...]
    faults: tuple[str, ...]


class _Unclosed(Exception):  # noqa: N818 - never leaves this module
    pass


def parse(text: str) -> Parsed:
    """Parse a script; every text is one, though parts of it may do nothing."""
    parts: list[Part] = []
    faults: list[str] = []
    literal: list[str] = []
    at = 0
    while at < len(text):
        character = text[at]
        if character == "\\":
            literal.append(text[at + 1 : at + 2])
            at += 2
        elif character == "@":
            try:
                call, at = _call(text, at + 1, faults)
            except _Unclosed:
                faults.append("A call is not closed, the rest of the script is ignored")
                break
            parts += ["".join(literal), call]
            literal = []
        else:
            literal.append(character)
            at += 1
    parts.append("".join(literal))
    return Parsed(tuple(part for part in parts if part != ""), tuple(faults))


def render(parts: tuple[Part, ...]) -> str:
    """Print the parts of a script so that parsing them again yields the same."""
    return "".join(
        _escaped(part, "\\@") if isinstance(part, str) else _shown(part) for part in parts
    )


def _shown(call: Call) -> str:
    args = ",".join(_escaped(argument, "\\,)") for argument in call.args)
    clauses = "".join(f"{{{clause}}}" for clause in call.clauses)
    return f"@{call.name}({args}){clauses}"


def _escaped(text: str, special: str) -> str:
    return "".join("\\" + character if character in special else character for character in text)


def uninterpreted(name: str) -> bool:
    """Tell whether a call of this name is meant to remain as text."""
    return name in _UNINTERPRETED


def _call(text: str, at: int, faults: list[str]) -> tuple[Call, int]:
    opening = text.find("(", at)
    if opening < 0:
        raise _Unclosed
    name = "".join(c for c in text[at:opening] if not is_whitespace(c))
    args, at = _arguments(text, opening + 1)
    clauses = []
    for number in range(CLAUSES.get(name, 0)):
        clause, end = _clause(text, at)
        if clause is None and (number == 0 or text[at:].strip()):
            faults.append(f"@{name} misses a clause, the rest of the script is ignored")
        clauses.append(clause or "")
        at = end
    return Call(name, tuple(args), tuple(clauses)), at


def _arguments(text: str, at: int) -> tuple[list[str], int]:
    """Split the argument list that begins at an offset; return it and the offset behind it."""
    args: list[str] = []
    while True:
        argument, at = _argument(text, at)
        last = text[at - 1] == ")"
        if argument or args or not last:
            args.append(argument)
        if last:
            return args, at


def _argument(text: str, at: int) -> tuple[str, int]:
    taken: list[str] = []
    nesting = _Nesting()
    while at < len(text):
        character = text[at]
        at += 1
        escaped = character == "\\"
        if escaped:
            character = text[at : at + 1]
            at += 1
        if not escaped and character in ",)" and nesting.outside:
            return trim("".join(taken)), at
        nesting.see(character)
        taken.append(character)
    raise _Unclosed


class _Nesting:
    """Counts quotes, brackets and parentheses around the current character."""

    def __init__(self) -> None:
        self._quoted = False
        self._open = {"]": 0, ")": 0}

    @property
    def outside(self) -> bool:
        return not (self._quoted or self._open["]"] or self._open[")"])

    def see(self, character: str) -> None:
        if character == '"':
            self._quoted = not self._quoted
        elif self._quoted:
            return
        elif character in {"[", "("}:
            self._open["]" if character == "[" else ")"] += 1
        elif self._open.get(character):
            self._open[character] -= 1


def _clause(text: str, at: int) -> tuple[str | None, int]:
    """Take a brace clause; without one the rest of the text is consumed."""
    while at < len(text) and is_whitespace(text[at]):
        at += 1
    if text[at : at + 1] != "{":
        return None, len(text)
    depth = 0
    for index in range(at, len(text)):
        depth += {"{": 1, "}": -1}.get(text[index], 0)
        if not depth:
            return trim(text[at + 1 : index]), index + 1
    return None, len(text)
