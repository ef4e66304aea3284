"""The composition root: the only package that knows every class."""

from pydicombatch.app.extraction import Extraction

__all__ = ["Extraction"]
