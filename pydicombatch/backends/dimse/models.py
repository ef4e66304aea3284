"""The information models of query and retrieve, and their UIDs (PS3.4 C.3, B.5 of PS3.6 A)."""

from pydicombatch.core.errors import FatalError
from pydicombatch.core.model import RequestType

VERIFICATION = "1.2.840.10008.1.1"
IMPLICIT = "1.2.840.10008.1.2"
EXPLICIT = "1.2.840.10008.1.2.1"

WORKLIST = "worklist"  # Modality Worklist (PS3.4 K): queries alone, and no level
MODALITY_WORKLIST = "1.2.840.10008.5.1.4.31"

_ROOT = "1.2.840.10008.5.1.4.1.2"
_BRANCH = {"patient": 1, "study": 2, "psonly": 3}
_LEAF = {RequestType.FIND: 1, RequestType.MOVE: 2, RequestType.GET: 3}


def abstract_syntax(model: str, operation: RequestType) -> str:
    """Return the SOP class that carries out an operation in an information model.

    Raises
    ------
    FatalError
        If there is no such model.
    """
    if operation is RequestType.ECHO:
        return VERIFICATION
    if model == WORKLIST and operation is RequestType.FIND:
        return MODALITY_WORKLIST
    if model not in _BRANCH:
        raise FatalError(
            f"There is no information model {model!r}", f"Use one of {', '.join(_BRANCH)}"
        )
    return f"{_ROOT}.{_BRANCH[model]}.{_LEAF[operation]}"


def not_offered(model: str, operation: RequestType, aet: str) -> FatalError:
    """Say that the archive refused the presentation context of an operation."""
    verb = str(operation).upper()
    if operation is RequestType.ECHO:
        return FatalError(
            f"The archive {aet} does not offer C-ECHO",
            "Check that hostname and port are those of a DICOM listener of the archive",
        )
    others = " or ".join(name for name in ("patient", "study") if name != model)
    return FatalError(
        f"The archive {aet} does not offer the {model} model for {verb}",
        f"Set request.model to {others}, which nearly every archive offers, "
        f"or ask its administrator to allow {verb}",
    )
