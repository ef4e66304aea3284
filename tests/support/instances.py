"""Synthetic instances: small or full CT slices, multi-frame, private, every transfer syntax."""

from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from zlib import crc32

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydicom import dcmread, dcmwrite
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from tests.support.servers import run

ROOT = "1.2.826.0.1.3680043.10.1338"  # of pydicom's free range for test data
CT = "1.2.840.10008.5.1.4.1.1.2"
MR = "1.2.840.10008.5.1.4.1.1.4"
MULTI_FRAME = "1.2.840.10008.5.1.4.1.1.7.3"  # Multi-frame Grayscale Word Secondary Capture
SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
PRIVATE = f"{ROOT}.99.1"

# name -> transfer syntax; what `encoded` can make of an instance
ENCODINGS = {
    "implicit": ImplicitVRLittleEndian,
    "explicit": ExplicitVRLittleEndian,
    "big-endian": ExplicitVRBigEndian,
    "deflated": DeflatedExplicitVRLittleEndian,
    "rle": RLELossless,
    "jpeg-baseline": JPEGBaseline8Bit,
    "jpeg-lossless": JPEGLosslessSV1,
    "jpeg-ls": JPEGLSLossless,
    "jpeg-2000": JPEG2000Lossless,
}
_TOOLS = {
    "rle": ("dcmcrle", "--uid-never"),
    "jpeg-lossless": ("dcmcjpeg", "--encode-lossless-sv1", "--uid-never"),
    "jpeg-ls": ("dcmcjpls", "--encode-lossless", "--uid-never"),
    "deflated": ("dcmconv", "--write-xfer-deflated"),
    "big-endian": ("dcmconv", "--write-xfer-big"),
    "implicit": ("dcmconv", "--write-xfer-implicit"),
}


@dataclass(frozen=True)
class Spec:
    """What an instance is; the UIDs follow from the numbers."""

    patient: int = 1
    study: int = 1
    series: int = 1
    instance: int = 1
    rows: int = 16
    columns: int = 16
    frames: int = 1
    sop_class: str = CT
    modality: str = "CT"
    patient_name: str = "Synthetic^Patient"
    charset: str = "ISO_IR 192"
    study_date: str = "20200102"
    bits: int = 16

    @property
    def patient_id(self) -> str:
        """Its PatientID."""
        return f"P{self.patient:05}"

    @property
    def study_uid(self) -> str:
        """Its Study Instance UID."""
        return f"{ROOT}.1.{self.patient}.{self.study}"

    @property
    def series_uid(self) -> str:
        """Its Series Instance UID."""
        return f"{self.study_uid}.{self.series}"

    @property
    def sop_uid(self) -> str:
        """Its SOP Instance UID."""
        return f"{self.series_uid}.{self.instance}"


def specs(
    patients: int = 1, studies: int = 1, series: int = 1, instances: int = 1, **more: object
) -> Iterator[Spec]:
    """Every combination, counted from 1; `more` are fields of `Spec`."""
    for patient in range(1, patients + 1):
        for study in range(1, studies + 1):
            for one in range(1, series + 1):
                for instance in range(1, instances + 1):
                    yield Spec(patient, study, one, instance, **more)  # type: ignore[arg-type]


def dataset(spec: Spec) -> Dataset:
    """Build the data set, its File Meta Information included."""
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.file_meta.MediaStorageSOPClassUID = UID(spec.sop_class)
    ds.file_meta.MediaStorageSOPInstanceUID = UID(spec.sop_uid)
    ds.SpecificCharacterSet = spec.charset
    ds.SOPClassUID, ds.SOPInstanceUID = UID(spec.sop_class), UID(spec.sop_uid)
    ds.StudyInstanceUID, ds.SeriesInstanceUID = spec.study_uid, spec.series_uid
    ds.PatientID, ds.PatientName = spec.patient_id, spec.patient_name
    ds.PatientBirthDate, ds.PatientSex = "19700101", "O"
    ds.StudyDate = ds.SeriesDate = ds.ContentDate = spec.study_date
    ds.StudyTime = ds.ContentTime = "101500"
    ds.AccessionNumber = f"A{spec.patient:05}{spec.study:02}"
    ds.StudyID, ds.StudyDescription = str(spec.study), f"Synthetic study {spec.study}"
    ds.SeriesNumber, ds.InstanceNumber = spec.series, spec.instance
    ds.SeriesDescription = f"Synthetic series {spec.series}"
    ds.Modality, ds.Manufacturer = spec.modality, "Synthetic"
    ds.ReferringPhysicianName = "Doctor^Synthetic"
    ds.BodyPartExamined = "CHEST"
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator = "77477000", "SCT"
    item.CodeMeaning = "Computed tomography"
    ds.ProcedureCodeSequence = [item]
    _add_pixels(ds, spec)
    return ds


