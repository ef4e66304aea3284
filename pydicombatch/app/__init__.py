"""The composition root: the only package that knows every class."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pydicombatch.app.extraction import Extraction
    from pydicombatch.app.question import find

__all__ = ["Extraction", "find"]
_PLACES = {"Extraction": "pydicombatch.app.extraction", "find": "pydicombatch.app.question"}


def __getattr__(name: str) -> Any:  # noqa: ANN401 - whatever the name stands for
    """Load what is asked for: an export knows neither the network nor anonymizing."""
    if name in _PLACES:
        return getattr(import_module(_PLACES[name]), name)
    raise AttributeError(name)
