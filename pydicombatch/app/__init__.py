"""The composition root: the only package that knows every class."""

from pydicombatch.app.extraction import Extraction
from pydicombatch.app.question import find

__all__ = ["Extraction", "find"]
