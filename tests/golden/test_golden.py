"""Every case made with the Java tool: the same outcome, and the same data set.

The project's own copy runs on any machine. With GOLDEN_DIR set to the whole set, its cases with
scripts of third parties run as well.
"""

import os
from io import BytesIO
from pathlib import Path

import pydicom
import pytest

from pydicombatch.core.errors import ConfigError
from tests.golden.cases import OWN, Case, load
from tests.golden.flatten import differences

REFUSABLE = {
    "malformed-script-passes-through",
    "empty-script-passes-through",
    "tool-aborts-on-script-error",
}
LOST_PIXELS = "deflated-pixel-data-lost"
CASES = load(OWN)
if "GOLDEN_DIR" in os.environ:
    CASES += load(Path(os.environ["GOLDEN_DIR"]), third_party=True)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_the_result_is_that_of_the_java_tool(case: Case, tmp_path: Path) -> None:
    anonymizer = case.anonymizer("compatible")
    if isinstance(anonymizer, ConfigError):
        assert case.status == "error" or REFUSABLE & set(case.hazards)
        return
    source, target = case.directory / case.input, tmp_path / "out.dcm"
    result = anonymizer.anonymize_file(source, target)
    if LOST_PIXELS in case.hazards and result.status == "quarantined":
        assert case.cli, "only a pixel rule may refuse a deflated image"
        assert not target.exists()
        return
    assert result.status == case.status, result.reason
    assert target.exists() is (case.status == "ok")
    if case.status == "ok":
        assert _compared(case, source, target.read_bytes()) == []


def _compared(case: Case, source: Path, actual: bytes) -> list[tuple[str, object, object]]:
    found = differences(case.expected, BytesIO(actual), case.volatile)
    if LOST_PIXELS not in case.hazards:
        return found
    # the Java tool loses the pixels of deflated files; ours must be those of the input
    before, after = pydicom.dcmread(source), pydicom.dcmread(BytesIO(actual))
    assert after.PixelData == before.PixelData
    return [difference for difference in found if not difference[0].startswith("7FE00010")]
