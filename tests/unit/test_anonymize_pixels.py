from contextlib import suppress
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from pydicom import Dataset, FileMetaDataset, dcmread, dcmwrite
from pydicom.encaps import encapsulate, generate_frames
from pydicom.uid import (
    UID,
    CTImageStorage,
    ExplicitVRLittleEndian,
    JPEGBaseline8Bit,
    RLELossless,
    SecondaryCaptureImageStorage,
)

from pydicombatch.core.errors import ConfigError
from pydicombatch.process.anonymize import expression, jpegblank, jpegcode, pixelscript
from pydicombatch.process.anonymize.anonymizer import Anonymizer, Result, Status
from pydicombatch.process.anonymize.instance import DataSet, Element
from pydicombatch.process.anonymize.pixelscript import Region

SCRIPT = '<s><e en="T" t="00100010" n="">x</e></s>'


def image(photometric: str = "MONOCHROME2", *, samples: int = 1, frames: int = 1) -> Dataset:
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.SOPClassUID, ds.SOPInstanceUID, ds.Modality = CTImageStorage, "1.2.3", "CT"
    ds.Rows, ds.Columns, ds.NumberOfFrames = 4, 6, frames
    ds.SamplesPerPixel, ds.PhotometricInterpretation = samples, photometric
    if samples > 1:
        ds.PlanarConfiguration = 0
    ds.BitsAllocated = ds.BitsStored = 8
    ds.HighBit, ds.PixelRepresentation = 7, 0
    ds.PixelData = np.full((frames, 4, 6, samples), 200, dtype=np.uint8).tobytes()
    return ds


def luma(data: bytes) -> "np.ndarray[tuple[int, ...], np.dtype[np.int64]]":
    return np.asarray(Image.open(BytesIO(data)).convert("L")).astype(np.int64)


def applied(ds: Dataset, text: str, tmp_path: Path, **options: object) -> tuple[Result, Dataset]:
    (tmp_path / "a.script").write_text(SCRIPT)
    (tmp_path / "p.txt").write_text(text)
    stream, target = BytesIO(), BytesIO()
    dcmwrite(stream, ds, enforce_file_format=True)
    worker = Anonymizer.from_script(
        tmp_path / "a.script",
        pixel_script=tmp_path / "p.txt",
        **options,  # type: ignore[arg-type]
    )
    result = worker.anonymize(stream.getvalue(), target)
    target.seek(0)
    return result, dcmread(target) if result.status is Status.OK else Dataset()


CT = '{ Modality.equals("CT") }'


def test_a_region_is_blanked_with_both_ends_in_every_frame(tmp_path: Path) -> None:
    result, out = applied(image(frames=2), CT + "(1,1,2,1)", tmp_path)
    assert result == Result(Status.OK)
    pixels = out.pixel_array
    assert not pixels[:, 1:3, 1:4].any()
    assert (pixels == 200).sum() == 2 * (24 - 6)
    assert out.BurnedInAnnotation == "NO"


def test_monochrome1_is_blanked_white_and_tests_grey(tmp_path: Path) -> None:
    _, white = applied(image("MONOCHROME1"), CT + "(0,0,0,0)", tmp_path)
    assert white.pixel_array[0, 0] == 255
    _, grey = applied(image(), CT + "(0,0,0,0)", tmp_path, pixel_test=True)
    assert grey.pixel_array[0, 0] == 127


def test_colour_by_plane_is_blanked_in_each_plane(tmp_path: Path) -> None:
    ds = image("RGB", samples=3)
    ds.PlanarConfiguration = 1
    _, out = applied(ds, CT + "(-1,-1,9,9)", tmp_path)
    assert not out.pixel_array[3, 5].any()
    assert out.pixel_array[0, 0].tolist() == [200, 200, 200]


@settings(deadline=None)
@given(
    st.builds(Region, *[st.integers(-9, 9)] * 2, *[st.integers(-2, 9)] * 2),
    st.integers(1, 8),
    st.integers(1, 8),
)
def test_a_region_never_leaves_the_image(region: Region, columns: int, rows: int) -> None:
    left, right, top, bottom = region.bounds(columns, rows)
    assert left >= 0
    assert top >= 0
    assert right < columns
    assert bottom < rows


