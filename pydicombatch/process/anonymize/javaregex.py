r"""Java's regular expressions in Python's syntax, construct by construct.

What differs and is mapped: ASCII `\d \w \s`, line ends of `.`, `^` and `$`, nested classes,
quoting, possessive groups, inline flags in the middle. What cannot be mapped is refused.
"""

import re
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

from pydicombatch.core.patterns import Pattern, bounded
from pydicombatch.process.anonymize import javaclass
from pydicombatch.process.anonymize.javaclass import Ranges

_LINE_END: Final = r"\n\r\u0085\u2028\u2029"
_END: Final = r"(?:(?=\r\n\Z)|(?<!\r)(?=\n\Z)|(?=[\r\u0085\u2028\u2029]\Z)|\Z)"
_LINE_START: Final = r"(?:\A|(?<=[\n\u0085\u2028\u2029])(?!\Z)|(?<=\r)(?!\n|\Z))"
_LINE_STOP: Final = r"(?:(?=[\r\u0085\u2028\u2029])|(?<!\r)(?=\n)|\Z)"
_CONTROLS: Final = {"t": 9, "n": 10, "r": 13, "f": 12, "a": 7, "e": 27}
_ANCHORS: Final = {"b": r"\b", "B": r"\B", "A": r"\A", "z": r"\Z", "Z": _END}
_SUPPORTED_FLAGS: Final = frozenset("imsux")
_GROUPS: Final = ("(?:", "(?=", "(?!", "(?<=", "(?<!", "(?>")


class RegexError(ValueError):
    """The expression is malformed, or has something that cannot be mapped."""


@lru_cache(maxsize=1024)
def compiled(pattern: str) -> Pattern:
    """Compile a Java pattern; texts that would make it hang are refused when they come.

    Raises
    ------
    RegexError
        Where Java would throw, where equal behaviour cannot be promised, or where it might hang.
    """
    try:
        return bounded(_Translator(pattern).translate())
    except (re.error, ValueError, IndexError, OverflowError, RecursionError) as error:
        raise RegexError("the regular expression cannot be used") from error


