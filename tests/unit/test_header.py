import struct
import zlib
from contextlib import suppress
from io import BytesIO

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import Dataset, dcmread
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

from pydicombatch.core.file_meta import file_meta
from pydicombatch.core.header import UnreadableError, of_data_set, of_file
from pydicombatch.core.model import Identifiers
from tests.support.instances import ENCODINGS, Spec, dataset, encoded, file, to_bytes

SPEC = Spec(patient=3, bits=8, sop_class="1.2.840.10008.5.1.4.1.1.7", modality="OT")
EXPLICIT, IMPLICIT = str(ExplicitVRLittleEndian), str(ImplicitVRLittleEndian)
DEFLATED = "1.2.840.10008.1.2.1.99"


def explicit(tag: int, vr: bytes, value: bytes) -> bytes:
    return struct.pack("<HH2sH", tag >> 16, tag & 0xFFFF, vr, len(value)) + value


BASE = explicit(0x00080016, b"UI", b"1.2\0") + explicit(0x00080018, b"UI", b"1.2.3.4\0")
PATIENT = explicit(0x00100020, b"LO", b" P1 ")


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_every_transfer_syntax_tells_who_it_is(encoding: str) -> None:
    raw = file(SPEC, encoding)
    header = of_file(raw)
    assert header.transfer_syntax_uid == ENCODINGS[encoding]
    assert header.identifiers == Identifiers(
        SPEC.sop_class, SPEC.sop_uid, SPEC.study_uid, SPEC.series_uid, "P00003", "A0000301"
    )
    again = of_data_set(raw[header.start :], header.transfer_syntax_uid)
    assert again.identifiers == header.identifiers
    assert again.start == 0


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_an_instance_that_ends_early_is_recognised_in_every_transfer_syntax(encoding: str) -> None:
    """F19."""
    raw = file(SPEC, encoding)
    for missing in (1, 2, 9, 60):
        with pytest.raises(UnreadableError):
            of_file(raw[:-missing])


@given(st.integers(0, 5000))
def test_no_prefix_of_a_data_set_passes_for_a_whole_one(cut: int) -> None:
    """F19."""
    raw = to_bytes(dataset(Spec(rows=4, columns=4)))
    start = of_file(raw).start
    part = raw[start : start + cut]
    if start + cut >= len(raw):
        return
    try:
        of_data_set(part, EXPLICIT)
    except UnreadableError:
        return
    # it was cut between two elements, which no length can tell; nothing of an element is missing
    assert to_bytes_of(part) == part


def to_bytes_of(part: bytes) -> bytes:
    read = dcmread(BytesIO(file_meta("1.2", "1.2.3", EXPLICIT) + part))
    buffer = BytesIO()
    read.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()[of_file(buffer.getvalue()).start :]


@given(
    st.binary(max_size=300), st.sampled_from([EXPLICIT, IMPLICIT, DEFLATED, "1.2.840.10008.1.2.2"])
)
def test_nonsense_is_an_error_or_a_header_and_nothing_else(data: bytes, syntax: str) -> None:
    with suppress(UnreadableError):
        assert 0 <= of_data_set(data, syntax).start <= len(data)


@given(st.binary(max_size=300))
def test_nonsense_behind_a_prefix_is_handled_too(data: bytes) -> None:
    with pytest.raises(UnreadableError):
        of_file(b"\0" * 128 + b"DICM" + data)


def test_spaces_and_nuls_around_values_are_no_part_of_them() -> None:
    """F14."""
    found = of_data_set(BASE + PATIENT, EXPLICIT).identifiers
    assert (found.sop_class_uid, found.sop_instance_uid) == ("1.2", "1.2.3.4")
    assert found.patient_id == "P1"


def test_file_meta_elements_inside_the_data_set_are_stepped_over() -> None:
    stray = file_meta("1.2", "1.2.3.4", EXPLICIT)[132:]
    header = of_data_set(stray + BASE + PATIENT, EXPLICIT)
    assert header.start == len(stray)
    assert header.identifiers.patient_id == "P1"


def test_text_is_read_in_its_character_set() -> None:
    ds = dataset(SPEC)
    ds.SpecificCharacterSet, ds.PatientID = "ISO_IR 100", "Größe"
    assert of_file(to_bytes(ds)).identifiers.patient_id == "Größe"