def test_compressed_pixels_are_blanked_after_decoding_when_that_is_allowed(tmp_path: Path) -> None:
    ds = image()
    ds.compress(RLELossless, generate_instance_uid=False)
    result, _ = applied(ds, CT + "(1,1,2,1)", tmp_path)
    assert result.status is Status.QUARANTINED
    assert applied(ds, CT + "(1,1,2,1)", tmp_path, mode="compatible")[0].status is Status.SKIPPED
    result, out = applied(ds, CT + "(1,1,2,1)", tmp_path, decompress=True)
    assert result.status is Status.OK
    assert out.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
    assert not out.pixel_array[1:3, 1:4].any()
    assert (out.pixel_array == 200).sum() == 18


@pytest.mark.parametrize(
    ("mode", "more"), [("L", {}), ("RGB", {"subsampling": 2}), ("RGB", {"optimize": True})]
)
def test_baseline_jpeg_is_blanked_without_decoding_and_nothing_else_changes(
    mode: str, more: dict[str, int]
) -> None:
    noise = np.random.default_rng(1).integers(60, 255, (45, 61, 3), dtype=np.uint8)
    stream = BytesIO()
    Image.fromarray(noise).convert(mode).save(stream, "JPEG", **more)
    assert jpegblank.blanked(stream.getvalue(), []) == stream.getvalue()
    after = jpegblank.blanked(stream.getvalue(), [Region(20, 5, 10, 10)])
    old, new = (
        np.asarray(Image.open(BytesIO(s)).convert("L")).astype(int)
        for s in (stream.getvalue(), after)
    )
    assert new[5:16, 20:31].max() <= 8
    rows, columns = np.nonzero(old != new)
    assert rows.max() <= 16
    assert 15 <= columns.min() <= columns.max() <= 32


@settings(deadline=None)
@given(st.binary(max_size=400), st.integers(0, 600))
def test_a_damaged_jpeg_raises_its_own_error_or_stays_whole(junk: bytes, at: int) -> None:
    stream = BytesIO()
    Image.fromarray(np.full((16, 16), 90, dtype=np.uint8)).save(stream, "JPEG")
    whole = stream.getvalue()
    with suppress(jpegcode.JpegError):
        assert jpegblank.blanked(whole[:at] + junk, [Region(0, 0, 9, 9)]).startswith(b"\xff\xd8")


def test_baseline_jpeg_in_an_instance_stays_compressed(tmp_path: Path) -> None:
    ds = image(frames=2)
    ds.Rows = ds.Columns = 16
    stream = BytesIO()
    Image.fromarray(np.full((16, 16), 200, dtype=np.uint8)).save(stream, "JPEG")
    ds.PixelData = encapsulate([stream.getvalue()] * 2)
    ds["PixelData"].VR = "OB"
    ds["PixelData"].is_undefined_length = True
    ds.file_meta.TransferSyntaxUID = UID(JPEGBaseline8Bit)
    result, out = applied(ds, CT + "(0,0,3,3)", tmp_path)
    assert result == Result(Status.OK)
    assert out.file_meta.TransferSyntaxUID == JPEGBaseline8Bit
    frames = [
        np.asarray(Image.open(BytesIO(f)))
        for f in generate_frames(out.PixelData, number_of_frames=2)
    ]
    assert len(frames) == 2
    for frame in frames:
        assert frame[:8, :8].max() <= 8
        assert frame[8:, 8:].min() >= 190


@pytest.mark.parametrize("options", [{}, {"decompress": True}])
def test_pixels_that_cannot_be_decoded_are_set_aside(
    options: dict[str, bool], tmp_path: Path
) -> None:
    ds = image()
    ds.compress(RLELossless, generate_instance_uid=False)
    ds.file_meta.TransferSyntaxUID = UID(JPEGBaseline8Bit)
    result, _ = applied(ds, CT + "(1,1,2,1)", tmp_path, **options)
    assert result.status is Status.QUARANTINED


def test_the_first_signature_that_is_true_decides(tmp_path: Path) -> None:
    text = '{ Modality.equals("MR") } (0,0,9,9) {true.} no regions {true.} (0,0,9,9)'
    _, out = applied(image(), text, tmp_path)
    assert (out.pixel_array == 200).all()
    assert "BurnedInAnnotation" not in out


