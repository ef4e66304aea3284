"""Cells made safe for spreadsheets (fault S07)."""

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pydicombatch.report.spreadsheet import guarded, safe

DANGEROUS = [
    "=1+1", "=cmd|' /C calc'!A0", "+1", "-2+3", "@SUM(A1)", "\t=1",
    "\r=1", "\n=1", " =1", "\uff1d1+1",
    "\uff0b1", "\uff0d1", "\uff20x", "\u00a0=1", "\ufeff=1", "|x", "%x", "'quoted",
]  # fmt: skip
CHANGED = [
    "007", "00012345", "123456789012", "1234567890123456789", "1E5", "12e3", "1.50", "1,5",
    "3-4", "1/2", "10:30", "1.2.3", "MAR1", "1-Jan-2020", "SEPT2", "0.10", ".5",
]  # fmt: skip
HARMLESS = [
    "", "P00001", "CT", "CT\\MR", "20240115", "0", "17", "1.5", "Müller^Jürgen", "1.2.840.10008.1",
    "STUDY", "0x0", "complete", "Thorax, 2 views", "A1-7",
]  # fmt: skip


@pytest.mark.parametrize("text", DANGEROUS)
def test_nothing_is_left_that_a_spreadsheet_would_carry_out(text: str) -> None:
    assert safe(text) == "'" + text


@pytest.mark.parametrize("text", CHANGED)
def test_nothing_is_left_that_a_spreadsheet_would_change(text: str) -> None:
    assert safe(text) == "'" + text


@pytest.mark.parametrize("text", HARMLESS)
def test_ordinary_cells_stay_as_they_are(text: str) -> None:
    assert safe(text) == text


@given(st.text())
def test_the_value_comes_back_when_one_apostrophe_is_taken_away(text: str) -> None:
    made = safe(text)
    assert made in {text, "'" + text}
    assert made.removeprefix("'") == text or made == text
    assert not (made == text and text.startswith("'"))


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"])), min_size=1))
def test_a_safe_row_survives_the_csv_with_all_its_line_ends(cells: list[str]) -> None:
    file = io.StringIO(newline="")
    csv.writer(file).writerow(guarded(cells))
    file.seek(0)
    assert next(csv.reader(file)) == list(guarded(cells))