def test_undecodable_text_does_not_cost_the_instance() -> None:
    charset = explicit(0x00080005, b"CS", b"ISO_IR 192")
    odd = explicit(0x00100020, b"LO", b"\xff\xfeP1")
    assert "P1" in of_data_set(charset + BASE + odd, EXPLICIT).identifiers.patient_id


def test_implicit_elements_under_an_explicit_label_are_read() -> None:
    implicit = b"".join(
        struct.pack("<HHI", 8, number, len(value)) + value
        for number, value in ((0x16, b"1.2\0"), (0x18, b"1.2.3.4\0"))
    )
    assert of_data_set(implicit, EXPLICIT).identifiers.sop_instance_uid == "1.2.3.4"
    assert of_data_set(BASE, IMPLICIT).identifiers.sop_instance_uid == "1.2.3.4"


def test_an_unknown_sequence_of_undefined_length_holds_implicit_items() -> None:
    inside = struct.pack("<HHI", 8, 0x16, 2) + b"XX"
    item = struct.pack("<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF) + inside
    item += struct.pack("<HHI", 0xFFFE, 0xE00D, 0)
    unknown = struct.pack("<HH2sHI", 9, 0x1001, b"UN", 0, 0xFFFFFFFF) + item
    unknown += struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)
    found = of_data_set(BASE + unknown + PATIENT, EXPLICIT).identifiers
    assert (found.sop_class_uid, found.patient_id) == ("1.2", "P1")


def nested(levels: int) -> bytes:
    opening = struct.pack("<HH2sHI", 8, 0x1115, b"SQ", 0, 0xFFFFFFFF)
    opening += struct.pack("<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF)
    closing = struct.pack("<HHI", 0xFFFE, 0xE00D, 0) + struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)
    return BASE + opening * levels + closing * levels


def test_sequences_nested_without_end_are_refused_without_a_crash() -> None:
    """F58."""
    assert of_data_set(nested(10), EXPLICIT).identifiers.sop_instance_uid == "1.2.3.4"
    with pytest.raises(UnreadableError, match="deeply"):
        of_data_set(nested(50_000), EXPLICIT)


def test_an_identifying_value_of_any_length_is_not_kept() -> None:
    with pytest.raises(UnreadableError, match="long"):
        of_data_set(BASE + explicit(0x00100020, b"LO", b"x" * 2000), EXPLICIT)


def test_trailing_zeros_are_padding_and_other_bytes_are_not() -> None:
    assert of_data_set(BASE + b"\0\0\0\0", EXPLICIT).identifiers.sop_instance_uid == "1.2.3.4"
    with pytest.raises(UnreadableError):
        of_data_set(BASE + b"abcd", EXPLICIT)


def test_a_large_deflated_instance_is_read_by_its_beginning() -> None:
    pixels = struct.pack("<HH2sHI", 0x7FE0, 0x10, b"OW", 0, 40 << 20) + bytes(40 << 20)
    engine = zlib.compressobj(wbits=-15)
    packed = engine.compress(BASE + PATIENT + pixels) + engine.flush()
    assert len(packed) < 1 << 20
    assert of_data_set(packed, DEFLATED).identifiers.patient_id == "P1"
    with pytest.raises(UnreadableError):
        of_data_set(packed[: len(packed) // 2], DEFLATED)


def test_file_meta_is_the_same_for_the_same_instance_and_readable() -> None:
    """F20, S06."""
    ds = Dataset()
    ds.PatientID = "x"
    meta = file_meta("1.2.840.10008.5.1.4.1.1.7", "1.2.3", EXPLICIT)
    assert meta == file_meta("1.2.840.10008.5.1.4.1.1.7", "1.2.3", EXPLICIT)
    read = dcmread(BytesIO(meta + explicit(0x00100020, b"LO", b"x ")))
    assert read.file_meta.MediaStorageSOPInstanceUID == "1.2.3"
    assert read.file_meta.TransferSyntaxUID == EXPLICIT
    assert "SourceApplicationEntityTitle" not in read.file_meta
    assert meta[:128] == bytes(128)
    length = read.file_meta.FileMetaInformationGroupLength
    assert length == len(meta) - 144


def test_encoded_helper_and_reader_agree_on_private_classes() -> None:
    private = Spec(sop_class="1.2.826.0.1.3680043.10.1338.99.1")
    assert of_file(encoded(dataset(private), "implicit")).identifiers.sop_class_uid.endswith("99.1")