def _add_pixels(ds: Dataset, spec: Spec) -> None:
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.Rows, ds.Columns = spec.rows, spec.columns
    ds.BitsAllocated = ds.BitsStored = spec.bits
    ds.HighBit, ds.PixelRepresentation = spec.bits - 1, 0
    if spec.sop_class in {CT, MR}:
        ds.RescaleIntercept, ds.RescaleSlope = "-1024", "1"
        ds.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        ds.ImagePositionPatient = [0, 0, spec.instance]
        ds.PixelSpacing, ds.SliceThickness = [1, 1], "1"
    if spec.frames > 1:
        ds.NumberOfFrames = spec.frames
        ds.FrameIncrementPointer = 0x00181063
        ds.FrameTime = "40"
    stored = pixels(spec)
    ds["PixelData"] = _pixel_element(stored.tobytes(), spec.bits)


def _pixel_element(data: bytes, bits: int) -> DataElement:
    padded = data + b"\0" * (len(data) % 2)
    return DataElement(0x7FE00010, "OW" if bits > 8 else "OB", padded)


def pixels(spec: Spec) -> NDArray[np.unsignedinteger[Any]]:
    """Return the stored values, (frames, rows, columns), different for each instance."""
    seed = crc32(spec.sop_uid.encode())  # the same in every process
    noise = np.random.default_rng(seed).integers(0, 16, (spec.frames, spec.rows, spec.columns))
    rows, columns = np.mgrid[0 : spec.rows, 0 : spec.columns]
    slope = (rows * 3 + columns * 5 + spec.instance * 7) % (1 << min(spec.bits, 11))
    top = (1 << spec.bits) - 1
    kind = "<u2" if spec.bits > 8 else "u1"
    stored: NDArray[np.unsignedinteger[Any]] = np.minimum(slope[None] + noise, top).astype(kind)
    return stored


def to_bytes(ds: Dataset) -> bytes:
    """Write a Part 10 file in the transfer syntax of its File Meta Information."""
    buffer = BytesIO()
    dcmwrite(buffer, ds, enforce_file_format=True)
    return buffer.getvalue()


def file(spec: Spec, encoding: str = "explicit") -> bytes:
    """Build an instance as a Part 10 file in one of `ENCODINGS`."""
    return encoded(dataset(spec), encoding)


def files(several: Iterator[Spec]) -> list[bytes]:
    """Build instances as Part 10 files, Explicit VR Little Endian."""
    return [file(spec) for spec in several]


def encoded(ds: Dataset, encoding: str) -> bytes:
    """Write a data set in one of `ENCODINGS`; JPEG baseline needs 8 bits."""
    if encoding == "explicit":
        return to_bytes(ds)
    if encoding in {"jpeg-baseline", "jpeg-2000"}:
        return _with_pillow(ds, encoding)
    with TemporaryDirectory() as folder:
        source, target = Path(folder) / "in.dcm", Path(folder) / "out.dcm"
        source.write_bytes(to_bytes(ds))
        run(*_TOOLS[encoding], source, target)
        return target.read_bytes()


def _with_pillow(ds: Dataset, encoding: str) -> bytes:
    copy = dcmread(BytesIO(to_bytes(ds)))
    frames = np.frombuffer(copy.PixelData, "<u2" if copy.BitsAllocated > 8 else "u1")
    frames = frames[: copy.get("NumberOfFrames", 1) * copy.Rows * copy.Columns]
    streams = []
    for frame in frames.reshape(-1, copy.Rows, copy.Columns):
        buffer = BytesIO()
        if encoding == "jpeg-baseline":
            Image.fromarray(frame).save(buffer, "JPEG", quality=95)
        else:
            Image.fromarray(frame).save(buffer, "JPEG2000", irreversible=False, no_jp2=True)
        streams.append(buffer.getvalue())
    copy.PixelData = encapsulate(streams)
    copy["PixelData"].VR = "OB"
    copy["PixelData"].is_undefined_length = True
    copy.file_meta.TransferSyntaxUID = ENCODINGS[encoding]
    if encoding == "jpeg-baseline":
        copy.LossyImageCompression = "01"
        copy.LossyImageCompressionMethod = "ISO_10918_1"
    return to_bytes(copy)
