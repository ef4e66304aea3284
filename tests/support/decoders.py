"""Pixel decoders that go wrong, as modules that pydicom takes for GDCM."""

from pathlib import Path

CRASHES = "os.abort()"
HANGS = "time.sleep(600)"
GREEDY = "bytearray(1 << 62)"
MODULE = """
import os, time

class Version:
    GetVersion = staticmethod(lambda: "3.0.24")

def __getattr__(name):
    if name.startswith("_"):
        raise AttributeError(name)
    return lambda *_: {what}
"""


def install(folder: Path, what: str) -> Path:
    """Write a decoder that does `what` as soon as it is used; return its directory."""
    place = folder / "decoders"
    place.mkdir(exist_ok=True)
    (place / "gdcm.py").write_text(MODULE.format(what=what))
    return place
