"""One synthetic instance of each kind: CT, MR, MG, multi-frame US (PS3.3 A.3, A.4, A.26, A.7)."""

from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from pydicom import Dataset
from pydicom.uid import (
    CTImageStorage,
    DigitalMammographyXRayImageStorageForPresentation,
    MRImageStorage,
    UltrasoundMultiFrameImageStorage,
)

from pydicombatch.demo import phantom
from pydicombatch.demo.modules import Patient, Series, Study, composite, uid

_SLICE = 5.0  # mm between two slices


class Painter(Protocol):
    """Makes instance `number`, counted from 1, of a series."""

    def __call__(self, patient: Patient, study: Study, series: Series, number: int, /) -> Dataset:
        """Return the instance with its File Meta Information."""


class Slicer(Protocol):
    """Makes one slice of a volume."""

    def __call__(
        self, patient: Patient, study: Study, series: Series, number: int, /, position: float
    ) -> Dataset:
        """Return the slice at `position`, 0 to 1, with its File Meta Information."""


def ct(patient: Patient, study: Study, series: Series, number: int, /, position: float) -> Dataset:
    """Make a CT slice; `position` along the body is 0 to 1."""
    ds = composite(patient, study, series, number, CTImageStorage)
    ds.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    _add_plane(ds, number, spacing=4.0)
    ds.KVP = "120"
    ds.RescaleIntercept, ds.RescaleSlope, ds.RescaleType = "-1024", "1", "HU"
    ds.WindowCenter, ds.WindowWidth = ("-600", "1500") if series.number == 1 else ("40", "400")
    _add_pixels(ds, phantom.ct_slice(96, position), bits=12)
    return ds


def mr(
    patient: Patient, study: Study, series: Series, number: int, /, position: float, fluid: int
) -> Dataset:
    """Make an MR slice; `fluid` is the stored value of the ventricles."""
    ds = composite(patient, study, series, number, MRImageStorage)
    ds.ImageType = ["ORIGINAL", "PRIMARY", "OTHER"]
    _add_plane(ds, number, spacing=3.0)
    ds.ScanningSequence, ds.SequenceVariant, ds.ScanOptions = "SE", "NONE", ""
    ds.MRAcquisitionType = "2D"
    ds.RepetitionTime, ds.EchoTime, ds.EchoTrainLength = "600", "12", "1"
    ds.MagneticFieldStrength = "1.5"
    ds.WindowCenter, ds.WindowWidth = "700", "1400"
    _add_pixels(ds, phantom.mr_slice(64, position, fluid=fluid), bits=12)
    return ds


def mammography(
    patient: Patient, study: Study, series: Series, number: int, /, laterality: str, view: str
) -> Dataset:
    """Make a mammogram for presentation; `laterality` is L or R, `view` CC or MLO."""
    ds = composite(
        patient, study, series, number, DigitalMammographyXRayImageStorageForPresentation
    )
    ds.ImageType = ["ORIGINAL", "PRIMARY", ""]
    ds.PresentationIntentType = "FOR PRESENTATION"
    ds.OrganExposed = "BREAST"
    ds.ImageLaterality = laterality
    ds.ViewPosition = view
    ds.ViewCodeSequence = [_view_code(view)]
    ds.AnatomicRegionSequence = [_code("76752008", "SCT", "Breast")]
    ds.PatientOrientation = ["A", "R"] if laterality == "L" else ["P", "L"]
    ds.PositionerType = "MAMMOGRAPHIC"
    ds.BreastImplantPresent = "NO"
    ds.PartialView = "NO"
    ds.ImagerPixelSpacing = ["0.1", "0.1"]
    ds.PixelIntensityRelationship, ds.PixelIntensityRelationshipSign = "LOG", -1
    ds.RescaleIntercept, ds.RescaleSlope, ds.RescaleType = "0", "1", "US"
    ds.PresentationLUTShape = "IDENTITY"
    ds.WindowCenter, ds.WindowWidth = "2048", "4096"
    ds.AcquisitionContextSequence = []
    picture = phantom.mammogram(128, 96, left=laterality == "L", oblique=view == "MLO")
    _add_pixels(ds, picture, bits=12)
    return ds


def ultrasound_clip(patient: Patient, study: Study, series: Series, number: int, /) -> Dataset:
    """Make an ultrasound clip of twelve frames."""
    ds = composite(patient, study, series, number, UltrasoundMultiFrameImageStorage)
    ds.ImageType = ["ORIGINAL", "PRIMARY", "", "0001"]
    clip = phantom.ultrasound(frames=12, size=96)
    ds.NumberOfFrames = str(len(clip))
    ds.FrameTime = "40"
    ds.FrameIncrementPointer = 0x00181063  # Frame Time
    _add_pixels(ds, clip, bits=8)
    return ds


def _add_plane(ds: Dataset, number: int, *, spacing: float) -> None:
    ds.FrameOfReferenceUID = uid(f"frame of reference {ds.StudyInstanceUID}")
    ds.PositionReferenceIndicator = ""
    ds.PatientPosition = "HFS"
    ds.PixelSpacing = [str(spacing), str(spacing)]
    ds.SliceThickness = str(_SLICE)
    ds.ImageOrientationPatient = ["1", "0", "0", "0", "1", "0"]
    ds.ImagePositionPatient = ["-192", "-192", str(_SLICE * (number - 1))]
    ds.SliceLocation = str(_SLICE * (number - 1))


def _add_pixels(ds: Dataset, pixels: npt.NDArray[Any], *, bits: int) -> None:
    ds.SamplesPerPixel = 1
    ds.PhotometricInterpretation = "MONOCHROME2"
    ds.Rows, ds.Columns = pixels.shape[-2:]
    ds.BitsAllocated = 8 * pixels.itemsize
    ds.BitsStored, ds.HighBit = bits, bits - 1
    ds.PixelRepresentation = 0
    little_endian = pixels.astype(pixels.dtype.newbyteorder("<"))
    ds.PixelData = np.ascontiguousarray(little_endian).tobytes()
    ds["PixelData"].VR = "OB" if pixels.itemsize == 1 else "OW"


def _code(value: str, scheme: str, meaning: str) -> Dataset:
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = value, scheme, meaning
    return code


def _view_code(view: str) -> Dataset:
    if view == "CC":
        code = _code("399162004", "SCT", "cranio-caudal")
    else:
        code = _code("399368009", "SCT", "medio-lateral oblique")
    code.ViewModifierCodeSequence = []
    return code
