"""Examples in the documentation: fenced blocks with a marker that says what a test does with them.

A marker is a comment on the line above the fence, `<!-- kind: argument -->`:

file: NAME      the content of a file that the examples need
part: NAME      a part of a configuration
run: WHERE      commands with their output, or a program, that are run
content: NAME   what a file holds afterwards, in any order of its lines
steps: NAME, crontab, shown    looked at by tests of their own
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
CONFIGURATION = ROOT / "docs" / "configuration.md"
REPORT = ROOT / "docs" / "report.md"
FIND = ROOT / "docs" / "find.md"
CONTRIBUTING = ROOT / "CONTRIBUTING.md"
ANONYMIZATION = ROOT / "docs" / "anonymization.md"
SELECT = ROOT / "docs" / "select.md"
CONCEPTS = ROOT / "docs" / "concepts.md"
COOKBOOK = ROOT / "docs" / "cookbook.md"
OPERATION = ROOT / "docs" / "operation.md"
DOCUMENTS = (
    README,
    CONFIGURATION,
    ANONYMIZATION,
    CONCEPTS,
    COOKBOOK,
    SELECT,
    FIND,
    OPERATION,
    REPORT,
    CONTRIBUTING,
    ROOT / "CHANGELOG.md",
)

_BLOCK = re.compile(
    r"(?:^<!-- (?P<marker>[^\n]*?) -->\n)?^```(?P<language>\w*)\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
ELLIPSIS = "…"


@dataclass(frozen=True)
class Block:
    """A fenced block."""

    kind: str  # "" without a marker
    argument: str
    language: str
    text: str

    @property
    def commands(self) -> list[tuple[str, list[str]]]:
        """The commands of a console with the lines that they print."""
        found: list[tuple[str, list[str]]] = []
        for line in self.text.splitlines():
            if line.startswith("$ "):
                found.append((line.removeprefix("$ "), []))
            else:
                found[-1][1].append(line)
        return found


def read(document: Path) -> str:
    """Return the text of a document."""
    return document.read_text(encoding="utf-8")


def blocks(document: Path) -> list[Block]:
    """Return all fenced blocks of a document, in order."""
    found = []
    for one in _BLOCK.finditer(read(document)):
        kind, _, argument = (one["marker"] or "").partition(": ")
        found.append(Block(kind, argument, one["language"], one["text"]))
    return found


def prose(document: Path) -> str:
    """Return a document without its fenced blocks."""
    return _BLOCK.sub("", read(document))


def inline_code(document: Path) -> list[str]:
    """Return what stands between single backticks outside of fenced blocks."""
    return re.findall(r"`([^`\n]+)`", prose(document))


def section(document: Path, title: str) -> str:
    """Return the text below a heading, up to the next one of any level."""
    found = re.search(
        rf"^#+ {re.escape(title)}\n(.*?)(?=^#+ |\Z)", read(document), re.MULTILINE | re.DOTALL
    )
    assert found is not None, f"{document.name} has no section '{title}'"
    return found[1]


def table(text: str, first: str) -> Iterator[list[str]]:
    """Yield the rows of the table whose first column has this head."""
    rows = iter(text.splitlines())
    for line in rows:
        if line.startswith(f"| {first} |"):
            break
    next(rows, None)  # the line of dashes
    for line in rows:
        if not line.startswith("|"):
            return
        yield [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]


def matches(shown: str, real: str) -> bool:
    """Whether a shown line is a real one: an ellipsis stands for anything, numbers may differ."""
    return re.fullmatch(_pattern(shown), real) is not None


def difference(shown: list[str], real: list[str]) -> str:
    """Return the first shown line that was not printed in its place; "" if all were.

    A line of nothing but an ellipsis stands for any number of lines. Blank lines at the beginning
    and the end of what was printed do not count.
    """
    body = "\n".join(real).strip("\n")
    printed = f"{body}\n" if body else ""
    lines = [_line(one) for one in shown]
    for number, line in enumerate(shown, start=1):
        if re.match("".join(lines[:number]), printed) is None:
            return line
    return "" if re.fullmatch("".join(lines), printed) else "the end"


def _line(shown: str) -> str:
    if shown.strip() == ELLIPSIS:
        return r"(?:.*\n)*?"
    return f"{_pattern(shown)}\\n"


_VARYING = re.compile(
    r"(?P<time>[0-9]:[0-9]{2}:[0-9]{2})|(?P<rate>[0-9]+\.[0-9] MB/s)|(?P<space>[0-9]+ GB)"
    r"|(?P<gap>…)"
)
_STANDS_FOR = {
    "time": r"[0-9]+:[0-9]{2}:[0-9]{2}",
    "rate": r"[0-9]+\.[0-9] MB/s",
    "space": r"[0-9]+ GB",
    "gap": r".*",
}


def _pattern(shown: str) -> str:
    pattern, end = "", 0
    for one in _VARYING.finditer(shown):
        pattern += re.escape(shown[end : one.start()]) + _STANDS_FOR[one.lastgroup or "gap"]
        end = one.end()
    return pattern + re.escape(shown[end:])
