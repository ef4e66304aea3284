"""Blanking regions of Pixel Data: in place where it is uncompressed, else after decoding."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from io import BytesIO
from typing import Final

import numpy as np
import pydicom
from pydicom.encaps import encapsulate, generate_frames

from pydicombatch.process.anonymize import contents, jpegblank, tail
from pydicombatch.process.anonymize.context import QuarantineError, SkipError
from pydicombatch.process.anonymize.instance import (
    DEFLATED,
    EXPLICIT,
    PIXEL_DATA,
    DataSet,
    Element,
)
from pydicombatch.process.anonymize.pixelscript import PixelScript, Region
from pydicombatch.process.anonymize.reading import UNDEFINED, Encoding, Instance
from pydicombatch.process.anonymize.writing import Writer, meta_information

_FRAMES: Final = 0x00280008
_SEQUENCE_END: Final = b"\xfe\xff\xdd\xe0\0\0\0\0"
_ROWS: Final = 0x00280010
_COLUMNS: Final = 0x00280011
_BITS_ALLOCATED: Final = 0x00280100
_BITS_STORED: Final = 0x00280101
_HIGH_BIT: Final = 0x00280102
_SAMPLES: Final = 0x00280002
_PHOTOMETRIC: Final = 0x00280004
_PLANAR: Final = 0x00280006
_BURNED_IN: Final = 0x00280301
_NEEDS_DECODING: Final = "The regions of a compressed image cannot be blanked without decoding it"
_UNDESCRIBED: Final = "The pixel script applies to an image whose pixels are not described"
_UNDECODABLE: Final = "The regions of the image cannot be blanked, since it cannot be decoded"
_DEFLATED: Final = "The regions of a deflated image cannot be blanked in the compatible mode"
_BYTE: Final = 8
_JPEG_BASELINE: Final = "1.2.840.10008.1.2.4.50"


@dataclass(frozen=True, slots=True)
class Blanker:
    """A pixel script and how far it may go.

    `decompress` allows decoding what is compressed, `test` blanks in grey instead of black.
    """

    script: PixelScript
    decompress: bool = False
    test: bool = False

    def apply(self, instance: Instance, *, strict: bool) -> tuple[Instance, bool]:
        """Blank the regions of an image; tell whether a rule covered it.

        Raises
        ------
        QuarantineError, SkipError
            If a rule covers the image and cannot be carried out.
        """
        pieces = tail.pieces(instance)
        pixels = next((piece for piece in pieces if piece.header.tag == PIXEL_DATA), None)
        regions = self.script.regions(instance.dataset)
        if pixels is None or not regions:
            return instance, False
        if instance.syntax == DEFLATED and not strict:  # the tool fails, or loses the pixels
            raise QuarantineError(_DEFLATED)
        if pixels.header.length == UNDEFINED and instance.syntax == _JPEG_BASELINE:
            jpeg = _jpeg_blanked(instance, regions)
            return self._with_pixels(instance, jpeg, [], instance.encoding, pieces), True
        if pixels.header.length == UNDEFINED:
            if not self.decompress:
                raise QuarantineError(_NEEDS_DECODING) if strict else SkipError
            element, changes = _decoded(instance)
            encoding = Encoding(explicit=True)
            instance = replace(instance, syntax=EXPLICIT)
        else:
            value = instance.data[pixels.header.start : pixels.end]
            vr = pixels.header.vr if pixels.header.vr in {"OB", "OW"} else "OW"
            element, changes = Element(PIXEL_DATA, vr, value), []
            encoding = instance.encoding
        described = _with(instance.dataset, changes)
        blanked = self._blanked(element, regions, described)
        return self._with_pixels(instance, blanked, changes, encoding, pieces), True

    def _with_pixels(
        self,
        instance: Instance,
        element: Element,
        changes: list[Element],
        encoding: Encoding,
        pieces: list[tail.Piece],
    ) -> Instance:
        """Put other Pixel Data into an instance, and say that nothing is burned in."""
        dataset = _with(instance.dataset, [*changes, Element(_BURNED_IN, "CS", b"NO")])
        others = [piece for piece in pieces if piece.header.tag != PIXEL_DATA]
        rest = tail.encoded(others, instance, encoding)
        data = b"".join((Writer(encoding).dataset([element]), *rest))
        return replace(instance, dataset=dataset, encoding=encoding, data=data, tail=0)

    def _blanked(self, element: Element, regions: Iterable[Region], dataset: DataSet) -> Element:
        layout = Layout.of(dataset)
        pixels = np.frombuffer(bytearray(element.value), dtype=np.uint8)
        layout.blank(pixels, regions, test=self.test)
        return element._replace(value=pixels.tobytes())


@dataclass(frozen=True, slots=True)
class Layout:
    """How the pixels of an image lie in its bytes."""

    rows: int
    columns: int
    samples: int
    sample_bytes: int
    photometric: str
    planar: bool

    @classmethod
    def of(cls, dataset: DataSet) -> "Layout":
        """Read the image pixel description (PS3.3 C.7.6.3); raises `QuarantineError`."""
        rows, columns = _number(dataset, _ROWS), _number(dataset, _COLUMNS)
        bits = _number(dataset, _BITS_ALLOCATED)
        if not rows or not columns or bits % _BYTE or not bits:
            raise QuarantineError(_UNDESCRIBED)
        photometric = _text(dataset, _PHOTOMETRIC)
        planar = _number(dataset, _PLANAR) == 1
        samples = _number(dataset, _SAMPLES) or 1
        return cls(rows, columns, samples, bits // _BYTE, photometric, planar and samples > 1)

    @property
    def subsampled(self) -> bool:
        """Tell whether two pixels share their chroma (PS3.3 C.7.6.3.1.2)."""
        return self.photometric == "YBR_FULL_422" and not self.planar

    @property
    def pixel_bytes(self) -> int:
        """Bytes from one pixel of a plane to the next."""
        if self.subsampled:
            return 2 * self.sample_bytes
        return self.sample_bytes * (1 if self.planar else self.samples)

    @property
    def frame_bytes(self) -> int:
        """Bytes of one frame."""
        return self.rows * self.columns * self.pixel_bytes * (self.samples if self.planar else 1)

    def blank(
        self,
        pixels: "np.ndarray[tuple[int], np.dtype[np.uint8]]",
        regions: Iterable[Region],
        *,
        test: bool,
    ) -> None:
        """Blank the regions of every frame, in place; `pixels` is (bytes,) uint8."""
        frames = len(pixels) // self.frame_bytes
        if not frames:
            raise QuarantineError(_UNDESCRIBED)
        # (frames, planes, rows, bytes of a row)
        planes = self.samples if self.planar else 1
        shape = (frames, planes, self.rows, self.columns * self.pixel_bytes)
        image = pixels[: frames * self.frame_bytes].reshape(shape)
        for region in regions:
            left, right, top, bottom = region.bounds(self.columns, self.rows)
            if self.subsampled:
                left, right = left // 2 * 2, right | 1  # whole pairs
            if left > right or top > bottom:
                continue
            part = image[
                :, :, top : bottom + 1, left * self.pixel_bytes : (right + 1) * self.pixel_bytes
            ]
            for plane in range(planes):
                part[:, plane] = np.resize(self._fill(plane, test=test), part.shape[-1])

    def _fill(self, plane: int, *, test: bool) -> "np.ndarray[tuple[int], np.dtype[np.uint8]]":
        """Return the bytes that are repeated over a blanked row."""
        luma = 127 if test else 0
        if self.photometric.startswith("YBR"):
            chroma = [127] if self.planar else [luma, luma, 128, 128]
            return np.array([luma] if self.planar and plane == 0 else chroma, dtype=np.uint8)
        if test:
            return np.array([127 if self.sample_bytes == 1 else 8], dtype=np.uint8)
        if self.photometric == "MONOCHROME1":
            return np.array([255 if self.sample_bytes == 1 else 15], dtype=np.uint8)
        return np.zeros(1, dtype=np.uint8)


def _jpeg_blanked(instance: Instance, regions: Sequence[Region]) -> Element:
    """Blank every frame in the compressed domain (PS3.5 A.4: one item or more a frame)."""
    try:
        dataset = pydicom.dcmread(BytesIO(_stream(instance)))
        count = max(1, _number(instance.dataset, _FRAMES))
        frames = generate_frames(dataset.PixelData, number_of_frames=count)
        blanked = [jpegblank.blanked(frame, regions) for frame in frames]
    except Exception as error:
        raise QuarantineError(_UNDECODABLE) from error
    if not blanked:
        raise QuarantineError(_UNDESCRIBED)
    return Element(PIXEL_DATA, "OB", encapsulate(blanked) + _SEQUENCE_END, None, undefined=True)


def _decoded(instance: Instance) -> tuple[Element, list[Element]]:
    """Decode all frames; colour becomes RGB. Returns Pixel Data and the changed description."""
    try:
        dataset = pydicom.dcmread(BytesIO(_stream(instance)))
        dataset.decompress(generate_instance_uid=False)
    except Exception as error:
        raise QuarantineError(_UNDECODABLE) from error
    changes = [Element(_PHOTOMETRIC, "CS", str(dataset.PhotometricInterpretation).encode())]
    if int(dataset.SamplesPerPixel) > 1:
        changes.append(
            Element(_PLANAR, "US", int(dataset.PlanarConfiguration).to_bytes(2, "little"))
        )
    changes += [
        Element(tag, "US", int(dataset[tag].value).to_bytes(2, "little"))
        for tag in (_BITS_ALLOCATED, _BITS_STORED, _HIGH_BIT)
    ]
    vr = "OB" if dataset.BitsAllocated <= _BYTE else "OW"
    return Element(PIXEL_DATA, vr, bytes(dataset.PixelData)), changes


def _stream(instance: Instance) -> bytes:
    """Encode what a decoder needs: the pixel description and Pixel Data."""
    described = [element for element in instance.dataset if element.tag >> 16 == 0x0028]  # noqa: PLR2004
    body = Writer(instance.encoding).dataset(described)
    meta = meta_information(instance.dataset, instance.syntax)
    return b"".join((meta, body, instance.data[instance.tail :]))


def _with(dataset: DataSet, changes: Iterable[Element]) -> DataSet:
    elements = {**dataset.elements, **{element.tag: element for element in changes}}
    return replace(dataset, elements=dict(sorted(elements.items())))


def _number(dataset: DataSet, tag: int) -> int:
    text = _text(dataset, tag)
    return int(text) if text.isdecimal() else 0


def _text(dataset: DataSet, tag: int) -> str:
    element = dataset.elements.get(tag)
    return (contents.contents(dataset, element) or "").split("\\")[0].strip() if element else ""
