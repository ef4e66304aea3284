"""Nothing identified or secret shows, and nobody else may read what is written (S13-S16)."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydicom._dicom_dict import DicomDictionary
from pydicom.dataset import Dataset

from tests.support.extraction import AET, ROOT, Job, command
from tests.support.fake_archive import FakeArchive, Final, Pending, Script, Step, Store
from tests.support.instances import Spec, dataset
from tests.support.ports import free_port
from tests.support.written import everything_written

CONFIG = """\
pacs: {hostname: '${T_HOST}', port: 104, aet: '${T_TITLE}', tls: {ca: '${T_CA}'}}
local: {port: 4006, aet: SAMPLE_AE}
request: {type: c-echo}
output: {directory: out}
retry: {attempts: 1, wait: 0.1}
"""
VALUES = {"T_HOST": "s3cret-host.invalid", "T_TITLE": "S3CRET_TITLE", "T_CA": "/s3cret/ca.pem"}


def test_commands_do_not_print_it_whatever_happens(tmp_path: Path) -> None:
    """S16: `check`, `run` and `status` against a host that does not exist."""
    path = tmp_path / "c.yml"
    path.write_text(CONFIG.replace(", tls: {ca: '${T_CA}'}", ""))
    for words in (("check",), ("run", "--limit", "1"), ("status",), ("status", "--json")):
        name, *options = words
        ended = command(name, str(path), *options, cwd=tmp_path, environ=VALUES)
        assert "s3cret" not in ended.text.lower(), (words, ended.text)
    log = (tmp_path / "out" / ".pydicombatch" / "run.log").read_text()
    assert "s3cret" not in log.lower()


def test_a_path_with_control_characters_does_not_reach_the_terminal(tmp_path: Path) -> None:
    """S15."""
    ended = command("run", "none\x1b[31m\rx.yml", cwd=tmp_path)
    assert "\x1b" not in ended.text
    assert "\\x1b" in ended.text


CANARY = "CNRY"
TEXTS = {"LO", "SH", "PN", "LT", "ST", "UT", "UC"}
LEFT_OUT = {"SpecificCharacterSet", "DataSetTrailingPadding"}
IDENTIFIED = {".dcm", ".csv", ".sqlite", ".sqlite-wal", ".sqlite-shm"}  # by their nature
LIBRARY = """
import logging, sys
logging.basicConfig(level=int(sys.argv[1]), stream=sys.stderr)
from pydicombatch.cli import commands
commands(["run", *sys.argv[2:]])
"""


def planted(instance: int = 1) -> Dataset:
    """Put a value of its own into every text element that the dictionary has."""
    ds = dataset(Spec(instance=instance))
    for number, (tag, entry) in enumerate(sorted(DicomDictionary.items())):
        vr, _, _, retired, keyword = entry
        if vr in TEXTS and not retired and tag >> 16 > 0x0007 and keyword not in LEFT_OUT:
            setattr(ds, keyword, f"{CANARY}{number:05}")
    ds.PatientID, ds.PatientBirthDate = f"{CANARY}ID", "19610203"
    return ds


def found_row() -> Dataset:
    ds = planted()
    del ds.PixelData
    ds.QueryRetrieveLevel = "STUDY"
    return ds


KEYWORDS = ["PatientName", "PatientID", "PatientComments", "StudyDescription", "InstitutionName"]
COMMENT = f"{CANARY} in a comment"
RUNS: dict[str, tuple[str, list[Step]]] = {
    "find": ("c-find", [Pending(match=found_row()), Final()]),
    "find that fails": ("c-find", [Pending(match=found_row()), Final(0xC001, comment=COMMENT)]),
    "find of another": (
        "c-find",
        [Pending(match=found_row()), Pending(match=b"\x10\0\x10\0\xff\0\0\0CNRY"), Final()],
    ),
    "move": ("c-move", [Store(planted(1)), Store(planted(2)), Final(completed=2)]),
    "move that fails": ("c-move", [Store(planted(1)), Final(0xB000, 1, 1, comment=COMMENT)]),
    "move refused": ("c-move", [Final(0xA900, comment=COMMENT)]),
}


def texts(job: Job) -> Iterator[tuple[str, bytes]]:
    """Read everything that was written but what is identified by nature."""
    for path, _ in everything_written(job.out):
        inside = path.relative_to(job.out).parts
        if path.is_file() and path.suffix not in IDENTIFIED and "quarantine" not in inside:
            yield "/".join(inside), path.read_bytes()


@pytest.mark.parametrize("level", [10, 20, 30])
@pytest.mark.parametrize("name", RUNS)
def test_no_value_shows_at_any_level_of_logging(tmp_path: Path, name: str, level: int) -> None:
    """S14: a value of its own in every text element, searched for in all that is written."""
    kind, steps = RUNS[name]
    port = free_port()
    with FakeArchive(Script([steps], destinations={AET: port})) as archive:
        job = Job(
            tmp_path, archive, port, kind, ["QueryRetrieveLevel=STUDY", *KEYWORDS],
            [["StudyInstanceUID"], [Spec().study_uid]], retry={"attempts": 2, "wait": 0.1},
        )  # fmt: skip
        if kind == "c-move":
            job.change("request", elements=["QueryRetrieveLevel=STUDY"])
        done = subprocess.run(
            [sys.executable, "-c", LIBRARY, str(level), str(job.config)],
            capture_output=True, cwd=tmp_path, timeout=120, env={"PYTHONPATH": str(ROOT)},
        )  # fmt: skip
        said = [job.command("status"), job.command("status", "--json")]
    assert done.returncode in {0, 1}, done.stderr
    assert b"Requests finished" in done.stdout
    every = [*texts(job), ("stdout", done.stdout), ("stderr", done.stderr)]
    every += [("status", one.text.encode()) for one in said]
    assert any(where.endswith("run.log") for where, _ in every)
    for where, text in every:
        for secret in (CANARY.encode(), b"19610203", Spec().study_uid.encode()):
            assert secret not in text, f"{secret!r} is in {where}"


@pytest.mark.parametrize("umask", ["000", "022", "777"])
@pytest.mark.parametrize("name", ["find", "move"])
def test_nobody_else_may_read_anything_whatever_the_umask(
    tmp_path: Path, name: str, umask: str
) -> None:
    """S13: every file 0600 and every folder 0700, those of `status` too."""
    kind, steps = RUNS[name]
    port = free_port()
    with FakeArchive(Script([steps], destinations={AET: port})) as archive:
        elements = ["QueryRetrieveLevel=STUDY", *(KEYWORDS if kind == "c-find" else [])]
        rows = [["StudyInstanceUID"], [Spec().study_uid]]
        job = Job(tmp_path, archive, port, kind, elements, rows)
        python, config = sys.executable, job.config
        script = (
            f"umask {umask}; {python} -m pydicombatch run {config} && "
            f"{python} -m pydicombatch status {config} --csv out/every.csv"
        )
        done = subprocess.run(
            ["sh", "-c", script], capture_output=True, cwd=tmp_path, timeout=120,
            env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
        )  # fmt: skip
    assert done.returncode == 0, done.stderr
    written = everything_written(job.out)
    assert len(list(written)) > 5
    for path, mode in [(job.out, job.out.stat().st_mode & 0o777), *written]:
        assert mode == (0o700 if path.is_dir() else 0o600), (path, oct(mode))
