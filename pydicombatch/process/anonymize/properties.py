"""Java's `.properties` text: logical lines, three separators, escapes, later keys replace."""

from collections.abc import Iterator
from dataclasses import dataclass

_BLANK = " \t\f"
_CONTROL = {"t": "\t", "n": "\n", "r": "\r", "f": "\f"}
_HEX_DIGITS = 4


@dataclass(frozen=True, slots=True)
class Entry:
    """One key with its value; `line` counts from 1."""

    key: str
    value: str
    line: int


class BadEscapeError(ValueError):
    r"""A `\\u` without four hexadecimal digits, which makes Java refuse the whole file."""

    def __init__(self, line: int) -> None:
        super().__init__("malformed unicode escape")
        self.line = line


def parse(text: str) -> list[Entry]:
    """Read every entry, in file order.

    Raises
    ------
    BadEscapeError
        Where `java.util.Properties.load` would throw.
    """
    return [_entry(line, number) for number, line in _logical_lines(text)]


def _logical_lines(text: str) -> Iterator[tuple[int, str]]:
    """Join continued lines and drop blank ones and comments."""
    joined, start = "", 0
    for number, raw in enumerate(_natural_lines(text), 1):
        line = raw.lstrip(_BLANK)
        if not start:
            if not line or line[0] in "#!":
                continue
            start = number
        odd = (len(line) - len(line.rstrip("\\"))) % 2
        joined += line[:-1] if odd else line
        if not odd:
            yield start, joined
            joined, start = "", 0
    if start:
        yield start, joined


def _natural_lines(text: str) -> list[str]:
    return text.replace("\r\n", "\n").replace("\r", "\n").split("\n")


def _entry(line: str, number: int) -> Entry:
    end = _key_end(line)
    rest = line[end:].lstrip(_BLANK)
    if rest[:1] in {"=", ":"}:
        rest = rest[1:].lstrip(_BLANK)
    return Entry(_unescape(line[:end], number), _unescape(rest, number), number)


def _key_end(line: str) -> int:
    escaped = False
    for index, character in enumerate(line):
        if escaped:
            escaped = False
        elif character == "\\":
            escaped = True
        elif character in "=:" or character in _BLANK:
            return index
    return len(line)


def _unescape(text: str, line: int) -> str:
    if "\\" not in text:
        return text
    out, index = [], 0
    while index < len(text):
        character = text[index]
        index += 1
        if character != "\\":
            out.append(character)
            continue
        escape = text[index : index + 1]
        index += 1
        if escape == "u":
            out.append(_unicode(text[index : index + _HEX_DIGITS], line))
            index += _HEX_DIGITS
        else:
            out.append(_CONTROL.get(escape, escape))
    # two escaped surrogates are one character
    return "".join(out).encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def _unicode(digits: str, line: int) -> str:
    if len(digits) < _HEX_DIGITS or not all(c in "0123456789abcdefABCDEF" for c in digits):
        raise BadEscapeError(line)
    return chr(int(digits, 16))
