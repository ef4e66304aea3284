"""The command gives what the library gives: the golden cases of two scripts, through workers."""

from io import BytesIO
from pathlib import Path

import pytest

from tests.golden.cases import OWN, load
from tests.golden.flatten import differences
from tests.support.extraction import command

CASES = [case for case in load(OWN) if not case.cli and not case.hazards]


@pytest.mark.parametrize("script", ["a02_hash", "a05b_lookup_loop"])
def test_files_become_through_the_command_what_the_java_tool_makes(
    tmp_path: Path, script: str
) -> None:
    cases = {Path(c.input).name: c for c in CASES if Path(c.script).stem == script}
    assert len(cases) > 10
    one = next(iter(cases.values()))
    inputs = [str(case.directory / case.input) for case in cases.values()]
    how = ["--script", str(OWN / one.script), "--lookup-table", str(OWN / one.lut)]
    done = command(
        "anonymize", *inputs, "--output", "out", *how, "--mode", "compatible", cwd=tmp_path
    )
    well = {name for name, case in cases.items() if case.status == "ok"}
    assert done.code == (0 if len(well) == len(cases) else 1), done.text
    assert {path.name for path in (tmp_path / "out").iterdir()} == well
    for name in well:
        actual = BytesIO((tmp_path / "out" / name).read_bytes())
        assert differences(cases[name].expected, actual, cases[name].volatile) == [], name