DATA = DataSet(
    {
        0x00080060: Element(0x00080060, "CS", b"CT"),
        0x00280010: Element(0x00280010, "US", b"\x40\x00"),
    }
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('Modality.equals("CT")', True),
        ('!Modality.equals("CT")', False),
        ('Modality.equals("MR") + Rows.isGreaterThan("32")', True),
        ("false. * true. + true.", True),
        ("false. * (true. + true.)", False),
        ('[0008,0060].startsWithIgnoreCase("c") // comment', True),
        ('(0008,0060).matches("C.") * Columns.equals("")', True),
        ('Modality.nope("x") + true.', True),
        ("junk", False),
        ('(Modality.equals("CT")', False),
        ("", False),
    ],
)
def test_signatures_are_evaluated_with_precedence(text: str, expected: bool) -> None:
    assert expression.parse(text)(DATA) is expected


@settings(deadline=None)
@given(st.text(alphabet='ab.()[]!*+"/ truefalsMody,0123'))
def test_any_text_is_a_signature(text: str) -> None:
    assert expression.parse(text)(DATA) in {True, False}


def test_a_signature_that_can_never_apply_is_refused_in_strict_mode(tmp_path: Path) -> None:
    path = tmp_path / "p.txt"
    path.write_text('x\n{ Modality.nope("x") } (0,0,1,1)')
    with pytest.raises(ConfigError) as caught:
        pixelscript.read(path, strict=True)
    assert caught.value.findings[0].line == 2
    assert pixelscript.read(path, strict=False).signatures


def risky(**values: object) -> Dataset:
    ds = image()
    for keyword, value in values.items():
        setattr(ds, keyword, value)
    return ds


@pytest.mark.parametrize(
    "values",
    [
        {"SOPClassUID": SecondaryCaptureImageStorage},
        {"Modality": "US"},
        {"BurnedInAnnotation": "YES"},
        {"ConversionType": "WSD"},
        {"ImageType": ["DERIVED", "SECONDARY", "SCREEN SAVE"]},
        {"ImageType": ["ORIGINAL", "SECONDARY", "OTHER", "CT_SOM5 PROT"]},
        {"ImageType": ["ORIGINAL", "PRIMARY", "LABEL", "NONE"], "Modality": "SM"},
    ],
    ids=str,
)
def test_images_with_burned_in_text_are_set_aside_unless_a_rule_covers_them(
    values: dict[str, object], tmp_path: Path
) -> None:
    ds = risky(**values)
    nothing = '{ Modality.equals("NONE") } (0,0,1,1)'
    assert applied(ds, nothing, tmp_path)[0].status is Status.QUARANTINED
    assert applied(ds, nothing, tmp_path, pixel_risk="allow")[0].status is Status.OK
    assert applied(ds, nothing, tmp_path, mode="compatible")[0].status is Status.OK
    assert applied(ds, "{ true. } (0,0,1,1)", tmp_path)[0].status is Status.OK


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"ImageType": ["DERIVED", "SECONDARY", "MPR"]},
        {"ImageType": ["DERIVED", "SECONDARY", "OTHER"], "Modality": "MR"},
        {"ImageType": ["ORIGINAL", "PRIMARY", "ASL", "LABEL"], "Modality": "MR"},
        {"BurnedInAnnotation": "NO"},
    ],
    ids=str,
)
def test_an_ordinary_slice_is_no_risk(values: dict[str, object], tmp_path: Path) -> None:
    assert applied(risky(**values), "{ false. } (0,0,1,1)", tmp_path)[0].status is Status.OK


def test_a_document_is_set_aside_unless_the_script_removes_it(tmp_path: Path) -> None:
    ds = image()
    del ds.PixelData
    ds.SOPClassUID, ds.Modality = UID("1.2.840.10008.5.1.4.1.1.104.1"), "DOC"
    ds.EncapsulatedDocument = b"%PDF"
    assert applied(ds, "{ false. }", tmp_path)[0].status is Status.QUARANTINED
    removing = {"elements": {"[0042,0011]": "@remove()"}}
    result, out = applied(ds, "{ false. }", tmp_path, **removing)
    assert result.status is Status.OK
    assert "EncapsulatedDocument" not in out
