"""Which presentation contexts a C-GET proposes: there are 128, and more ways to hold images. Pure.

An acceptor chooses one transfer syntax for a context, and many archives send an instance only as
they hold it; so a class that may be held in several syntaxes needs a context for each of them.
Some archives (dcmqrscp) look at the first context of a class alone: they need one syntax at a time.
"""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

from pydicom import uid
from pydicom._uid_dict import UID_dictionary
from pydicom.uid import UID
from pynetdicom.presentation import AllStoragePresentationContexts

from pydicombatch.backends.dimse.models import EXPLICIT, IMPLICIT

MOST = 128  # contexts of an association: their ids are the odd numbers of a byte (PS3.8 9.3.2.2)
UNCOMPRESSED = (EXPLICIT, IMPLICIT)
USUAL = (uid.JPEGBaseline8Bit, uid.JPEGLosslessSV1, uid.JPEG2000Lossless, uid.RLELossless)
RARE = (
    uid.JPEGLSLossless, uid.JPEG2000, uid.JPEGExtended12Bit, uid.JPEGLossless,
    uid.JPEGLSNearLossless, uid.MPEG2MPML, uid.MPEG4HP41, uid.MPEG4HP41BD, uid.MPEG2MPHL,
    uid.HEVCMP51, uid.HTJ2KLossless, uid.HTJ2KLosslessRPCL, uid.HTJ2K,
    uid.DeflatedExplicitVRLittleEndian,
)  # fmt: skip

_SECONDARY = (
    uid.SecondaryCaptureImageStorage, uid.MultiFrameTrueColorSecondaryCaptureImageStorage,
    uid.MultiFrameGrayscaleByteSecondaryCaptureImageStorage,
    uid.MultiFrameGrayscaleWordSecondaryCaptureImageStorage,
    uid.MultiFrameSingleBitSecondaryCaptureImageStorage,
)  # fmt: skip
# What studies of any modality hold beside their images
_COMPANIONS = (
    uid.SecondaryCaptureImageStorage, uid.GrayscaleSoftcopyPresentationStateStorage,
    uid.KeyObjectSelectionDocumentStorage, uid.BasicTextSRStorage, uid.EnhancedSRStorage,
    uid.ComprehensiveSRStorage, uid.EncapsulatedPDFStorage, uid.XRayRadiationDoseSRStorage,
)  # fmt: skip
_MODALITIES: dict[str, tuple[UID, ...]] = {
    "AU": (uid.BasicVoiceAudioWaveformStorage,),
    "BI": (uid.SecondaryCaptureImageStorage,),
    "CR": (uid.ComputedRadiographyImageStorage,),
    "CT": (
        uid.CTImageStorage, uid.EnhancedCTImageStorage, uid.LegacyConvertedEnhancedCTImageStorage,
    ),
    "DOC": (uid.EncapsulatedPDFStorage, uid.EncapsulatedCDAStorage),
    "DX": (uid.DigitalXRayImageStorageForPresentation, uid.DigitalXRayImageStorageForProcessing),
    "ECG": (
        uid.TwelveLeadECGWaveformStorage, uid.GeneralECGWaveformStorage,
        uid.AmbulatoryECGWaveformStorage, uid.EncapsulatedPDFStorage,
    ),
    "ES": (uid.VLEndoscopicImageStorage, uid.VideoEndoscopicImageStorage),
    "FID": (uid.SpatialFiducialsStorage,),
    "GM": (uid.VLMicroscopicImageStorage, uid.VideoMicroscopicImageStorage),
    "HD": (uid.HemodynamicWaveformStorage,),
    "IO": (
        uid.DigitalIntraOralXRayImageStorageForPresentation,
        uid.DigitalIntraOralXRayImageStorageForProcessing,
    ),
    "IVUS": (uid.UltrasoundMultiFrameImageStorage,),
    "KO": (uid.KeyObjectSelectionDocumentStorage,),
    "MG": (
        uid.DigitalMammographyXRayImageStorageForPresentation,
        uid.DigitalMammographyXRayImageStorageForProcessing,
        uid.BreastTomosynthesisImageStorage, uid.MammographyCADSRStorage,
    ),
    "MR": (
        uid.MRImageStorage, uid.EnhancedMRImageStorage, uid.MRSpectroscopyStorage,
        uid.LegacyConvertedEnhancedMRImageStorage,
    ),
    "NM": (uid.NuclearMedicineImageStorage,),
    "OP": (uid.OphthalmicPhotography8BitImageStorage, uid.OphthalmicPhotography16BitImageStorage),
    "OPT": (uid.OphthalmicTomographyImageStorage,),
    "OT": _SECONDARY,
    "PR": (
        uid.GrayscaleSoftcopyPresentationStateStorage, uid.ColorSoftcopyPresentationStateStorage,
        uid.PseudoColorSoftcopyPresentationStateStorage,
        uid.BlendingSoftcopyPresentationStateStorage,
    ),
    "PT": (
        uid.PositronEmissionTomographyImageStorage, uid.EnhancedPETImageStorage,
        uid.LegacyConvertedEnhancedPETImageStorage,
    ),
    "PX": (uid.DigitalXRayImageStorageForPresentation,),
    "REG": (uid.SpatialRegistrationStorage, uid.DeformableSpatialRegistrationStorage),
    "RF": (uid.XRayRadiofluoroscopicImageStorage, uid.EnhancedXRFImageStorage),
    "RTDOSE": (uid.RTDoseStorage,),
    "RTIMAGE": (uid.RTImageStorage,),
    "RTPLAN": (uid.RTPlanStorage, uid.RTIonPlanStorage),
    "RTRECORD": (uid.RTBeamsTreatmentRecordStorage, uid.RTTreatmentSummaryRecordStorage),
    "RTSTRUCT": (uid.RTStructureSetStorage,),
    "SC": _SECONDARY,
    "SEG": (uid.SegmentationStorage, uid.SurfaceSegmentationStorage),
    "SM": (uid.VLWholeSlideMicroscopyImageStorage, uid.VLSlideCoordinatesMicroscopicImageStorage),
    "SR": (
        uid.BasicTextSRStorage, uid.EnhancedSRStorage, uid.ComprehensiveSRStorage,
        uid.Comprehensive3DSRStorage, uid.XRayRadiationDoseSRStorage, uid.ChestCADSRStorage,
        uid.MammographyCADSRStorage,
    ),
    "US": (uid.UltrasoundImageStorage, uid.UltrasoundMultiFrameImageStorage),
    "XA": (uid.XRayAngiographicImageStorage, uid.EnhancedXAImageStorage),
    "XC": (uid.VLPhotographicImageStorage, uid.VideoPhotographicImageStorage),
}  # fmt: skip
_FREQUENT = ("CT", "MR", "CR", "DX", "US", "MG", "XA", "RF", "PT", "NM", "SC")
_BULKY = ("Image", "Video", "Segmentation", "Parametric Map")  # in the names of what is compressed

