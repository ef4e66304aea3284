import os
import pty
import subprocess
import sys
from contextlib import chdir
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from pydicombatch import Extraction
from pydicombatch.cli import commands
from pydicombatch.config.load import parse
from pydicombatch.config.starter import LEVELS, TYPES, Answers, batch, columns, starter
from tests.support.extraction import ROOT, Ended

GIVEN = ("--hostname", "pacs.example.org", "--aet", "ARCHIVE", "--local-aet", "SAMPLE_AE")


def init(folder: Path, *options: str) -> Ended:
    with chdir(folder):
        done = CliRunner().invoke(commands, ["init", *options])
    return Ended(done.exit_code, done.stdout, done.stderr)


def answers(kind: str = "c-move", level: str = "STUDY", **more: object) -> Answers:
    base = {
        "hostname": "h", "port": 104, "aet": "A", "local_aet": "B", "local_port": 4006,
        "batch_file": "batch.csv", "directory": "out",
    }  # fmt: skip
    return Answers(type=kind, level=level, **{**base, **more})  # type: ignore[arg-type]


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("kind", TYPES)
def test_what_is_written_can_be_run_as_it_is(tmp_path: Path, kind: str, level: str) -> None:
    ended = init(tmp_path, "--type", kind, "--level", level, *GIVEN)
    assert ended.code == 0, ended.text
    assert "Next:    pydicombatch check config.yml" in ended.out
    with chdir(tmp_path):
        extraction = Extraction.from_file("config.yml")
        assert all("archives without relational" in one.problem for one in extraction.validate())
        assert len(list(extraction.plan)) == 1
    assert (tmp_path / "batch.csv").exists() == (kind != "c-echo")
    assert {file.stat().st_mode & 0o777 for file in tmp_path.iterdir()} == {0o600}
    text = (tmp_path / "config.yml").read_text()
    assert max(map(len, text.splitlines())) <= 100
    assert text.count("#") > 5


def test_nothing_that_is_there_is_written_over(tmp_path: Path) -> None:
    (tmp_path / "batch.csv").write_text("StudyInstanceUID\n1.2\n")
    assert init(tmp_path, "--type", "c-move", *GIVEN).code == 0
    before = (tmp_path / "config.yml").read_text()
    ended = init(tmp_path, "--type", "c-find", *GIVEN)
    assert ended.code == 2
    assert ended.err == (
        "config.yml: The file is there already. Choose another name, or remove that file.\n"
    )
    assert (tmp_path / "config.yml").read_text() == before
    assert (tmp_path / "batch.csv").read_text() == "StudyInstanceUID\n1.2\n"
    (tmp_path / "link.yml").symlink_to("nowhere.yml")
    assert init(tmp_path, "link.yml", "--type", "c-find", *GIVEN).code == 2
    assert not (tmp_path / "nowhere.yml").exists()


def test_without_a_terminal_nobody_is_asked(tmp_path: Path) -> None:
    ended = init(tmp_path, "--type", "c-find")
    assert ended.code == 2
    assert "give --hostname, --aet, --local-aet" in ended.err
    assert list(tmp_path.iterdir()) == []


def test_an_answer_that_is_no_setting_writes_nothing(tmp_path: Path) -> None:
    ended = init(tmp_path, "--type", "c-find", *GIVEN[:-1], "SEVENTEEN_LETTERS")
    assert ended.code == 2
    assert "16 at most" in ended.err
    assert list(tmp_path.iterdir()) == []


def test_on_a_terminal_what_is_not_given_is_asked(tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "pydicombatch", "init", "--hostname", "pacs.example.org"],
        stdin=theirs, stdout=theirs, stderr=theirs, cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    ) as process:  # fmt: skip
        os.close(theirs)
        os.write(ours, b"c-move\n\nARCHIVE\nSAMPLE_AE\n11112\n")
        assert process.wait(60) == 0
    os.close(ours)
    written = yaml.safe_load((tmp_path / "config.yml").read_text())
    assert written["pacs"] == {"hostname": "pacs.example.org", "port": 104, "aet": "ARCHIVE"}
    assert written["local"] == {"aet": "SAMPLE_AE", "port": 11112}
    assert written["request"]["type"] == "c-move"


def test_the_columns_of_a_move_name_every_level_above() -> None:
    assert columns(answers(level="SERIES")) == ("StudyInstanceUID", "SeriesInstanceUID")
    assert columns(answers(level="PATIENT")) == ("PatientID",)
    assert batch(answers("c-find")) == "PatientID\nEXAMPLE-1\n"


@given(st.text(min_size=1, max_size=30).filter(lambda text: "${" not in text))
def test_any_folder_s_name_is_read_back_as_it_was_given(name: str) -> None:
    text = starter(answers(directory=name))
    assert yaml.load(text, Loader=yaml.BaseLoader)["output"]["directory"] == name


def test_every_starter_loads_without_a_finding() -> None:
    for kind in TYPES:
        assert parse(starter(answers(kind)), "c.yml", {}).warnings == ()
