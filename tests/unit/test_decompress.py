import struct
import zlib
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydicom import Dataset, dcmread
from pydicom.dataelem import DataElement
from pydicom.encaps import encapsulate, generate_frames
from pydicom.pixels.utils import pixel_array
from pydicom.uid import (
    JPEG2000,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    JPEGBaseline8Bit,
    RLELossless,
)

from pydicombatch.core.file_meta import file_meta
from pydicombatch.core.header import of_file
from pydicombatch.process.decompress import KeptError, decompress, is_plain
from tests.support.instances import (
    ENCODINGS,
    MULTI_FRAME,
    SECONDARY_CAPTURE,
    Spec,
    dataset,
    encoded,
    file,
    pixels,
    to_bytes,
)
from tests.support.servers import run

COMPRESSED = [name for name in ENCODINGS if name not in {"explicit", "jpeg-baseline"}]
SMALL = Spec(bits=8, sop_class=SECONDARY_CAPTURE, modality="OT")


def decompressed(tmp_path: Path, raw: bytes, largest: int = 1 << 30) -> Dataset:
    source, target = tmp_path / "in.dcm", tmp_path / "out.dcm"
    source.write_bytes(raw)
    target.unlink(missing_ok=True)
    decompress(source, target, largest=largest)
    assert of_file(target.read_bytes()).transfer_syntax_uid == ExplicitVRLittleEndian
    assert target.stat().st_mode & 0o777 == 0o600
    read = dcmread(target)
    assert not read["PixelData"].is_undefined_length
    assert len(read.PixelData) % 2 == 0
    return read


def colour(rows: int = 16, columns: int = 17, frames: int = 1) -> Dataset:
    ds = dataset(Spec(rows=rows, columns=columns, bits=8, sop_class=SECONDARY_CAPTURE))
    values = np.random.default_rng(1).integers(0, 255, (frames, rows, columns, 3), dtype=np.uint8)
    ds.SamplesPerPixel, ds.PhotometricInterpretation, ds.PlanarConfiguration = 3, "RGB", 0
    if frames > 1:
        ds.NumberOfFrames = frames
    raw = values.tobytes()
    ds["PixelData"] = DataElement(0x7FE00010, "OB", raw + b"\0" * (len(raw) % 2))
    return ds


@pytest.mark.parametrize("encoding", COMPRESSED)
@pytest.mark.parametrize(
    "spec",
    [SMALL, Spec(rows=15, columns=17), Spec(frames=3, sop_class=MULTI_FRAME), Spec(bits=8, rows=5)],
    ids=["8-bit", "16-bit", "multi-frame", "odd"],
)
def test_lossless_syntaxes_give_back_the_very_values(
    tmp_path: Path, encoding: str, spec: Spec
) -> None:
    read = decompressed(tmp_path, file(spec, encoding))
    expected = pixels(spec)
    assert np.array_equal(read.pixel_array.reshape(expected.shape), expected)
    assert read.PhotometricInterpretation == "MONOCHROME2"
    assert read.get("NumberOfFrames", 1) == spec.frames
    assert (read.BitsAllocated, read.BitsStored, read.HighBit) == (
        spec.bits, spec.bits, spec.bits - 1,
    )  # fmt: skip
    assert "LossyImageCompression" not in read


@pytest.mark.parametrize("encoding", COMPRESSED)
def test_everything_but_the_pixels_stays_as_it_was(tmp_path: Path, encoding: str) -> None:
    original = dataset(Spec(patient_name="Größe^Ångström"))
    read = decompressed(tmp_path, encoded(original, encoding))
    for element in original:
        if element.tag != 0x7FE00010:
            assert read[element.tag].value == element.value, element.keyword
            assert read[element.tag].VR == element.VR, element.keyword


@pytest.mark.parametrize("encoding", ["rle", "jpeg-lossless", "jpeg-ls"])
@pytest.mark.parametrize("frames", [1, 2])
def test_colour_is_exact_in_lossless_syntaxes(tmp_path: Path, encoding: str, frames: int) -> None:
    original = colour(frames=frames)
    expected = original.pixel_array
    read = decompressed(tmp_path, encoded(original, encoding))
    assert np.array_equal(read.pixel_array, expected)
    assert (read.PhotometricInterpretation, read.SamplesPerPixel) == ("RGB", 3)
    assert read.PlanarConfiguration == 0


