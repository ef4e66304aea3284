"""Dates that people write otherwise than DICOM does."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pydicombatch.config import parse
from pydicombatch.core.errors import ConfigError
from pydicombatch.core.model import Key
from pydicombatch.plan import Plan, check
from pydicombatch.plan.dates import is_date, normal

REWRITTEN = [
    ("2020-01-02", "20200102"),
    ("2020/1/2", "20200102"),
    ("2020.01.02", "20200102"),
    ("2020-01-02-2020-02-03", "20200102-20200203"),
    ("2020-01-02 - 2020-02-03", "20200102-20200203"),
    ("2020-01-02-", "20200102-"),
    ("-2020-01-02", "-20200102"),
    ("20200102 - 20200203", "20200102-20200203"),
    ("2020-01-02\\2020-01-03", "20200102\\20200103"),
]


@pytest.mark.parametrize(("written", "sent"), REWRITTEN)
def test_a_date_that_means_one_day_is_sent_as_dicom_writes_it(written: str, sent: str) -> None:
    assert normal(Key("StudyDate", written)) == Key("StudyDate", sent)
    assert is_date(sent)


@pytest.mark.parametrize(
    "text", ["20200102", "20200102-20200203", "-20200203", "20200102-", "", "*", "2020*", "-"]
)
def test_what_dicom_knows_stays_as_it_is(text: str) -> None:
    assert normal(Key("StudyDate", text)) == Key("StudyDate", text)
    assert is_date(text)


@pytest.mark.parametrize(
    "text", ["01/02/2020", "1.2.2020", "02-01-2020", "2020-13-01", "2 Jan 2020", "2020", "202001"]
)
def test_what_may_mean_two_days_or_none_is_not_guessed(text: str) -> None:
    assert not is_date(normal(Key("StudyDate", text)).value)


@pytest.mark.parametrize("path", ["StudyDescription", "StudyTime", "AccessionNumber"])
def test_only_dates_are_looked_at(path: str) -> None:
    assert normal(Key(path, "2020-01-02")) == Key(path, "2020-01-02")


@given(st.text())
def test_twice_is_the_same_as_once(text: str) -> None:
    once = normal(Key("StudyDate", text))
    assert normal(once) == once


def plan(folder: Path, dates: list[str], elements: str = "") -> Plan:
    batch = folder / "b.csv"
    batch.write_text("\n".join(["StudyDate,PatientID", *(f"{day},P1" for day in dates)]))
    text = f"""\
pacs: {{hostname: h, port: 104, aet: ARCHIVE}}
local: {{port: 4006, aet: SAMPLE_AE}}
request: {{type: c-find, model: study, elements: [QueryRetrieveLevel=STUDY{elements}],
          elements_batch_file: '{batch}'}}
output: {{directory: out}}
"""
    return Plan(parse(text, "c.yml", {}).config)


def test_the_batch_file_is_sent_normalised_with_one_warning_for_all_its_rows(
    tmp_path: Path,
) -> None:
    dated = plan(tmp_path, ["2020-01-02", "20200103", "2020-01-04"])
    (warning,) = check(dated)
    assert "lines 2, 4" in warning.problem
    assert "StudyDate" in warning.problem
    assert [one.value("StudyDate") for one in dated] == ["20200102", "20200103", "20200104"]


def test_two_spellings_of_a_day_are_one_request(tmp_path: Path) -> None:
    first, second = plan(tmp_path, ["2020-01-02", "20200102"])
    assert first.identity == second.identity


def test_the_elements_of_the_configuration_are_normalised_too(tmp_path: Path) -> None:
    dated = plan(tmp_path, ["20200103"], ", SeriesDate=2020-01-02")
    assert any("SeriesDate" in one.problem for one in check(dated))
    assert next(iter(dated)).value("SeriesDate") == "20200102"


def test_an_ambiguous_date_is_an_error_with_its_row(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        check(plan(tmp_path, ["20200102", "01/02/2020"]))
    (finding,) = caught.value.findings
    assert finding.line == 3
    assert "ambiguous" in finding.problem
    assert "01/02" not in str(finding)
