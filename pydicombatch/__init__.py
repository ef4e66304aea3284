"""Get images out of a PACS in bulk: C-FIND into a CSV, C-MOVE into files, anonymized if wanted."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pydicombatch.app import Extraction, find
    from pydicombatch.process.anonymize.anonymizer import Anonymizer

__all__ = ["Anonymizer", "Extraction", "__version__", "find"]
__version__ = "0.1.0"
_PLACES = {
    "Anonymizer": "pydicombatch.process.anonymize.anonymizer",
    "Extraction": "pydicombatch.app",
    "find": "pydicombatch.app",
}


def __getattr__(name: str) -> Any:  # noqa: ANN401 - whatever the name stands for
    """Load what is offered when it is first asked for, so that `--help` stays quick."""
    if name in _PLACES:
        return getattr(import_module(_PLACES[name]), name)
    raise AttributeError(name)
