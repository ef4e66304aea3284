"""What the basic profile does with elements that PS3.15 Table E.1-1 does not name.

The table leaves them alone, whatever they hold. Here a value stays only if its form, or a list of
attributes that describe the image and its making, says that it is technical, and if it repeats no
identifier of the same instance.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import Any, Final

from pydicom.datadict import dictionary_has_tag, tag_for_keyword

from pydicombatch.process.anonymize import codes, dummies
from pydicombatch.process.anonymize.contents import contents
from pydicombatch.process.anonymize.instance import (
    CHARSET_TAG,
    DataSet,
    Element,
    code_strings,
    is_registered,
)
from pydicombatch.process.anonymize.pseudonyms import Pseudonyms
from pydicombatch.process.anonymize.traces import Traces

# LO and SH that describe equipment, acquisition, reconstruction or pixels; whatever a person
# types freely (labels, names of plans, beams, segments, protocols) is not among them
_TECHNICAL: Final = """
ASLBolusCutoffTechnique ASLCrusherDescription ASLTechniqueDescription AcquisitionMode
AlgorithmName AlgorithmSource AlgorithmVersion
ApplicableSafetyStandardDescription ApplicationManufacturer ApplicationName ApplicationVersion
AttenuationCorrectionMethod CardiacFramingType CollimatorGridName ContrastBolusRoute
ConvolutionKernel DetectorLinesOfResponseUsed DetectorManufacturerModelName
DetectorManufacturerName DigitalImageFormatAcquired DoseModeName EnergyWindowName FilterType
HardcopyDeviceManufacturer HardcopyDeviceManufacturerModelName HardcopyDeviceSoftwareVersion
ImageFilter ImageGeometryType ImagedNucleus LUTExplanation MIMETypeOfEncapsulatedDocument
Manufacturer ManufacturerModelName ModalityLUTType MultiCoilConfiguration MultiCoilElementName
OpticalPathIdentifier PVCRejection PhosphorType PixelSpacingCalibrationDescription PlateType
PositionReferenceIndicator PostprocessingFunction ProcessingFunction PulseSequenceName
RadiopharmaceuticalRoute Radionuclide Radiopharmaceutical ReceiveCoilManufacturerName
ReceiveCoilName ReconstructionMethod ReferencedOpticalPathIdentifier RescaleType
ScatterCorrectionMethod SecondaryCaptureDeviceManufacturer
SecondaryCaptureDeviceManufacturerModelName SecondaryCaptureDeviceSoftwareVersions SequenceName
SoftwareVersions SourceIsotopeName StackID TransducerData TransmitCoilManufacturerName
TransmitCoilName TriggerSourceOrType TypeOfFilters VideoImageFormatAcquired ViewName
WindowCenterWidthExplanation
"""
_BULK: Final = """
AlphaPaletteColorLookupTableData BlendingLookupTableData BluePaletteColorLookupTableData
ChannelMaximumValue ChannelMinimumValue CoefficientsSDDN CoefficientsSDHN CoefficientsSDVN
EdgePointIndexList GrayLookupTableData GreenPaletteColorLookupTableData ICCProfile LUTData
PrimitivePointIndexList RecommendedDisplayCIELabValueList RedPaletteColorLookupTableData
SegmentedAlphaPaletteColorLookupTableData SegmentedBluePaletteColorLookupTableData
SegmentedGreenPaletteColorLookupTableData SegmentedRedPaletteColorLookupTableData
TrianglePointIndexList VertexPointIndexList WaveformData WaveformPaddingValue
WeightingLookupTableData
"""
SCHEMES: Final = frozenset("DCM SCT SRT LN UCUM RADLEX FMA MDC NCIt SNM3".split())  # noqa: SIM905
# PS3.5 6.2: CS, DS and IS; nobody's term has seven digits in a row, a date or a number has
_TERM: Final = re.compile(r"(?!.*\d{7})[A-Z0-9 _]{0,16}")
_DECIMAL: Final = re.compile(r" *([+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?)? *")
_CODE: Final = re.compile(r"[!-~]{1,16}")
_PLAIN: Final = re.compile(r"(?!.*\d{7})[ -~]{0,64}")
_NUMBERS: Final = frozenset("AT FD FL SL SS SV UL US UV".split())  # noqa: SIM905
_FLOATS: Final = frozenset("OD OF OL OV".split())  # noqa: SIM905
_DUMMY: Final = "ANONYMIZED"
_LONGEST: Final = 64  # characters of an LO


def _tags(keywords: str) -> frozenset[int]:
    return frozenset(tag for name in keywords.split() if (tag := tag_for_keyword(name)))


TECHNICAL: Final = _tags(_TECHNICAL)
BULK: Final = _tags(_BULK)


@dataclass(frozen=True, slots=True)
class Unlisted:
    """The rule for one instance, with what identifies it."""

    traces: Traces
    pseudonyms: Pseudonyms
    retain_uids: bool = False

    def __call__(self, source: DataSet, element: Element) -> Element | None:
        """Return what stays of an element without items; nothing if it goes."""
        if not _is_known(element.tag) or element.undefined:
            return None
        vr = element.vr
        if vr in _NUMBERS or not element.value:
            return element
        if vr in {"OB", "OW"} | _FLOATS:
            fits = vr in _FLOATS or element.tag in BULK
            return element if fits and not self.traces.within(element.value) else None
        rule = _RULES.get(vr)
        return rule(self, source, element) if rule else dummies.replaced(element, self.pseudonyms)

    def _term(self, _: DataSet, element: Element) -> Element | None:
        values = element.value.decode("latin-1").strip(" \0").split("\\")
        if all(map(self._is_term, values)):
            return element
        if element.tag == CHARSET_TAG:
            return None
        kept = (value if self._is_term(value) else _DUMMY for value in values)
        return element._replace(value="\\".join(kept).encode("ascii"))

    def _is_term(self, value: str) -> bool:
        return bool(_TERM.fullmatch(value)) and not self.traces.among(value)

    def _number(self, _: DataSet, element: Element) -> Element:
        text = element.value.decode("latin-1").strip("\0")
        fits = all(
            _DECIMAL.fullmatch(value) and not self.traces.is_one(value)
            for value in text.split("\\")
        )
        return element if fits else element._replace(value=b"")

    def _uid(self, _: DataSet, element: Element) -> Element:
        if is_registered(element) or self.retain_uids:
            return element
        return dummies.uids(element, self.pseudonyms)

    def _text(self, source: DataSet, element: Element) -> Element:
        if element.tag in codes.PARTS:
            return self._coded(source, element)
        text = contents(source, element) or ""
        fits = all(map(_PLAIN.fullmatch, text.split("\\"))) and not self.traces.among(text)
        if element.tag in TECHNICAL and fits:
            return element
        return dummies.replaced(element, self.pseudonyms)

    def _coded(self, source: DataSet, element: Element) -> Element:
        """Keep a code of a standard scheme; its meaning is the standard's, not the file's."""
        scheme = next(iter(_strings(source, codes.SCHEME)), "")
        value = next(iter(_strings(source, codes.VALUE)), "")
        fits = scheme in SCHEMES and _CODE.fullmatch(value) and not self.traces.among(value)
        if not fits:
            return dummies.replaced(element, self.pseudonyms)
        if element.tag == codes.MEANING:
            meaning = _meanings().get((scheme, value), _DUMMY)
            return element._replace(value=meaning.encode("ascii", "replace")[:_LONGEST])
        plain = _CODE.fullmatch(element.value.decode("latin-1").strip(" \0"))
        return element if plain else dummies.replaced(element, self.pseudonyms)


_RULES: Final[dict[str, Callable[[Unlisted, DataSet, Element], Element | None]]] = {
    "CS": Unlisted._term,  # noqa: SLF001 - the table of its own methods
    "DS": Unlisted._number,  # noqa: SLF001
    "IS": Unlisted._number,  # noqa: SLF001
    "UI": Unlisted._uid,  # noqa: SLF001
    "LO": Unlisted._text,  # noqa: SLF001
    "SH": Unlisted._text,  # noqa: SLF001
    "UN": lambda *_: None,
}


def _is_known(tag: int) -> bool:
    return tag >> 24 == 0x60 or dictionary_has_tag(tag)  # noqa: PLR2004 - repeating group


def _strings(dataset: DataSet, tag: int) -> Iterator[str]:
    element = dataset.elements.get(tag)
    if element is not None:
        yield from code_strings(element)


@cache
def _meanings() -> dict[tuple[str, str], str]:
    """Code meanings of PS3.16, by scheme and value, as pydicom has them."""
    schemes: dict[str, dict[str, dict[str, tuple[str, object]]]] = _table("concepts")
    older: dict[str, dict[str, str]] = _table("mapping", "_snomed_dict")
    found = {
        (scheme, code): meaning
        for scheme, keywords in schemes.items()
        for codes in keywords.values()
        for code, (meaning, *_) in codes.items()
    }
    for code, successor in older["SRT"].items():
        if ("SCT", successor) in found:
            found["SRT", code] = found["SCT", successor]
    return found


def _table(name: str, module: str = "_concepts_dict") -> Any:  # noqa: ANN401 - a large literal
    return getattr(import_module(f"pydicom.sr.{module}"), name)  # large, and rarely needed