@dataclass
class _Translator:
    pattern: str
    at: int = 0
    flags: frozenset[str] = frozenset()
    out: list[str] = field(default_factory=list)
    saved: list[tuple[frozenset[str], bool]] = field(default_factory=list)
    scoped: bool = False  # whether a (?i: of ours is open at this level

    def translate(self) -> str:
        while self.at < len(self.pattern):
            self._step()
        if self.scoped:
            self.out.append(")")
        return "".join(self.out)

    def _take(self, count: int = 1) -> str:
        piece = self.pattern[self.at : self.at + count]
        if len(piece) < count:
            raise RegexError("the expression ends early")
        self.at += count
        return piece

    def _step(self) -> None:
        character = self._take()
        simple = {".": self._dot, "^": self._caret, "$": self._dollar}.get(character)
        if simple:
            self.out.append(simple())
        elif structural := {"(": self._open, ")": self._close, "|": self._bar}.get(character):
            structural()
        elif character == "\\":
            self._escape()
        elif character == "[":
            self.out.append(self._class())
        elif "x" in self.flags and character in " \t\n\x0b\f\r#":
            self._comment(character)
        elif character in "*+?{":
            self._quantifier(character)
        else:
            self.out.append(re.escape(character))

    def _dot(self) -> str:
        return r"[\s\S]" if "s" in self.flags else f"[^{_LINE_END}]"

    def _caret(self) -> str:
        return _LINE_START if "m" in self.flags else r"\A"

    def _dollar(self) -> str:
        return _LINE_STOP if "m" in self.flags else _END

    def _quantifier(self, character: str) -> None:
        if character == "{":
            bounds = re.compile(r"\d+(?:,\d*)?\}").match(self.pattern, self.at)
            if not bounds:
                raise RegexError("a brace is not a quantifier")
            self.at = bounds.end()
            character += bounds[0]
        if self.pattern[self.at : self.at + 1] in {"?", "+"}:
            character += self._take()
        self.out.append(character)

    def _comment(self, character: str) -> None:
        while character == "#" and self.at < len(self.pattern) and self._take() not in "\n\r":
            pass

    def _open(self) -> None:
        rest = self.pattern[self.at :]
        if inline := re.match(r"\?([a-zA-Z]*)(?:-([a-zA-Z]+))?([:)])", rest):
            self._flags(inline)
            return
        if named := re.match(r"\?<([A-Za-z][A-Za-z0-9]*)>", rest):
            head, size = f"(?P<{named[1]}>", named.end()
        elif rest.startswith("?"):
            head = next((g for g in _GROUPS if rest.startswith(g[1:])), "")
            size = len(head) - 1
            if not head:
                raise RegexError("an unknown group")
        else:
            head, size = "(", 0
        self.at += size
        self._push(head)

    def _push(self, head: str) -> None:
        self.saved.append((self.flags, self.scoped))
        self.out.append(head)
        self.scoped = False
        self._scope()

    def _scope(self) -> None:
        """Open a scope of our own where case is ignored, since Python knows no flag half-way."""
        if "i" in self.flags:
            self.out.append("(?i:" if "u" in self.flags else "(?ai:")
            self.scoped = True

    def _flags(self, inline: re.Match[str]) -> None:
        changed = (self.flags | set(inline[1])) - set(inline[2] or "")
        if not (set(inline[1]) | set(inline[2] or "")) <= _SUPPORTED_FLAGS:
            raise RegexError("a flag that cannot be mapped")
        self.at += inline.end()
        if inline[3] == ":":
            self.saved.append((self.flags, self.scoped))
            self.out.append("(?:")
            self.flags, self.scoped = changed, False
            self._scope()
            return
        if self.scoped:
            self.out.append(")")
            self.scoped = False
        self.flags = changed
        self._scope()

    def _close(self) -> None:
        if not self.saved:
            raise RegexError("a parenthesis too many")
        self.out.append("))" if self.scoped else ")")
        self.flags, self.scoped = self.saved.pop()

    def _bar(self) -> None:
        if self.scoped:
            self.out.append(")")
        self.out.append("|")
        self.scoped = False
        self._scope()

    def _escape(self) -> None:
        character = self._take()
        if character in _ANCHORS:
            self.out.append(_ANCHORS[character])
        elif character == "R":
            self.out.append(r"(?>\r\n|[\n\x0b\f\r\u0085\u2028\u2029])")
        elif character == "Q":
            end = self.pattern.find("\\E", self.at)
            quoted = self.pattern[self.at : end if end >= 0 else None]
            self.at = end + 2 if end >= 0 else len(self.pattern)
            self.out.append(re.escape(quoted))
        elif character == "k":
            name = re.compile(r"<([A-Za-z][A-Za-z0-9]*)>").match(self.pattern, self.at)
            if not name:
                raise RegexError("a group reference without a name")
            self.at = name.end()
            self.out.append(f"(?P={name[1]})")
        elif character in "123456789":
            self.out.append(f"(?:\\{character})")
        else:
            self.at -= 1
            ranges, negated = self._set()
            self.out.append(javaclass.emit(ranges, negated=negated))

    def _set(self) -> tuple[Ranges, bool]:
        """Read what follows a backslash as a set of characters, and whether it is negated."""
        character = self._take()
        if character.lower() in javaclass.SHORTHANDS:
            return javaclass.SHORTHANDS[character.lower()], character.isupper()
        if character in "pP":
            name = self._take()
            if name == "{":
                end = self.pattern.index("}", self.at)
                name, self.at = self.pattern[self.at : end], end + 1
            return javaclass.named(name), character == "P"
        code = self._code(character)
        return ((code, code),), False

    def _code(self, character: str) -> int:
        """Read an escaped character."""
        if character in _CONTROLS:
            return _CONTROLS[character]
        if character == "c":
            return ord(self._take()) ^ 0x40
        if character in {"x", "u"}:
            return self._hexadecimal(4 if character == "u" else 2)
        if character == "0":
            octal = re.compile(r"[0-3]?[0-7]{1,2}").match(self.pattern, self.at)
            if not octal:
                raise RegexError("not an octal number")
            self.at = octal.end()
            return int(octal[0], 8)
        if character.isascii() and character.isalpha():
            raise RegexError("an unknown escape")
        return ord(character)

    def _hexadecimal(self, digits: int) -> int:
        if self.pattern[self.at : self.at + 1] != "{":
            return int(self._take(digits), 16)
        end = self.pattern.index("}", self.at)
        number, self.at = self.pattern[self.at + 1 : end], end + 1
        return int(number, 16)

    def _class(self) -> str:
        negated = self.pattern[self.at : self.at + 1] == "^"
        self.at += negated
        return javaclass.emit(self._members(), negated=negated)

    def _members(self) -> Ranges:
        """Read a class up to its closing bracket."""
        parts: list[Ranges] = [()]
        empty = True
        while True:
            character = self._take()
            if character == "]" and not empty:
                break
            empty = False
            if character == "&" and self.pattern[self.at : self.at + 1] == "&":
                self.at += 1
                parts.append(())
                continue
            self.at -= 1
            parts[-1] = javaclass.normal((*parts[-1], *self._member()))
        result = parts[0]
        for part in parts[1:]:
            result = javaclass.intersection(result, part)
        return result

    def _member(self) -> Ranges:
        character = self._take()
        if character == "[":
            negated = self.pattern[self.at : self.at + 1] == "^"
            self.at += negated
            inner = self._members()
            return javaclass.complement(inner) if negated else inner
        ranges, negated = self._set() if character == "\\" else (javaclass.of(character), False)
        single = len(ranges) == 1 and ranges[0][0] == ranges[0][1] and not negated
        following = self.pattern[self.at : self.at + 2]
        if not single or following[:1] != "-" or following[1:] in {"]", "[", ""}:
            return javaclass.complement(ranges) if negated else ranges
        self.at += 1
        high = self._set()[0][0][0] if self._take() == "\\" else ord(self.pattern[self.at - 1])
        if high < ranges[0][0]:
            raise RegexError("a range runs backwards")
        return ((ranges[0][0], high),)
