"""The fast header reader: right, or silent."""

import struct
import zlib
from io import BytesIO

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydicom import dcmread
from pydicom.charset import python_encoding
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.sequence import Sequence

from pydicombatch.core import values
from pydicombatch.core.model import Identifiers
from pydicombatch.receive.server import charset, header
from tests.support import hand_made as raw

BIG = "1.2.840.10008.1.2.2"
EXPECTED = Identifiers(raw.CT, raw.UID, "1.2.3.4", "1.2.3.4.5", "SYN001", "A1")


def encoded(data: Dataset, *, implicit: bool, little: bool) -> bytes:
    out = DicomBytesIO()
    out.is_implicit_VR, out.is_little_endian = implicit, little
    write_dataset(out, data)
    return out.getvalue()


def slice_of(pixels: int = 300) -> Dataset:
    data = Dataset()
    data.SOPClassUID, data.SOPInstanceUID = raw.CT, raw.UID
    data.AccessionNumber, data.PatientID = "A1", "SYN001"
    data.StudyInstanceUID, data.SeriesInstanceUID = "1.2.3.4", "1.2.3.4.5"
    inner = Dataset()
    inner.SeriesInstanceUID = "9.9.9"  # of something referenced, not of this
    inner.PatientID = "OTHER"
    data.ReferencedStudySequence = Sequence([inner])
    data.PixelData = bytes(pixels)
    data["PixelData"].VR = "OW"
    return data


@pytest.mark.parametrize(
    ("syntax", "implicit", "little"),
    [(raw.EXPLICIT, False, True), (raw.IMPLICIT, True, True), (BIG, False, False)],
)
@pytest.mark.parametrize("undefined", [False, True])
def test_identifiers_are_read_from_every_encoding_and_past_sequences(
    syntax: str, implicit: bool, little: bool, undefined: bool
) -> None:
    data = slice_of()
    data["ReferencedStudySequence"].is_undefined_length = undefined
    body = encoded(data, implicit=implicit, little=little)
    found = header.read(body, syntax)
    assert found is not None
    assert found.identifiers == EXPECTED
    if little:
        assert len(body) in found.ends


def test_a_deflated_data_set_is_read_from_its_inflated_beginning() -> None:
    engine = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    body = engine.compress(raw.data_set(pixels=100000)) + engine.flush()
    found = header.read(body, raw.DEFLATED)
    assert found is not None
    assert found.identifiers == EXPECTED
    assert found.ends == ()


def test_a_bomb_is_inflated_no_further_than_the_limit() -> None:
    """F57."""
    engine = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    start = raw.data_set(pixels=0)[:-12]
    body = engine.compress(start) + b"".join(engine.compress(bytes(1 << 20)) for _ in range(64))
    assert header.read(body[: header.LONGEST], raw.DEFLATED) is not None


def test_the_end_is_known_past_an_icon_that_has_pixel_data_too() -> None:
    data = slice_of(90000)
    icon = Dataset()
    icon.PixelData = bytes(64)
    icon["PixelData"].VR = "OW"
    data.IconImageSequence = Sequence([icon])
    body = encoded(data, implicit=False, little=True)
    found = header.read(body[: header.LONGEST], raw.EXPLICIT)
    assert found is not None
    assert len(body) in found.ends


def test_encapsulated_pixel_data_is_told_by_its_undefined_length() -> None:
    body = raw.data_set(pixels=0)[:-12] + struct.pack("<HH2sHI", 0x7FE0, 0x10, b"OB", 0, 0xFFFFFFFF)
    found = header.read(body, raw.EXPLICIT)
    assert found is not None
    assert found.delimited


@pytest.mark.parametrize(
    "body",
    [
        b"",
        raw.data_set()[:60],
        raw.explicit(0x00020010, "UI", b"1.2") + raw.data_set(),
        raw.explicit(0x00080005, "CS", b"\\ISO 2022 IR 87") + raw.data_set(patient="\x1b$B"),
        raw.data_set()[:4] + b"??" + raw.data_set()[6:],
        raw.explicit(0x00100020, "LO", b"OUT OF ORDER") + raw.data_set(),
        raw.data_set(patient="X" * 2000),
    ],
)
def test_what_is_unusual_or_cut_off_is_left_to_the_careful_reader(body: bytes) -> None:
    assert header.read(body, raw.EXPLICIT) is None


