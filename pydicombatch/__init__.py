"""Get images out of a PACS in bulk: C-FIND into a CSV, C-MOVE into files."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pydicombatch.app import Extraction

__all__ = ["Extraction", "__version__"]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:  # noqa: ANN401 - whatever the name stands for
    """Load `Extraction` when it is first asked for, so that `--help` stays quick."""
    if name == "Extraction":
        return import_module("pydicombatch.app").Extraction
    raise AttributeError(name)