def test_colour_planes_come_interlaced_out_of_rle(tmp_path: Path) -> None:
    original = colour()
    planes = original.pixel_array.transpose(2, 0, 1).tobytes()
    original["PixelData"].value, original.PlanarConfiguration = planes, 1
    expected = original.pixel_array
    read = decompressed(tmp_path, encoded(original, "rle"))
    assert np.array_equal(read.pixel_array, expected)
    assert read.PlanarConfiguration == 0


def test_lossy_jpeg_equals_the_librarys_own_decoding(tmp_path: Path) -> None:
    raw = file(SMALL, "jpeg-baseline")
    read = decompressed(tmp_path, raw)
    assert np.array_equal(read.pixel_array, dcmread(BytesIO(raw)).pixel_array)
    assert read.LossyImageCompression == "01"
    assert read.LossyImageCompressionMethod == "ISO_10918_1"


def jpeg_colour(method: str, **options: object) -> Dataset:
    ds = dcmread(BytesIO(to_bytes(colour())))
    image = Image.fromarray(ds.pixel_array)
    buffer = BytesIO()
    image.save(buffer, method, **options)
    ds.PixelData = encapsulate([buffer.getvalue()])
    ds["PixelData"].is_undefined_length = True
    return ds


def test_subsampled_colour_becomes_rgb_and_says_so(tmp_path: Path) -> None:
    ds = jpeg_colour("JPEG", quality=90)
    ds.file_meta.TransferSyntaxUID, ds.PhotometricInterpretation = JPEGBaseline8Bit, "YBR_FULL_422"
    raw = to_bytes(ds)
    read = decompressed(tmp_path, raw)
    assert read.PhotometricInterpretation == "RGB"
    assert (read.SamplesPerPixel, read.PlanarConfiguration) == (3, 0)
    assert len(read.PixelData) == 16 * 17 * 3
    expected = pixel_array(dcmread(BytesIO(raw)), decoding_plugin="gdcm")
    assert np.array_equal(read.pixel_array, expected)
    assert read.LossyImageCompression == "01"


def test_the_colour_transform_of_jpeg_2000_is_undone(tmp_path: Path) -> None:
    ds = jpeg_colour("JPEG2000", irreversible=False, no_jp2=True, mct=1)
    ds.file_meta.TransferSyntaxUID = ENCODINGS["jpeg-2000"]
    ds.PhotometricInterpretation = "YBR_RCT"
    read = decompressed(tmp_path, to_bytes(ds))
    assert read.PhotometricInterpretation == "RGB"
    assert np.array_equal(read.pixel_array, colour().pixel_array)


@pytest.mark.parametrize(("said", "then"), [(None, "01"), ("00", "00"), ("01", "01")])
def test_a_syntax_that_may_be_lossy_is_marked_unless_the_sender_said_something(
    tmp_path: Path, said: str | None, then: str
) -> None:
    ds = dcmread(BytesIO(file(SMALL, "jpeg-2000")))
    ds.file_meta.TransferSyntaxUID = JPEG2000
    if said is not None:
        ds.LossyImageCompression = said
    assert decompressed(tmp_path, to_bytes(ds)).LossyImageCompression == then


def test_offset_tables_of_removed_fragments_are_removed(tmp_path: Path) -> None:
    ds = dcmread(BytesIO(file(SMALL, "rle")))
    (frame,) = generate_frames(ds.PixelData, number_of_frames=1)
    ds.ExtendedOffsetTable = struct.pack("<Q", 0)
    ds.ExtendedOffsetTableLengths = struct.pack("<Q", len(frame))
    read = decompressed(tmp_path, to_bytes(ds))
    assert "ExtendedOffsetTable" not in read
    assert "ExtendedOffsetTableLengths" not in read


@pytest.mark.parametrize("syntax", ["implicit", "big-endian"])
def test_odd_values_come_through_without_being_understood(tmp_path: Path, syntax: str) -> None:
    ds = dataset(Spec())
    ds.AcquisitionMatrix, ds.SmallestImagePixelValue = [0, 256, 512, 0], 3
    ds.FrameIncrementPointer = 0x00181063
    ds.EventElapsedTimes = [1, 2]
    item = Dataset()
    item.Rows, item.PatientName = 513, "In^Side"
    ds.ReferencedImageSequence = [item]
    raw = encoded(ds, syntax)
    for old, new in ((b"20200102", b"2020.1.2"), (b"Synthetic study ", b"Synth\xff\xfetic\tstud#")):
        raw = raw.replace(old, new)
    read = decompressed(tmp_path, raw)
    assert read.get_item("StudyDate").value == b"2020.1.2"
    assert b"Synth\xff\xfetic\tstud#" in read.get_item("StudyDescription").value
    assert read.AcquisitionMatrix == [0, 256, 512, 0]
    assert read.SmallestImagePixelValue == 3
    assert read.FrameIncrementPointer == 0x00181063
    assert read.ReferencedImageSequence[0].Rows == 513
    assert read.ReferencedImageSequence[0].PatientName == "In^Side"


