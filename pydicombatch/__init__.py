"""Get images out of a PACS in bulk: C-FIND into a CSV, C-MOVE into files."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pydicombatch.app import Extraction, find

__all__ = ["Extraction", "__version__", "find"]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:  # noqa: ANN401 - whatever the name stands for
    """Load `Extraction` or `find` when first asked for, so that `--help` stays quick."""
    if name in {"Extraction", "find"}:
        return getattr(import_module("pydicombatch.app"), name)
    raise AttributeError(name)