def test_nesting_beyond_all_reason_is_left_to_the_careful_reader() -> None:
    sequence = struct.pack("<HH2sHI", 8, 0x1110, b"SQ", 0, 0xFFFFFFFF)
    item = struct.pack("<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF)
    body = raw.data_set()[:60] + 3000 * (sequence + item)
    assert header.read(body, raw.EXPLICIT) is None


PATIENTS = st.text(st.characters(codec="latin-1"), max_size=20)
SEQUENCES = st.lists(st.tuples(PATIENTS, st.integers(0, 300), st.booleans()), max_size=6)


@given(SEQUENCES)
def test_reading_one_after_the_other_is_reading_each_for_itself(
    sent: list[tuple[str, int, bool]],
) -> None:
    reader = header.Reader()
    for patient, number, nested in sent:
        body = raw.explicit(0x00080005, "CS", b"ISO_IR 192")
        body += raw.data_set(f"1.2.{number}", patient=patient, pixels=number)
        if nested:
            data = slice_of(number)
            data.PatientID = patient.encode("ascii", "replace").decode()
            body = encoded(data, implicit=False, little=True)
        assert reader.read(body, raw.EXPLICIT) == header.read(body, raw.EXPLICIT)
        assert reader.read(body[:90], raw.EXPLICIT) == header.read(body[:90], raw.EXPLICIT)


def test_a_data_set_laid_out_as_the_last_but_with_another_element_is_read_step_by_step() -> None:
    reader, body = header.Reader(), raw.data_set()
    assert reader.read(body, raw.EXPLICIT) is not None
    other = body.replace(struct.pack("<HH2s", 0x10, 0x20, b"LO"), b"\x10\0\x21\0LO")
    found = reader.read(other, raw.EXPLICIT)
    assert other != body
    assert found is not None
    assert found.identifiers.patient_id == ""


@pytest.mark.filterwarnings("ignore::UserWarning")  # pydicom's, about nonsense
@given(
    st.binary(max_size=24),
    st.lists(st.sampled_from([*charset.CODECS, "nonsense"]), max_size=3),
    st.booleans(),
)
@example(b"\x01\x00\x01", [], False)
@example(b"\\x41", [], True)
@example(b"\\x41\xff", ["ISO_IR 192"], True)
@example(b"\xc3\xa9", ["ISO_IR 127", ""], True)
def test_text_is_decoded_as_everywhere_else_or_left_alone(
    value: bytes, terms: list[str], local: bool
) -> None:
    found = charset.decode(value, "\\".join(terms).encode(), local=local)
    if found is None:
        assert b"\x1b" in value
        return
    expected = values.decode("LO" if local else "UI", value, "<", terms or [""], None)
    assert found == expected.strip(" \0")


def test_the_codecs_are_those_of_pydicom() -> None:
    assert python_encoding == charset.CODECS


@given(st.binary(max_size=500), st.sampled_from([raw.EXPLICIT, raw.IMPLICIT, BIG, raw.DEFLATED]))
def test_no_bytes_make_it_raise(body: bytes, syntax: str) -> None:
    found = header.read(body, syntax)
    assert found is None or found.identifiers.sop_instance_uid is not None


@given(st.integers(0, 4000))
def test_what_it_reads_of_a_cut_is_what_pydicom_reads_of_the_whole(size: int) -> None:
    body = encoded(slice_of(2000), implicit=False, little=True)
    found = header.read(body[:size], raw.EXPLICIT)
    if found is None:
        return
    whole = dcmread(BytesIO(body), force=True)
    assert found.identifiers.series_instance_uid == whole.SeriesInstanceUID
    assert found.identifiers.patient_id == whole.PatientID
