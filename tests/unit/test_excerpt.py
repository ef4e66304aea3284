"""What is read from the beginning of a file: the same as from all of it, or nothing."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.uid import ImplicitVRLittleEndian

from pydicombatch.core.excerpt import Excerpt, UnreadableError
from tests.support.instances import PRIVATE, Spec, dataset, file, to_bytes

NAMES = ("SOPInstanceUID", "PatientName", "Modality", "Rows", "PixelSpacing", "RescaleSlope")
EXCERPT = Excerpt(NAMES)
ODD = replace(Spec(), patient_name="Yamada^Tarou=山田^太郎", rows=64, columns=64)


def nested(*, undefined: bool, implicit: bool) -> Dataset:
    """A slice with a sequence in a sequence in front of what is wanted."""
    ds = dataset(ODD)
    inner, outer = Dataset(), Dataset()
    inner.PatientName, inner.Rows = "Another^One", 7
    outer.RequestAttributesSequence = [inner]
    ds.ReferencedStudySequence = [outer, Dataset()]
    ds.private_block(0x0019, PRIVATE[:60], create=True).add_new(1, "UN", b"Rows")
    for element in ds.iterall():
        if element.VR == "SQ":
            element.is_undefined_length = undefined
            for item in element.value:
                item.is_undefined_length_sequence_item = undefined
    if implicit:
        ds.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    return ds


@pytest.mark.parametrize("undefined", [False, True])
@pytest.mark.parametrize("implicit", [False, True])
def test_the_beginning_says_the_same_as_the_whole(undefined: bool, implicit: bool) -> None:
    whole = to_bytes(nested(undefined=undefined, implicit=implicit))
    found = EXCERPT.of_file(whole)
    assert found[1:] == (ODD.patient_name, "CT", "64", r"1.0\1.0", "1")
    assert EXCERPT.of_beginning(whole[:4096], whole=False) == found
    assert EXCERPT.of_beginning(whole, whole=True) == found


@given(st.integers(0, 1200), st.booleans())
def test_a_beginning_of_any_length_has_all_values_or_none(length: int, undefined: bool) -> None:
    whole = to_bytes(nested(undefined=undefined, implicit=False))
    try:
        found = EXCERPT.of_beginning(whole[:length], whole=False)
    except UnreadableError:
        return
    assert found == EXCERPT.of_file(whole)


@given(st.data())
def test_no_byte_that_was_changed_makes_another_error_or_another_value_than_all_of_it_has(
    data: st.DataObject,
) -> None:
    bytes_ = bytearray(to_bytes(nested(undefined=True, implicit=data.draw(st.booleans()))))
    for _ in range(data.draw(st.integers(1, 4))):
        bytes_[data.draw(st.integers(0, 1300))] = data.draw(st.integers(0, 255))
    try:
        found = EXCERPT.of_beginning(bytes(bytes_), whole=True)
        walked = EXCERPT.of_file(bytes(bytes_))  # looks further, and may find something wrong there
    except UnreadableError:
        return
    assert found == walked


def test_a_file_that_ends_before_the_last_element_is_read_if_it_is_whole() -> None:
    ds = dataset(ODD)
    for keyword in ("PixelData", "RescaleSlope", "RescaleIntercept"):
        del ds[keyword]
    whole = to_bytes(ds)
    assert EXCERPT.of_beginning(whole, whole=True) == EXCERPT.of_file(whole)
    with pytest.raises(UnreadableError):
        EXCERPT.of_beginning(whole, whole=False)


@pytest.mark.parametrize("encoding", ["deflated", "big-endian"])
def test_what_is_unusual_is_left_to_the_way_that_reads_all(encoding: str) -> None:
    with pytest.raises(UnreadableError):
        EXCERPT.of_beginning(file(ODD, encoding), whole=True)