@pytest.mark.parametrize("pixel_representation", [0, 1])
def test_values_that_may_be_signed_follow_the_pixels(
    tmp_path: Path, pixel_representation: int
) -> None:
    ds = dataset(Spec())
    ds.PixelRepresentation = pixel_representation
    ds["SmallestImagePixelValue"] = DataElement(
        "SmallestImagePixelValue", "SS" if pixel_representation else "US", 5
    )
    read = decompressed(tmp_path, encoded(ds, "implicit"))
    assert ("SS" if pixel_representation else "US") == read["SmallestImagePixelValue"].VR
    assert read.SmallestImagePixelValue == 5


def test_dcmtk_agrees_about_big_endian(tmp_path: Path) -> None:
    raw = file(Spec(), "big-endian")
    read = decompressed(tmp_path, raw)
    run("dcmconv", "--write-xfer-little", tmp_path / "in.dcm", tmp_path / "theirs.dcm")
    theirs = dcmread(tmp_path / "theirs.dcm")
    assert dcmread(BytesIO(raw)).file_meta.TransferSyntaxUID == ExplicitVRBigEndian
    assert read.PixelData == theirs.PixelData
    assert read == theirs


def kept(tmp_path: Path, raw: bytes, largest: int = 1 << 30) -> str:
    source = tmp_path / "in.dcm"
    source.write_bytes(raw)
    with pytest.raises(KeptError) as caught:
        decompress(source, tmp_path / "out.dcm", largest=largest)
    assert source.read_bytes() == raw
    return str(caught.value)


@pytest.mark.parametrize(
    "syntax",
    ["1.2.840.10008.1.2.4.102", "1.2.840.10008.1.2.4.201", "1.2.3.4.5", "1.2.840.10008.1.2.4.100"],
)
def test_videos_and_unknown_syntaxes_are_kept_as_received(tmp_path: Path, syntax: str) -> None:
    ds = dcmread(BytesIO(file(SMALL, "rle")))
    raw = to_bytes(ds).replace(b"1.2.840.10008.1.2.5", syntax.encode().ljust(19, b"\0")[:19])
    meta = file_meta(str(ds.SOPClassUID), str(ds.SOPInstanceUID), syntax)
    raw = meta + to_bytes(ds)[of_file(to_bytes(ds)).start :]
    assert kept(tmp_path, raw)


def test_a_claim_of_too_many_pixels_is_not_tried(tmp_path: Path) -> None:
    """S04, S05."""
    ds = dcmread(BytesIO(file(SMALL, "rle")))
    ds.Rows = ds.Columns = 65535
    ds.NumberOfFrames = 100_000
    assert kept(tmp_path, to_bytes(ds)) == "it claims more pixels than are decoded here, or none"


def test_a_deflated_bomb_is_not_inflated(tmp_path: Path) -> None:
    """F57."""
    raw = file(SMALL)
    start = of_file(raw).start
    bomb = struct.pack("<HH2sHI", 0x7FE1, 0x10, b"OB", 0, 30 << 20) + bytes(30 << 20)
    engine = zlib.compressobj(wbits=-15)
    packed = engine.compress(raw[start:] + bomb) + engine.flush()
    meta = file_meta(SMALL.sop_class, SMALL.sop_uid, ENCODINGS["deflated"])
    assert kept(tmp_path, meta + packed, 1 << 20).startswith("it inflates to more")


def test_damaged_pixels_are_kept_as_received_and_the_reason_has_no_value(tmp_path: Path) -> None:
    ds = dcmread(BytesIO(file(SMALL, "jpeg-ls")))
    ds.PixelData = encapsulate([b"no picture at all!"])
    ds["PixelData"].is_undefined_length = True
    assert kept(tmp_path, to_bytes(ds)) == "it cannot be decoded"


def test_an_instance_without_pixels_is_only_written_anew(tmp_path: Path) -> None:
    ds = dataset(SMALL)
    del ds.PixelData
    source, target = tmp_path / "in.dcm", tmp_path / "out.dcm"
    source.write_bytes(encoded(ds, "implicit"))
    decompress(source, target)
    assert dcmread(target) == ds


def test_only_explicit_little_endian_is_left_alone() -> None:
    assert is_plain(ExplicitVRLittleEndian)
    assert not is_plain(RLELossless)
