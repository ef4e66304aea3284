"""What is said of every kind of mistake, word for word; `tests/support/snapshots.py` renews it."""

import ast
import re
from collections.abc import Iterator
from contextlib import chdir
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pydicombatch.config.excerpt import Spot, excerpt, lines_of
from pydicombatch.config.load import parse
from pydicombatch.core.errors import ConfigError
from tests.support.extraction import ROOT, within
from tests.support.snapshots import CASES, FOLDER, SECRET, expected, said

MAKERS = {"wrong": 0, "finding": 1, "at": 1, "of": 0, "Finding": 0}  # where their problem stands
GAP = "\0"
# What no file in a folder of tests can be
ELSEWHERE = {
    "The configuration file does not exist",
    "The configuration file cannot be read (",
    "The file is too large for a configuration",
    "The file is nested too deeply",
    "What decides the result has changed since the last run",
    "A file of the anonymization cannot be read (",
    "The CSV of results lies in the state directory",
    "The CSV of results has the name of a directory",
}


@pytest.mark.parametrize("case", CASES, ids=lambda one: one.stem)
def test_what_is_said_is_what_was_agreed(case: Path) -> None:
    assert said(case) == expected(case).read_text(encoding="utf-8")


@pytest.mark.parametrize("case", CASES, ids=lambda one: one.stem)
def test_a_finding_shows_the_line_that_it_names_and_nothing_of_the_environment(case: Path) -> None:
    text = expected(case).read_text(encoding="utf-8")
    lines = lines_of(case.read_bytes().decode("utf-8", "replace"))
    assert SECRET not in text
    assert "0001" not in text
    for number in re.findall(rf"{case.name}:(\d+): ", text):
        found = re.search(rf"^ +{number} \| (.*)$", text, re.MULTILINE)
        assert found is not None, number
        assert lines[int(number) - 1].startswith(found[1].removesuffix("…"))


def test_the_command_prints_the_same() -> None:
    with chdir(FOLDER):
        ended = within("run", "several-at-once.yml")
    assert ended.code == 2
    assert ended.err == (FOLDER / "several-at-once.txt").read_text(encoding="utf-8")


def test_there_is_a_file_for_each_configuration_and_no_other() -> None:
    assert {one.stem for one in FOLDER.glob("*.txt")} == {one.stem for one in CASES}
    assert len(CASES) > 50


def problems() -> Iterator[str]:
    """Every problem that the package of the configuration can tell, with a gap for each value."""
    for file in sorted((ROOT / "pydicombatch" / "config").glob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and _name(node.func) in MAKERS:
                place = MAKERS[_name(node.func)]
                place += _name(node.func) == "wrong" and isinstance(node.func, ast.Attribute)
                if len(node.args) > place and (text := _text(node.args[place])).strip(GAP + " "):
                    yield text
    table = (ROOT / "pydicombatch" / "config" / "findings.py").read_text(encoding="utf-8")
    yield from re.findall(r'\("((?:is|has) [^"{]*)', table)


def _name(function: ast.expr) -> str:
    if isinstance(function, ast.Attribute):
        return function.attr
    return function.id if isinstance(function, ast.Name) else ""


def _text(node: ast.expr) -> str:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(_text(one) or GAP for one in node.values)
    return ""


def test_every_kind_of_mistake_has_its_file() -> None:
    """For a new one: add a configuration with it below tests/data/snapshots, and renew them."""
    everything = "\n".join(expected(case).read_text(encoding="utf-8") for case in CASES)
    found = set(problems())
    assert len(found) > 40
    lacking = {
        one.replace(GAP, "…")
        for one in found
        if not all(piece in everything for piece in one.split(GAP))
        and not any(one.startswith(start) for start in ELSEWHERE)
    }
    assert lacking == set()


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("    - PatientName=Doe, John  # of ward 3", "    - PatientName=…"),
        ('elements: ["PatientName=Doe, John", StudyDat]', 'elements: ["PatientName=…'),
        ("    PatientID: [4711, 4712]", "    PatientID: …"),
        ("    (0010,0010): Doe", "    (0010,0010): …"),
        ("  where: {Modality: MG, PatientName: Doe}", "  where: {Modality: …"),
        ("  password: hunter2", "  password: …"),
        ("  smtp_password: hunter2", "  smtp_password: …"),
        ("  webhook: https://chat.example.org/hook/abc", "  webhook: …"),
        ("  url: https://me:hunter2@pacs.example.org/", "  url: https://…"),
        ("  hostname: pacs.example.org", "  hostname: pacs.example.org"),
        ("  start_time: 19:00", "  start_time: 19:00"),
    ],
)
def test_a_line_is_shown_without_what_may_be_a_patient_s_or_a_secret(line: str, shown: str) -> None:
    assert excerpt([line], Spot(1)).partition(" | ")[2] == shown


def test_the_items_of_an_element_are_its_values() -> None:
    text = "select:\n  where:\n    PatientID:\n      - 4711\n"
    with pytest.raises(ConfigError) as caught:
        parse(text.replace("select", "selec"), "c.yml", {})
    assert "4711" not in str(caught.value)
    assert excerpt(["      - Doe"], Spot(1), items=True).endswith("      - …")
    assert excerpt(["  x: 47110815 Doe"], Spot(1), numbers=True).endswith("  x: …")


def test_a_long_line_is_shown_around_the_place() -> None:
    line = "x" * 300 + "HERE" + "y" * 300
    first, second = excerpt([line], Spot(1, 300, 4)).split("\n")
    assert len(first) < 120
    assert first[second.index("^") : second.index("^") + 4] == "HERE"


@given(st.text(max_size=200), st.integers(-2, 9), st.integers(-2, 220), st.integers(0, 300))
def test_whatever_is_in_a_file_two_printable_lines_at_most_are_shown(
    text: str, line: int, column: int, length: int
) -> None:
    shown = excerpt(lines_of(text), Spot(line, column, length))
    rows = shown.split("\n")
    assert len(rows) <= 2
    assert all(row.isprintable() for row in rows)
