"""The configuration file: YAML to frozen values, every error at once."""

from pydicombatch.config.load import Loaded, load, parse
from pydicombatch.config.models import Config

__all__ = ["Config", "Loaded", "load", "parse"]
