"""The table of faults: every number has a row, every named test exists and carries its number."""

import ast
import re
from functools import lru_cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TABLE = ROOT / "tests" / "faults" / "README.md"
ROW = re.compile(r"^\| ([FS]\d\d) \| (.+) \| (.*) \|$", re.MULTILINE)
NAMED = re.compile(r"`(tests/[\w/]+\.py)::(test_\w+)`")
CATALOGUE = [
    *(f"F{number:02}" for number in (*range(1, 24), *range(30, 42), *range(50, 61))),
    *(f"S{number:02}" for number in range(1, 23)),
]
OWED = {"S18", "S19", "S20"}  # as far as there is no code yet


def rows() -> dict[str, tuple[str, list[tuple[str, str]]]]:
    """Read the table: number -> what happens, and its tests as path and name."""
    found = ROW.findall(TABLE.read_text(encoding="utf-8"))
    return {number: (what, NAMED.findall(tests)) for number, what, tests in found}


@lru_cache
def functions(path: str) -> dict[str, str]:
    """Read the tests of a file: name -> name and docstring."""
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    return {
        node.name: f"{node.name} {ast.get_docstring(node) or ''}"
        for node in tree.body
        if isinstance(node, ast.FunctionDef)
    }


def carries(text: str, number: str) -> bool:
    """Whether a name or a docstring has a number, and not as a part of another one."""
    return re.search(rf"(?<![^\W_]){number}(?!\d)", text, re.IGNORECASE) is not None


def test_every_number_of_the_catalogue_has_one_row_in_its_order() -> None:
    text = TABLE.read_text(encoding="utf-8")
    assert [number for number, _, _ in ROW.findall(text)] == CATALOGUE
    assert len(re.findall(r"^\| [FS]\d", text, re.MULTILINE)) == len(CATALOGUE)


@pytest.mark.parametrize("number", CATALOGUE)
def test_a_row_says_what_happens_and_names_tests_that_carry_its_number(number: str) -> None:
    what, tests = rows()[number]
    assert what.strip()
    assert tests or (number in OWED and "no code exists" in what)
    for path, name in tests:
        assert (ROOT / path).is_file(), f"{path} does not exist"
        assert name in functions(path), f"{path} has no {name}"
        assert carries(functions(path)[name], number), f"{path}::{name} does not carry {number}"


def test_what_is_owed_says_by_which_issue() -> None:
    for number in OWED:
        assert "owed by the issue on" in rows()[number][0].casefold()


def test_every_test_that_is_named_anywhere_in_the_table_exists() -> None:
    named = NAMED.findall(TABLE.read_text(encoding="utf-8"))
    assert len(named) > len(CATALOGUE)
    assert [one for one in named if one[1] not in functions(one[0])] == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [("test_f01_a", True), ("F01: it", True), ("of F010", False), ("EF01", False), ("", False)],
)
def test_a_number_is_told_from_others(text: str, expected: bool) -> None:
    assert carries(text, "F01") is expected
