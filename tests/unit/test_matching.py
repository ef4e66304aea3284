"""Answers compared with the keys that were sent (PS3.4 C.2.2.2; faults F11, F14)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pydicombatch.core.matching import Fit, fit, is_uid

MATCHING = [
    ("LO", "12345", "12345"),
    ("LO", "12345 ", "12345"),
    ("LO", "", "anything"),
    ("LO", "*", "anything"),
    ("LO", "Thorax*", "thorax ct"),
    ("LO", "CT?Head", "CT Head"),
    ("SH", "a1", "A1"),
    ("SH", "*7", "A 7"),
    ("PN", "muller*", "Müller^Jürgen"),
    ("PN", "Smith^John", "SMITH^JOHN^^"),
    ("PN", "山田^太郎", "Yamada^Tarou=山田^太郎=やまだ^たろう"),
    ("PN", "Yamada^Tarou=山田^太郎", "Yamada^Tarou"),
    ("UI", "1.2.3", "1.2.3"),
    ("UI", "1.2.3\\1.2.4", "1.2.4"),
    ("UI", "1.2.03", "1.2.3"),
    ("UI", "1.2.*", "1.2.77"),
    ("DA", "20240115", "20240115"),
    ("DA", "20240115", "2024.01.15"),
    ("DA", "20240101-20241231", "20240715"),
    ("DA", "-20241231", "19991231"),
    ("DA", "20240101-", "20991231"),
    ("TM", "0800-1200", "120059.5"),
    ("TM", "10", "103000"),
    ("DT", "20240101-20240131", "20240115103000"),
    ("IS", "7", "007"),
    ("DS", "1.50", "1.5"),
    ("US", "512", "512"),
    ("CS", "CT\\MR", "MR"),
    ("CS", "MR", "CT\\MR"),
    ("LT", "a\\b", "A\\B"),
]
DIFFERING = [
    ("LO", "12345", "123456"),
    ("LO", "Thorax*", "CT Thorax"),
    ("SH", "123", "A123"),
    ("PN", "Smith", "Smith^John"),
    ("UI", "1.2.3\\1.2.4", "1.2.5"),
    ("DA", "20240101-20241231", "20250101"),
    ("DA", "20240115", "20240116"),
    ("TM", "0800-1200", "120100"),
    ("IS", "7", "8"),
    ("CS", "CT", "MR\\SR"),
]


@pytest.mark.parametrize(("vr", "key", "value"), MATCHING)
def test_what_dicom_or_an_archive_in_good_faith_calls_a_match_is_one(
    vr: str, key: str, value: str
) -> None:
    assert fit(vr, key, value) is Fit.MATCHES


@pytest.mark.parametrize(("vr", "key", "value"), DIFFERING)
def test_another_value_than_was_asked_for_differs(vr: str, key: str, value: str) -> None:
    """F11."""
    assert fit(vr, key, value) is Fit.DIFFERS


@pytest.mark.parametrize(
    ("vr", "value"), [("LO", ""), ("LO", " \0"), ("DA", "unknown"), ("PN", r"M\xfcller")]
)
def test_what_cannot_be_compared_is_not_judged(vr: str, value: str) -> None:
    """F10, F13, F14."""
    assert fit(vr, "20240101" if vr == "DA" else "Other", value) is Fit.SILENT


@pytest.mark.parametrize("value", ["Yamada^Tarou=^", "M?ller", "????^??"])
def test_characters_that_an_archive_cannot_answer_in_are_no_difference(value: str) -> None:
    """F13: it found the name, and answers in a character set that lacks it."""
    assert fit("PN", "山田^太郎" if value != "M?ller" else "Müller", value) is Fit.SILENT
    assert fit("PN", "山田", "鈴木") is Fit.DIFFERS


@given(st.text(st.characters(exclude_characters="\\*?\0", exclude_categories=["Cs", "Cc"])))
def test_every_value_matches_itself_and_a_star_behind_its_beginning(text: str) -> None:
    assert fit("LO", text, text) in {Fit.MATCHES, Fit.SILENT}
    assert fit("LO", f"{text[: len(text) // 2]}*", text) in {Fit.MATCHES, Fit.SILENT}


@given(
    st.sampled_from(["LO", "PN", "UI", "DA", "TM", "DT", "IS", "CS", "US"]), st.text(), st.text()
)
def test_nothing_that_is_asked_or_answered_raises(vr: str, key: str, value: str) -> None:
    assert fit(vr, key, value) in Fit


@pytest.mark.parametrize("text", ["1.2.3", "1.02.3", "2.25." + "1" * 50])
def test_a_uid_may_have_zeros_in_front(text: str) -> None:
    """F14: such a UID can be retrieved as it is spelled."""
    assert is_uid(text)


@pytest.mark.parametrize("text", ["", "1.2.x", "1..2", "1.2 3", "1" * 65, "1.2."])
def test_what_is_no_uid_is_known_as_such(text: str) -> None:
    assert not is_uid(text)
