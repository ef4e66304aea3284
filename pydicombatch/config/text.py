"""YAML to plain text values with their lines; nothing is guessed, nothing is executed.

Every scalar stays the text that was written, so `19:00`, `00012345` and `NO` are what they look
like. Tags, duplicate keys and expanding aliases are refused.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import yaml

from pydicombatch.config.excerpt import Spot, lines_of
from pydicombatch.config.source import Path, Source, dotted
from pydicombatch.core.errors import ConfigError, Finding

Node = str | list["Node"] | dict[str, "Node"]

LARGEST = 1_048_576  # characters
MOST_NODES = 20_000  # after aliases are expanded
DEEPEST = 20

_VARIABLE = re.compile(r"\$(\$)?\{([^}]*)\}?")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_ABSENT = {"", "~", "null", "Null", "NULL"}


@dataclass
class Tree:
    """A document as nested text, with what is known about each path."""

    source: Source
    root: dict[str, Node] = field(default_factory=dict)
    filled: set[Path] = field(default_factory=set)  # hold a value from the environment
    variables: dict[str, str] = field(default_factory=dict)  # name -> value, as filled in
    broken: set[Path] = field(default_factory=set)  # have a finding already
    findings: list[Finding] = field(default_factory=list)

    def wrong(self, path: Path, problem: str, remedy: str) -> None:
        """Note a finding at a path."""
        self.broken.add(path)
        self.findings.append(self.source.finding(path, problem, remedy))


def read_text(text: str, file: str, environ: Mapping[str, str]) -> Tree:
    """Read a YAML document; `${NAME}` in values is filled in, `$${` stands for `${`.

    Raises
    ------
    ConfigError
        If the text is no YAML mapping at all. Findings about parts of it are in the result.
    """
    if len(text) > LARGEST:
        raise ConfigError.of("The file is too large for a configuration", "Check its name", file)
    source = Source(file, lines_of(text))
    node = _compose(text, source)
    if not isinstance(node, yaml.MappingNode):
        raise ConfigError.of(
            "The file has no sections", "Begin with pacs:, local:, request: and output:", file
        )
    tree = Tree(source)
    tree.root = _Reader(tree, environ).mapping(node, ())
    return tree


def _compose(text: str, source: Source) -> yaml.Node | None:
    try:
        _refuse_tags(yaml.parse(text, Loader=yaml.SafeLoader), source)
        return yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as exc:
        mark = getattr(exc, "problem_mark", None)
        what = getattr(exc, "problem", None) or getattr(exc, "reason", None) or "odd characters"
        finding = source.at(
            Spot(mark.line + 1, mark.column) if mark else Spot(0),
            f"The file is not valid YAML: {what}",
            "Check the indentation, and quote values that contain ': ' or ' #'",
        )
        raise ConfigError(finding) from exc
    except RecursionError as exc:
        raise ConfigError.of("The file is nested too deeply", "Simplify it", source.file) from exc


def _refuse_tags(events: Iterator[yaml.Event], source: Source) -> None:
    for event in events:
        tag = getattr(event, "tag", None)
        if tag is not None and tag != "!":
            mark = event.start_mark
            finding = source.at(
                Spot(mark.line + 1, mark.column) if mark else Spot(0),
                "YAML tags are not supported",
                "Remove the word that begins with an exclamation mark, or quote the value",
            )
            raise ConfigError(finding)


class _Reader:
    """Walks the node graph once; an alias is walked again, and counted again."""

    def __init__(self, tree: Tree, environ: Mapping[str, str]) -> None:
        self._tree = tree
        self._source = tree.source
        self._environ = environ
        self._nodes = 0

    def mapping(self, node: yaml.MappingNode, path: Path) -> dict[str, Node]:
        """Read a mapping; a key without a value is as if absent."""
        self._count(path, node)
        found: dict[str, Node] = {}
        for key_node, value_node in node.value:
            spot = _place(key_node)
            if not isinstance(key_node, yaml.ScalarNode):
                self._source.keys.setdefault((*path, "?"), spot)
                self._tree.wrong((*path, "?"), "A key is not a plain word", "Write `key: value`")
                continue
            here = (*path, key_node.value)
            if here in self._source.keys:
                self._again(here, spot)
                continue
            self._source.keys[here] = spot
            value = self._value(value_node, here)
            if value is not None:
                found[key_node.value] = value
        return found

    def _again(self, here: Path, spot: Spot) -> None:
        problem = f"{dotted(here)} is given twice, first on line {self._source.line(here)}"
        self._tree.findings.append(self._source.at(spot, problem, "Remove one of them", here))

    def _value(self, node: yaml.Node, path: Path) -> Node | None:
        if isinstance(node, yaml.MappingNode):
            return self.mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            return self._sequence(node, path)
        self._count(path, node)
        self._source.values[path] = _place(node)
        plain = isinstance(node, yaml.ScalarNode) and node.style is None
        if not node.value or (plain and node.value in _ABSENT):
            return None
        return self._filled(node.value, path)

    def _sequence(self, node: yaml.SequenceNode, path: Path) -> list[Node]:
        self._count(path, node)
        items: list[Node] = []
        for number, child in enumerate(node.value):
            here = (*path, number)
            self._source.keys[here] = _place(child)
            items.append(self._value(child, here) or "")
        return items

    def _filled(self, text: str, path: Path) -> str:
        def fill(found: re.Match[str]) -> str:
            if found[1]:
                return found[0][1:]
            return self._variable(found, path)

        return _VARIABLE.sub(fill, text)

    def _variable(self, found: re.Match[str], path: Path) -> str:
        if not found[0].endswith("}") or not _NAME.fullmatch(found[2]):
            self._tree.wrong(
                path,
                f"{dotted(path)} has a variable that is not written as ${{NAME}}",
                "Name a variable of the environment, or write $${ for the characters themselves",
            )
            return ""
        self._tree.filled.add(path)
        if found[2] not in self._environ:
            self._tree.wrong(
                path,
                f"{dotted(path)} needs the environment variable {found[2]}, which is not set",
                f"Set it before the start: export {found[2]}=...",
            )
        value = self._environ.get(found[2], "")
        self._tree.variables[found[2]] = value
        return value

    def _count(self, path: Path, node: yaml.Node) -> None:
        self._nodes += 1
        if self._nodes > MOST_NODES or len(path) > DEEPEST:
            finding = self._source.at(
                _place(node),
                "The file grows too large when its aliases are followed",
                "Write the values out instead of using & and *",
                path,
            )
            raise ConfigError(finding)


def _place(node: yaml.Node) -> Spot:
    """Return where a node begins, and how long it is on its first line."""
    start, end = node.start_mark, node.end_mark
    on_a_line = start.line == end.line
    return Spot(start.line + 1, start.column, end.column - start.column if on_a_line else 1)
