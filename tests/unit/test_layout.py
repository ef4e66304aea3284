import os
from pathlib import Path, PurePosixPath

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from pydicombatch.store.layout import LONGEST, Layout, beside, component, relative_path

# surrogates too: text that came from bytes nobody could decode
TEXT = st.text(st.characters(codec=None, exclude_categories=()))
NASTY = st.sampled_from(
    [
        "", ".", "..", "../x", "/etc", "..\\x", "C:", "a/b", "a\0b", "NUL", "con.txt", "x.", "x ",
        " x", "%2E%2E", "\u202egnp", "\n", "a" * 300, "ä" * 150, "x~0123456789abcdef", "\ud800",
        "LPT1", "COM¹", "%", "~", "\u2215",
    ]
)  # fmt: skip
VALUES = st.one_of(TEXT, NASTY)


@given(st.lists(VALUES, min_size=1, max_size=5))
def test_no_value_sent_by_an_archive_leaves_the_output_directory(values: list[str]) -> None:
    """S01."""
    path = relative_path(values)
    assert not path.is_absolute()
    assert len(path.parts) == len(values)
    assert not {"..", "."} & set(path.parts)
    root = Path("/output")
    assert Path(os.path.normpath(root / path)).is_relative_to(root)


@given(VALUES)
def test_a_component_is_printable_short_and_free_of_separators(value: str) -> None:
    name = component(value)
    assert name.isprintable()
    assert 0 < len(name.encode()) <= LONGEST
    assert not set('/\\:*?"<>|') & set(name)
    assert name[-1] not in " ."


@given(VALUES, VALUES)
def test_different_values_give_different_components(one: str, other: str) -> None:
    assume(one != other)
    assert component(one) != component(other)


@given(st.text(st.sampled_from("abcAZ09_-^=+, ()äöé漢~'&#@!"), min_size=1, max_size=40))
def test_printable_text_stays_as_it_is(value: str) -> None:
    assume(value.strip() == value)
    assert component(value) == value


@pytest.mark.parametrize(
    ("value", "name"),
    [
        ("1.2.840.10008", "1.2.840.10008"),
        ("Müller^Jörg", "Müller^Jörg"),
        ("A/B", "A%2FB"),
        ("..", "%2E%2E"),
        (".", "%2E"),
        ("", "%"),
        ("100%", "100%25"),
        ("a\tb", "a%09b"),
        ("nul", "%6Eul"),
        ("COM1.log", "%43OM1.log"),
        ("COMMON", "COMMON"),
        ("end.", "end%2E"),
        ("end ", "end%20"),
        ("\ud800", "%ED%A0%80"),
    ],
)
def test_what_a_value_becomes(value: str, name: str) -> None:
    assert component(value) == name


def test_a_long_value_ends_in_a_digest_of_all_of_it() -> None:
    one, other = component("x" * 300 + "1"), component("x" * 300 + "2")
    assert one[:183] == other[:183] == "x" * 183
    assert one != other


@pytest.mark.parametrize(
    ("value", "name"), [("7", "7.dcm"), ("7.dcm", "7.dcm"), ("7.DCM", "7.DCM"), ("", "%.dcm")]
)
def test_the_suffix_is_added_once(value: str, name: str) -> None:
    assert relative_path([value]).name == name


def test_the_template_takes_its_values_by_path_and_shows_an_empty_one() -> None:
    layout = Layout(("PatientID", "StudyInstanceUID"), "InstanceNumber")
    planned = layout.plan({"PatientID": "P1", "InstanceNumber": "5", "Modality": "CT"})
    assert planned == PurePosixPath("P1/%/5.dcm")
    assert layout.paths == ("PatientID", "StudyInstanceUID", "InstanceNumber")


@given(VALUES, st.text(max_size=64), st.sampled_from([16, 32, 48]))
def test_the_name_of_a_collision_stays_within_255_bytes_and_is_stable(
    value: str, uid: str, digits: int
) -> None:
    plain = relative_path(["P", value])
    name = beside(plain, uid, digits)
    assert name == beside(plain, uid, digits)
    assert name.parent == plain.parent
    assert name != plain
    assert len(name.name.encode()) <= 255
    assert name.suffix == ".dcm"
