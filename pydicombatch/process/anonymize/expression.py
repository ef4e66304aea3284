"""Signatures of pixel scripts: `Modality.equals("CT") * !(Rows.isGreaterThan("32") + false.)`."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final

from pydicombatch.process.anonymize import javaregex, javatext
from pydicombatch.process.anonymize.contents import contents
from pydicombatch.process.anonymize.instance import DataSet
from pydicombatch.process.anonymize.names import Specifier

Condition = Callable[[DataSet], bool]

_TERM: Final = re.compile(
    r'(?P<element>(?:\([0-9a-fA-F]{0,4},[0-9a-fA-F]{1,4}\)|\[[^\]]*\]|[^.\[\]!*+()"])+)'
    r'\.\s*(?P<method>\w+)\s*\(\s*"(?P<text>[^"]*)"\s*\)'
)
_WORD: Final = re.compile(r"(true|false)\.")
_JUNK: Final = re.compile(r'(?:"[^"]*"|\([^()]*\)|[^!*+()"])+')
_COMMENT: Final = re.compile(r'("[^"]*")|//[^\n\r]*')


class ExpressionError(ValueError):
    """The expression as a whole, or one of its terms, is malformed."""


@dataclass(frozen=True, slots=True)
class Expression:
    """A condition on the root data set; `faults` tell what of it is always false."""

    condition: Condition
    faults: tuple[str, ...] = ()

    def __call__(self, dataset: DataSet) -> bool:
        """Tell whether a data set has the signature."""
        return self.condition(dataset)


def parse(text: str) -> Expression:
    """Compile an expression; a malformed one compiles too, and is false."""
    parser = _Parser(_COMMENT.sub(lambda match: match[1] or " ", text))
    try:
        condition = parser.whole()
    except ExpressionError:
        return Expression(_false, ("The signature is malformed, it never applies",))
    return Expression(condition, tuple(parser.faults))


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self.faults: list[str] = []

    def whole(self) -> Condition:
        condition = self._any()
        if self._next():
            raise ExpressionError
        return condition

    def _next(self) -> str:
        while self._text[self._at : self._at + 1].isspace():
            self._at += 1
        return self._text[self._at : self._at + 1]

    def _any(self) -> Condition:
        conditions = [self._all()]
        while self._next() == "+":
            self._at += 1
            conditions.append(self._all())
        return conditions[0] if len(conditions) == 1 else partial(_any_of, tuple(conditions))

    def _all(self) -> Condition:
        conditions = [self._not()]
        while self._next() == "*":
            self._at += 1
            conditions.append(self._not())
        return conditions[0] if len(conditions) == 1 else partial(_all_of, tuple(conditions))

    def _not(self) -> Condition:
        if self._next() != "!":
            return self._primary()
        self._at += 1
        return partial(_not, self._not())

    def _primary(self) -> Condition:
        following = self._next()
        if term := _TERM.match(self._text, self._at):
            self._at = term.end()
            return self._term(term)
        if word := _WORD.match(self._text, self._at):
            self._at = word.end()
            return _true if word[1] == "true" else _false
        if following != "(":
            return self._malformed()
        self._at += 1
        condition = self._any()
        if self._next() != ")":
            raise ExpressionError
        self._at += 1
        return condition

    def _malformed(self) -> Condition:
        junk = _JUNK.match(self._text, self._at)
        if not junk or not junk[0].strip():
            raise ExpressionError
        self._at = junk.end()
        self.faults.append("A term of the signature is malformed, it is always false")
        return _false

    def _term(self, term: re.Match[str]) -> Condition:
        method = _METHODS.get(term["method"])
        specifier = Specifier.of(term["element"], {})
        if method is None or not specifier.resolved:
            self.faults.append("A term of the signature names no method or element")
        if method is None:
            return _false
        if term["method"] == "matches":
            try:
                javaregex.compiled(term["text"])
            except javaregex.RegexError:
                self.faults.append("A term of the signature has a bad regular expression")
                return _false
        return partial(_holds, specifier, method, term["text"])


def _true(dataset: DataSet) -> bool:  # noqa: ARG001 - one signature for all conditions
    return True


def _false(dataset: DataSet) -> bool:  # noqa: ARG001
    return False


def _not(condition: Condition, dataset: DataSet) -> bool:
    return not condition(dataset)


def _any_of(conditions: tuple[Condition, ...], dataset: DataSet) -> bool:
    return any(condition(dataset) for condition in conditions)


def _all_of(conditions: tuple[Condition, ...], dataset: DataSet) -> bool:
    return all(condition(dataset) for condition in conditions)


def _holds(
    specifier: Specifier, method: Callable[[str, str], bool], wanted: str, dataset: DataSet
) -> bool:
    found = specifier.find(dataset)
    return method((contents(*found) if found else None) or "", wanted)


def _number(text: str) -> float:
    try:
        return javatext.parse_double(re.sub(r"[^0-9.]", "", text))
    except ValueError:
        return float("nan")  # compares false with everything


_METHODS: Final[dict[str, Callable[[str, str], bool]]] = {
    "equals": lambda text, wanted: text == wanted,
    "equalsIgnoreCase": lambda text, wanted: text.lower() == wanted.lower(),
    "matches": lambda text, wanted: javaregex.compiled(wanted).fullmatch(text) is not None,
    "contains": lambda text, wanted: wanted in text,
    "containsIgnoreCase": lambda text, wanted: wanted.lower() in text.lower(),
    "startsWith": lambda text, wanted: text.startswith(wanted),
    "startsWithIgnoreCase": lambda text, wanted: text.lower().startswith(wanted.lower()),
    "endsWith": lambda text, wanted: text.endswith(wanted),
    "endsWithIgnoreCase": lambda text, wanted: text.lower().endswith(wanted.lower()),
    "isLessThan": lambda text, wanted: _number(text) < _number(wanted),
    "isGreaterThan": lambda text, wanted: _number(text) > _number(wanted),
}
