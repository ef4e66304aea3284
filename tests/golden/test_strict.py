"""The strict mode over scripts that people use: what it sets aside, and why it must."""

import os
from pathlib import Path

from pydicombatch.process.anonymize.anonymizer import Anonymizer, Result
from tests.golden.cases import OWN, load

KEPT = "A sequence stays as it is, and holds a value that the script changes"
UNSTORED = "A result of the script cannot be stored, the original would stay"
TRUNCATED = "The file ends within Pixel Data or behind it"
SAMPLE = Path(__file__).parents[2] / "benchmarks" / "sample.script"

# script, input -> reason; behind each the identifier that the Java tool leaves in its output
SET_ASIDE = {
    # Verifying Organization in a Verifying Observer Sequence that the script does not enter
    ("ctp-NBIA", "pd_test-SR"): KEPT,
    ("ctp-NBIA", "s25_sr_deep"): KEPT,
    ("dat-default", "pd_test-SR"): KEPT,
    ("dat-default", "s25_sr_deep"): KEPT,
    # Referenced SOP Instance UIDs of the original study in sequences of a report
    ("ctp-profile-TCIA-Basic", "pd_test-SR"): KEPT,
    ("ctp-profile-DICOM-PS3.15-Basic", "pd_test-SR"): KEPT,
    # Patient ID in a private sequence, which implicit VR calls UN; Patient's Name in one of a code
    ("ctp-profile-TCIA-Basic", "s32_misc"): KEPT,
    ("ctp-profile-TCIA-Basic", "s26_nometa_ivrle"): KEPT,
    ("seed", "pd_chrSQEncoding"): KEPT,
    # dates with dashes: shifting them yields no DA, and the original date would stay
    ("dat-default", "s06_dates"): UNSTORED,
    ("dat-default", "s35_seed_id10"): UNSTORED,
    ("seed", "s35_seed_id10"): UNSTORED,
}


def _strict(anonymizer: object, source: Path, target: Path) -> Result:
    assert isinstance(anonymizer, Anonymizer), str(anonymizer)
    return anonymizer.anonymize_file(source, target)


def test_published_scripts_run_strictly_and_set_aside_only_what_keeps_an_identifier(
    tmp_path: Path,
) -> None:
    shared = Path(os.environ["GOLDEN_DIR"]) if "GOLDEN_DIR" in os.environ else None
    cases = load(shared, third_party=True) if shared else []
    found = {}
    for case in cases:
        anonymizer = case.anonymizer("strict", pixel_risk="allow")
        result = _strict(anonymizer, case.directory / case.input, tmp_path / "out.dcm")
        if case.status == "ok" and result.status != "ok":
            found[Path(case.script).stem, Path(case.input).stem] = result.reason
        elif case.status != "ok":
            assert result.status == case.status
    assert found == (SET_ASIDE if shared else {})


def test_our_sample_script_sets_aside_nothing_that_is_ordinary(tmp_path: Path) -> None:
    anonymizer = Anonymizer.from_script(SAMPLE, pixel_risk="allow")
    reasons = {}
    for source in sorted((OWN / "inputs").glob("*.dcm")):
        result = _strict(anonymizer, source, tmp_path / "out.dcm")
        if result.status == "quarantined":
            reasons[source.stem] = result.reason
    assert reasons == {
        "pd_chrSQEncoding": KEPT,  # names in a sequence of the referring department
        "pd_test-SR": KEPT,  # instances of the original study in Identical Documents Sequence
        "s06_dates": UNSTORED,  # a date with dashes
        "s30_truncated_pixels": TRUNCATED,
    }