COMMON: tuple[str, ...] = tuple(
    dict.fromkeys(
        str(one)
        for several in (
            *map(_MODALITIES.__getitem__, _FREQUENT),
            _COMPANIONS,
            *_MODALITIES.values(),
        )
        for one in several
    )
)
ALL: tuple[str, ...] = tuple(
    dict.fromkeys([*COMMON, *(str(one.abstract_syntax) for one in AllStoragePresentationContexts)])
)


@dataclass(frozen=True, slots=True)
class Expected:
    """Instances that a query says will come."""

    sop_class: str
    transfer_syntax: str = ""  # "": not known
    instances: int = 0  # how many; 0: not known


@dataclass(frozen=True, slots=True)
class Proposal:
    """A presentation context of a storage class that we accept instances on."""

    sop_class: str
    transfer_syntaxes: tuple[str, ...] = UNCOMPRESSED


def of_modality(modality: str, instances: int = 0) -> Iterator[Expected]:
    """Guess the classes of a modality, the most likely first."""
    for one in _MODALITIES.get(modality.strip().upper(), ()):
        yield Expected(str(one), "", instances)


def companions() -> Iterator[Expected]:
    """Guess what comes beside the images of any modality."""
    return (Expected(str(one)) for one in _COMPANIONS)


def choose(
    expected: Iterable[Expected], room: int, without: Collection[str] = frozenset()
) -> tuple[Proposal, ...]:
    """Choose the contexts of an association; of what is known to come, the most first.

    Parameters
    ----------
    expected
        What will come.
    room
        How many contexts are left of 128.
    without
        SOP classes that were proposed already and need not be again.
    """
    known = [one for one in _merged(expected) if one.sop_class not in without]
    wanted = (one for one in dict.fromkeys(_candidates(known)) if one.sop_class not in without)
    return tuple(islice(wanted, max(0, min(room, MOST))))


def alone(
    expected: Iterable[Expected], classes: Iterable[str], syntax: str, room: int
) -> tuple[Proposal, ...]:
    """Propose a single transfer syntax for what is expected or has come, then for any class."""
    several = [one.sop_class for one in _merged(expected)]
    several += [*classes, *ALL]
    wanted = (one for one in dict.fromkeys(several) if is_bulky(one))
    return tuple(Proposal(one, (syntax,)) for one in islice(wanted, max(0, min(room, MOST))))


def _merged(expected: Iterable[Expected]) -> list[Expected]:
    """Add up what is of one class and syntax; the most instances first."""
    counts: dict[tuple[str, str], int] = {}
    for one in expected:
        syntax = "" if one.transfer_syntax in UNCOMPRESSED else one.transfer_syntax
        place = (one.sop_class, syntax)
        counts[place] = counts.get(place, 0) + one.instances
    merged = [Expected(*place, count) for place, count in counts.items()]
    return sorted(merged, key=lambda one: -one.instances)


def _candidates(known: list[Expected]) -> Iterator[Proposal]:
    """Yield contexts, the most useful first; some of them twice."""
    for one in known:
        yield _own(one)
    classes = list(dict.fromkeys(one.sop_class for one in known))
    yield from map(Proposal, classes)
    bulky = [one for one in classes if is_bulky(one)]
    yield from _each(USUAL, bulky)
    yield from map(Proposal, COMMON)
    yield from _each(RARE, bulky)
    yield from _each(USUAL, [one for one in COMMON if is_bulky(one)])
    yield from map(Proposal, ALL)


def _own(one: Expected) -> Proposal:
    return Proposal(one.sop_class, (one.transfer_syntax,) if one.transfer_syntax else UNCOMPRESSED)


def _each(syntaxes: Iterable[str], classes: list[str]) -> Iterator[Proposal]:
    return (Proposal(one, (str(syntax),)) for syntax in syntaxes for one in classes)


def is_bulky(sop_class: str) -> bool:
    """Whether instances of a class may be compressed; of a private one nobody knows."""
    known = UID_dictionary.get(sop_class)
    return known is None or any(word in known[0] for word in _BULKY)
