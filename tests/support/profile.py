"""An association profile that lets dcmqrscp take and send any class in any transfer syntax."""

from collections.abc import Iterable
from pathlib import Path

SYNTAXES = (
    "JPEGBaseline", "JPEGLossless:Non-hierarchical-1stOrderPrediction", "JPEG2000LosslessOnly",
    "JPEGLSLossless", "RLELossless", "LittleEndianExplicit", "LittleEndianImplicit",
)  # fmt: skip
UNCOMPRESSED = SYNTAXES[-2:]
_ROOT = "1.2.840.10008.5.1.4.1.2"
MODELS = ("1.2.840.10008.1.1", *(f"{_ROOT}.{root}.{verb}" for root in (1, 2) for verb in (1, 2, 3)))


def write_profile(path: Path, sop_classes: Iterable[str]) -> tuple[str, ...]:
    """Write a profile and return the options that dcmqrscp needs to use it."""
    classes = list(sop_classes)
    contexts = [f"{one}\\Uncompressed" for one in MODELS] + [f"{one}\\Any" for one in classes]
    roles = [f"{one}\\BOTH" for one in classes]
    path.write_text(
        "\n".join(
            [
                "[[TransferSyntaxes]]",
                "[Uncompressed]",
                *_numbered("TransferSyntax", UNCOMPRESSED),
                "[Any]",
                *_numbered("TransferSyntax", SYNTAXES),
                "[[PresentationContexts]]",
                "[Contexts]",
                *_numbered("PresentationContext", contexts),
                "[[SCPSCURoleSelection]]",
                "[Roles]",
                *_numbered("Role", roles),
                "[[Profiles]]",
                "[Default]",
                "PresentationContexts = Contexts",
                "SCPSCURoleSelection = Roles",
                "",
            ]
        )
    )
    return ("-xf", str(path), "Default", "Default")


def _numbered(name: str, values: Iterable[str]) -> list[str]:
    return [f"{name}{number} = {value}" for number, value in enumerate(values, 1)]
