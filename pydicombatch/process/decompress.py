"""Any transfer syntax to Explicit VR Little Endian; what cannot be decoded stays as received.

The Image Pixel module is corrected to what is stored (PS3.3 C.7.6.3). Lossless input keeps its
colour space, so that nothing is rounded; JPEG's lossy colour becomes RGB, as viewers expect.
"""

import os
import struct
import zlib
from collections.abc import Iterable
from contextlib import suppress
from io import BytesIO
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import TypeAlias

import numpy as np
from pydicom import Dataset, config, dcmread
from pydicom.errors import InvalidDicomError
from pydicom.filebase import DicomFileLike
from pydicom.filewriter import write_dataset
from pydicom.pixels.decoders.base import Decoder, get_decoder
from pydicom.uid import (
    JPEG2000,
    UID,
    ExplicitVRLittleEndian,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLSNearLossless,
)

from pydicombatch.core import header
from pydicombatch.core.file_meta import file_meta
from pydicombatch.process.reencode import as_explicit_little_endian

# what an object of pydicom, a decoder or a damaged value may raise
FAULTS = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    EOFError,
    InvalidDicomError,
    LookupError,
    MemoryError,
    NotImplementedError,
    RecursionError,
    RuntimeError,
    TypeError,
    ValueError,
    struct.error,
    zlib.error,
)
PLUGINS = (
    "pydicom",
    "gdcm",
    "pillow",
)  # the first that can; always the same, whatever else is there
LOSSY_COLOUR = frozenset({JPEGBaseline8Bit, JPEGExtended12Bit})
LOSSY_ALWAYS = LOSSY_COLOUR
LOSSY_PERHAPS = frozenset({JPEGLSNearLossless, JPEG2000})
Decoded: TypeAlias = tuple[BytesIO, dict[str, str | int], int]  # pixels, their module, frames
LARGEST = (1 << 32) - 2  # bytes of an uncompressed value, PS3.5 8.1.1
DECODABLE = frozenset({8, 16, 32})  # Bits Allocated


class KeptError(Exception):
    """The instance stays as received; the text says why, without any value."""


def decompress(source: Path, target: Path, *, largest: int = LARGEST) -> None:
    """Write an instance as Explicit VR Little Endian, durably, with mode 0600.

    Parameters
    ----------
    source
        A file with File Meta Information, any transfer syntax.
    target
        A file that does not exist yet.
    largest
        Bytes of pixels that are decoded at most.

    Raises
    ------
    KeptError
        If it is a video, is damaged, claims too many pixels, or has a syntax nobody decodes here.
    OSError
        If `source` cannot be read or `target` cannot be written.
    """
    try:
        dataset = _read(source, largest)
        syntax = UID(str(dataset.file_meta.TransferSyntaxUID))
        if syntax.is_encapsulated and "PixelData" in dataset:
            _decode(dataset, syntax, largest)
        as_explicit_little_endian(dataset)
        _write(target, dataset)
    except FAULTS as exc:
        raise KeptError("it cannot be decoded") from exc


def is_plain(transfer_syntax_uid: str) -> bool:
    """Whether there is nothing to do."""
    return transfer_syntax_uid == ExplicitVRLittleEndian


def _read(source: Path, largest: int) -> Dataset:
    quiet()
    plain, whole = inflated(source, largest)
    if not whole:
        raise KeptError("it inflates to more than is decoded here")
    return dcmread(plain)


def inflated(source: Path, largest: int) -> tuple[Path | BytesIO, bool]:
    """Give a file the library may read; it would inflate a deflated one without any limit.

    Parameters
    ----------
    source
        A file with File Meta Information.
    largest
        Bytes of a deflated data set that are given at most.

    Returns
    -------
    tuple
        The file itself, or the beginning of its inflated content; and whether that is all.

    Raises
    ------
    UnreadableError
        If it ends before its own lengths do.
    """
    if not source.stat().st_size:
        raise header.UnreadableError("it is empty")
    with source.open("rb") as file, mmap(file.fileno(), 0, access=ACCESS_READ) as data:
        found = header.of_file(data)
        if found.transfer_syntax_uid not in header.DEFLATED:
            return source, True
        plain, whole = header.inflate(data, found.start, largest)
    ids = found.identifiers
    meta = file_meta(ids.sop_class_uid, ids.sop_instance_uid, ExplicitVRLittleEndian)
    return BytesIO(meta + plain), whole


