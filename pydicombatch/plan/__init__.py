"""Configuration and batch file to requests, each with a stable identity."""

from pydicombatch.plan.checks import check
from pydicombatch.plan.requests import Plan

__all__ = ["Plan", "check"]
