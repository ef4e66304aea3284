"""Pixel scripts: which regions of which images are blanked, and what carries burned-in text."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pydicombatch.core.errors import ConfigError, Finding
from pydicombatch.process.anonymize import expression
from pydicombatch.process.anonymize.expression import Expression
from pydicombatch.process.anonymize.instance import SOP_CLASS, DataSet, code_strings

_SIGNATURE: Final = re.compile(r'\{((?:"[^"]*"|[^{}"])*)\}')
_REGION: Final = re.compile(
    r"\(\s*(-?\d+)\s*,\s*(-?\d+)\s*,\s*(-?\d+)\s*,\s*(-?\d+)\s*\)", re.ASCII
)

# Secondary capture and ultrasound in all their forms, encapsulated documents: PS3.4 B.5
_RISKY_CLASSES: Final = (
    "1.2.840.10008.5.1.4.1.1.7",
    "1.2.840.10008.5.1.4.1.1.6",
    "1.2.840.10008.5.1.4.1.1.3",
    "1.2.840.10008.5.1.4.1.1.104",
)
# of Image Type; SECONDARY alone is no sign, every reformatted slice has it (PS3.3 C.7.6.1.1.2)
_SCREENS: Final = re.compile(r"SCREEN|CAPTURE|REPORT|\bPROT(OCOL)?\b")
_SLIDE_LABELS: Final = frozenset(("LABEL", "OVERVIEW"))  # PS3.3 C.8.12.4.1.1
_RISKY_MODALITIES: Final = frozenset(("US", "SC", "IVUS", "DOC"))
_IMAGE_TYPE: Final = 0x00080008
_MODALITY: Final = 0x00080060
_CONVERSION_TYPE: Final = 0x00080064
_BURNED_IN: Final = 0x00280301


@dataclass(frozen=True, slots=True)
class Region:
    """A rectangle in pixels; negative corners count from the right and the bottom."""

    x: int
    y: int
    width: int
    height: int

    def bounds(self, columns: int, rows: int) -> tuple[int, int, int, int]:
        """Return first and last column, first and last row (both blanked), within the image."""
        left = self.x + columns if self.x < 0 else self.x
        top = self.y + rows if self.y < 0 else self.y
        return (
            max(left, 0),
            min(left + self.width, columns - 1),
            max(top, 0),
            min(top + self.height, rows - 1),
        )


@dataclass(frozen=True, slots=True)
class Signature:
    """A condition, and the regions of the images that meet it."""

    expression: Expression
    regions: tuple[Region, ...]
    line: int


@dataclass(frozen=True, slots=True)
class PixelScript:
    """Signatures in the order of the file."""

    signatures: tuple[Signature, ...]

    def regions(self, dataset: DataSet) -> tuple[Region, ...]:
        """Return the regions of the first signature that an image has."""
        for signature in self.signatures:
            if signature.expression(dataset):
                return signature.regions
        return ()


def read(path: Path, *, strict: bool) -> PixelScript:
    """Read a pixel script.

    Raises
    ------
    ConfigError
        If it cannot be read; in strict mode also if a signature can never apply, or there is none.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError.of(
            "The pixel script cannot be read", "Check that it exists as UTF-8 text", path.name
        ) from error
    script = parse(text)
    findings = [
        Finding(fault, "Correct it", path.name, signature.line)
        for signature in script.signatures
        for fault in signature.expression.faults
    ]
    if not script.signatures:
        problem = "The pixel script has no signature"
        findings.append(Finding(problem, "Write { condition } ( x, y, width, height )", path.name))
    if strict and findings:
        raise ConfigError(*findings)
    return script


def parse(text: str) -> PixelScript:
    """Read the text of a pixel script; what is neither signature nor region is comment."""
    matches = [*_SIGNATURE.finditer(text)]
    ends = [match.start() for match in matches[1:]] + [len(text)]
    return PixelScript(
        tuple(
            Signature(
                expression.parse(match[1]),
                _regions(text[match.end() : end]),
                text.count("\n", 0, match.start()) + 1,
            )
            for match, end in zip(matches, ends, strict=True)
        )
    )


def _regions(text: str) -> tuple[Region, ...]:
    return tuple(Region(*map(int, match.groups())) for match in _REGION.finditer(text))


def risk(dataset: DataSet) -> str:
    """Tell why the pixels of an image may show text about the patient; nothing if unlikely."""
    if "YES" in _values(dataset, _BURNED_IN):
        return "The image says that text is burned in"
    if _values(dataset, SOP_CLASS)[:1] and _class_is_risky(_values(dataset, SOP_CLASS)[0]):
        return "Images of this SOP class usually have text burned in"
    if _RISKY_MODALITIES & set(_values(dataset, _MODALITY)):
        return "Images of this modality usually have text burned in"
    if _values(dataset, _CONVERSION_TYPE):
        return "The image was converted from another source, which may have text burned in"
    return _risk_of_type(_values(dataset, _IMAGE_TYPE), _values(dataset, _MODALITY))


def _risk_of_type(kinds: list[str], modalities: list[str]) -> str:
    if _SCREENS.search(" ".join(kinds)):
        return "The image is a screenshot or a report, which may have text burned in"
    if "SM" in modalities and _SLIDE_LABELS & set(kinds):
        return "The image shows the label of a slide, which may have text on it"
    return ""


def _class_is_risky(sop_class: str) -> bool:
    return any(sop_class == root or sop_class.startswith(root + ".") for root in _RISKY_CLASSES)


def _values(dataset: DataSet, tag: int) -> list[str]:
    element = dataset.elements.get(tag)
    return [value.upper() for value in code_strings(element) if value] if element else []