def quiet() -> None:
    """Keep the library from refusing, and from printing, values that break a rule."""
    config.settings.reading_validation_mode = config.IGNORE
    config.settings.writing_validation_mode = config.IGNORE


def _decode(dataset: Dataset, syntax: UID, largest: int) -> None:
    _check_claims(dataset, largest)
    try:
        decoder = get_decoder(syntax)
    except NotImplementedError:
        raise KeptError("its transfer syntax is not decoded here") from None
    lossy_colour = syntax in LOSSY_COLOUR
    pixels, described, frames = _frames(dataset, decoder, as_rgb=lossy_colour)
    if len(pixels.getbuffer()) % 2:
        pixels.write(b"\0")
    pixels.seek(0)
    element = dataset["PixelData"]
    element.value = pixels
    element.is_undefined_length = False
    element.VR = "OB" if dataset.BitsAllocated <= 8 else "OW"  # noqa: PLR2004 - PS3.5 8.1.2
    dataset.PhotometricInterpretation = described["photometric_interpretation"]
    if dataset.SamplesPerPixel > 1:
        dataset.PlanarConfiguration = described["planar_configuration"]
    if "NumberOfFrames" in dataset or frames > 1:
        dataset.NumberOfFrames = frames
    for table in ("ExtendedOffsetTable", "ExtendedOffsetTableLengths"):
        dataset.pop(table, None)  # they point into fragments that are gone
    _mark_lossy(dataset, syntax)


def _check_claims(dataset: Dataset, largest: int) -> None:
    """Look at the size that is claimed before any of it is allocated."""
    bits = int(dataset.BitsAllocated)
    if bits not in DECODABLE:
        raise KeptError("its Bits Allocated is not 8, 16 or 32")
    frames = int(dataset.get("NumberOfFrames") or 1)
    samples = int(dataset.get("SamplesPerPixel") or 1)
    claimed = int(dataset.Rows) * int(dataset.Columns) * frames * samples * bits // 8
    if not 0 < claimed <= largest:
        raise KeptError("it claims more pixels than are decoded here, or none")


def _frames(dataset: Dataset, decoder: Decoder, *, as_rgb: bool) -> Decoded:
    available = decoder.available_plugins
    usable = [name for name in PLUGINS if name in available]
    if not usable:
        raise KeptError("its transfer syntax is not decoded here")
    for name in usable:
        try:
            return _with(dataset, decoder, name, as_rgb=as_rgb)
        except FAULTS:
            if name == usable[-1]:
                raise
    raise AssertionError  # a loop over something non-empty has returned or raised


def _with(dataset: Dataset, decoder: Decoder, plugin: str, *, as_rgb: bool) -> Decoded:
    frames = decoder.iter_array(dataset, decoding_plugin=plugin, as_rgb=as_rgb)
    try:
        return _gathered(frames)
    except ValueError:
        # frame by frame, pydicom cannot correct the sign of JPEG 2000 in place; one by one it can
        count = int(dataset.get("NumberOfFrames") or 1)
        return _gathered(
            decoder.as_array(dataset, index=number, decoding_plugin=plugin, as_rgb=as_rgb)  # type: ignore[arg-type]
            for number in range(count)
        )


def _gathered(frames: Iterable[tuple[np.ndarray, dict[str, str | int]]]) -> Decoded:
    pixels = BytesIO()
    described: dict[str, str | int] = {}
    count = 0
    for array, properties in frames:
        pixels.write(array.tobytes())
        described = dict(properties)
        count += 1
    return pixels, described, count


def _mark_lossy(dataset: Dataset, syntax: UID) -> None:
    """PS3.3 C.7.6.1.1.5: once lossy, always lossy; decoding does not bring anything back."""
    said = str(dataset.get("LossyImageCompression") or "")
    if syntax in LOSSY_ALWAYS or (syntax in LOSSY_PERHAPS and not said):
        dataset.LossyImageCompression = "01"


def _write(target: Path, dataset: Dataset) -> None:
    meta = file_meta(
        str(dataset.get("SOPClassUID", "")),
        str(dataset.get("SOPInstanceUID", "")),
        ExplicitVRLittleEndian,
    )
    handle = os.open(target, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(handle, "w+b") as file:
        with suppress(OSError):  # some network and FAT file systems know no modes
            os.fchmod(file.fileno(), 0o600)
        file.write(meta)
        encoder = DicomFileLike(file)
        encoder.is_implicit_VR, encoder.is_little_endian = False, True
        write_dataset(encoder, dataset)
        file.flush()
        os.fsync(file.fileno())
