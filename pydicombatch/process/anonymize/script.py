"""The script file: XML or properties, read into one table of keys as the Java tool does."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from xml.etree.ElementTree import Element, ParseError, TreeBuilder, XMLParser

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import DefusedXMLParser

from pydicombatch.core.errors import ConfigError, Finding
from pydicombatch.process.anonymize import names, properties
from pydicombatch.process.anonymize.javatext import trim
from pydicombatch.process.anonymize.names import Id

SWITCHES: Final = ("privategroups", "unspecifiedelements", "overlays", "curves")
_SET: Final = re.compile(r"set\.\[(.*)\](.*)", re.DOTALL)
_SHORTEST_TAG: Final = 4  # characters of the attribute t, below which the Java tool aborts
_SAVE: Final = "Correct the script"


@dataclass(frozen=True, slots=True)
class Rule:
    """The script of one element; `name` matters for private elements alone."""

    text: str
    name: str
    line: int


@dataclass(frozen=True)
class Script:
    """A script file; `rules` are the enabled elements."""

    rules: Mapping[Id, Rule] = field(default_factory=dict)
    parameters: Mapping[str, str] = field(default_factory=dict)
    keep_groups: frozenset[int] = frozenset()
    keep_safe: bool = False
    remove: frozenset[str] = frozenset()
    file: str = ""
    dropped: tuple[Finding, ...] = ()  # entries that the tool ignores without a word

    @property
    def empty(self) -> bool:
        """Tell whether the script changes nothing whatever it is applied to."""
        return not (self.rules or self.remove)


def read(path: Path, *, lenient: bool = False) -> Script:
    """Read a script file.

    Parameters
    ----------
    lenient
        Whether bytes that are not UTF-8 become U+FFFD, as they do for the Java tool.

    Raises
    ------
    ConfigError
        If the file is missing, empty or does not parse: the Java tool would take it for a script
        that changes nothing, and pass every identifier on.
    """
    try:
        text = path.read_text("utf-8-sig", "replace" if lenient else "strict")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError.of(
            "The anonymizer script cannot be read", "Check that it exists as UTF-8 text", path.name
        ) from error
    return parse(text, path.name)


def parse(text: str, file: str = "") -> Script:
    """Read the text of a script; raises `ConfigError` as `read` does."""
    if not text.strip():
        raise ConfigError.of(
            "The anonymizer script is empty, every identifier would stay",
            "Write a script, or leave anonymization off",
            file,
        )
    if any(line.lstrip().startswith("<") for line in text.splitlines()):
        return _Reader(file).from_entries(_xml_entries(text, file))
    try:
        return _Reader(file).from_entries(properties.parse(text))
    except properties.BadEscapeError as error:
        raise ConfigError.of(
            "A \\u in the script lacks its four digits", _SAVE, file, error.line
        ) from error


class _Reader:
    """Sorts the entries of a script by what their keys say."""

    def __init__(self, file: str) -> None:
        self._file = file
        self._rules: dict[Id, Rule] = {}
        self._parameters: dict[str, str] = {}
        self._groups: set[int] = set()
        self._remove: set[str] = set()
        self._keep_safe = False
        self._dropped: list[Finding] = []

    def from_entries(self, entries: list[properties.Entry]) -> Script:
        for entry in entries:
            self._sort(entry)
        return Script(
            self._rules,
            self._parameters,
            frozenset(self._groups),
            self._keep_safe,
            frozenset(self._remove),
            self._file,
            tuple(self._dropped),
        )

    def _sort(self, entry: properties.Entry) -> None:
        key = entry.key
        if key.startswith("param."):
            self._parameters[key.removeprefix("param.")] = entry.value
        elif key.startswith("set."):
            self._add_rule(entry)
        elif key.startswith("keep.safe"):
            self._keep_safe = True
        elif key.startswith("keep.group"):
            self._add_group(entry)
        elif key.startswith("remove.") and key.removeprefix("remove.") in SWITCHES:
            self._remove.add(key.removeprefix("remove."))
        else:
            self._drop(entry, "An entry of the script means nothing")

    def _add_rule(self, entry: properties.Entry) -> None:
        match = _SET.fullmatch(entry.key)
        target = names.resolve(match[1], {}) if match else None
        if match is None or target is None:
            self._drop(entry, "An entry of the script names no element")
            return
        self._rules.pop(target, None)
        self._rules[target] = Rule(trim(entry.value), match[2], entry.line)

    def _add_group(self, entry: properties.Entry) -> None:
        digits = trim(entry.key.removeprefix("keep.group"))
        if re.fullmatch(r"0*[0-9a-fA-F]{1,4}", digits):
            self._groups.add(int(digits, 16))
        else:
            self._drop(entry, "A group to keep is not hexadecimal")

    def _drop(self, entry: properties.Entry, problem: str) -> None:
        self._dropped.append(Finding(problem, _SAVE, self._file, entry.line))


class _LineParser(DefusedXMLParser):
    """Notes the line of every start tag, for errors."""

    def __init__(self, lines: list[int]) -> None:
        super().__init__(forbid_dtd=False, target=TreeBuilder())
        expat: Any = self.parser
        start = expat.StartElementHandler

        def noted(*args: object) -> object:
            lines.append(expat.CurrentLineNumber)
            return start(*args)

        expat.StartElementHandler = noted


def _xml_entries(text: str, file: str) -> list[properties.Entry]:
    lines: list[int] = []
    parser: XMLParser[Element] = _LineParser(lines)
    try:
        parser.feed(text)
        root = parser.close()
    except (ParseError, DefusedXmlException) as error:
        line = getattr(error, "position", (0, 0))[0]
        raise ConfigError.of(
            "The anonymizer script is not well-formed XML, every identifier would stay",
            _SAVE,
            file,
            line,
        ) from error
    line_of = dict(zip(root.iter(), lines, strict=True))
    entries, findings = [], []
    for child in root:
        try:
            entries += _entry(child, line_of[child])
        except ValueError:
            findings.append(
                Finding("The attribute t has fewer than 4 characters", _SAVE, file, line_of[child])
            )
    if findings:
        raise ConfigError(*findings)
    return entries


def _entry(child: Element, line: int) -> list[properties.Entry]:
    kind, t = child.tag, child.get("t", "")
    text = "".join(child.itertext()) if kind == "e" else (child.text or "")
    if kind == "p":
        return [properties.Entry(f"param.{t}", "".join(child.itertext()), line)]
    if kind == "e" and len(t) < _SHORTEST_TAG:
        raise ValueError("the Java tool aborts here")
    if child.get("en") != "T" or kind not in {"e", "k", "r"}:
        return []
    if kind == "e":
        return [properties.Entry(f"set.[{t[:4]},{t[4:]}]{child.get('n', '')}", trim(text), line)]
    if kind == "k":
        key = "keep.safeprivateelements" if t.startswith("safe") else f"keep.group{t}"
        return [properties.Entry(key, "", line)]
    return [properties.Entry(f"remove.{t}", "", line)]
