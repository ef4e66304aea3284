"""Under cron and systemd: nobody watches, nobody answers."""

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from pydicom.dataset import Dataset

from pydicombatch.runner import preflight
from tests.support.extraction import ROOT, Job
from tests.support.fake_archive import FakeArchive, Final, Pending, Script, Sleep
from tests.support.ports import LOOPBACK, free_port

SERVICE = ROOT / "config" / "pydicombatch@.service"
TIMER = ROOT / "config" / "pydicombatch@.timer"
UNIT = "study"
MATCH = Dataset()
MATCH.StudyDescription = "found"
ANSWERS = Script([[Sleep(0.3), Pending(match=MATCH), Final()]])
SLOW = Script([[Sleep(60), Pending(match=MATCH), Final()]])
PROGRAM = '#!/bin/sh\nPYTHONPATH="{root}" exec "{python}" -m pydicombatch "$@"\n'


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root directory with systemd's own units, ours, and the program where ours say it is."""
    root = tmp_path_factory.mktemp("machine")
    shutil.copytree("/usr/lib/systemd/system", root / "usr/lib/systemd/system", symlinks=True)
    units = root / "etc/systemd/system"
    units.mkdir(parents=True)
    (found,) = re.findall(r"^ExecStart=(\S+)", SERVICE.read_text(), re.MULTILINE)
    program = root / found.removeprefix("/")
    program.parent.mkdir(parents=True)
    shutil.copy("/bin/true", program)
    for one in (SERVICE, TIMER):
        shutil.copy(one, units)
    return root


def verified(root: Path, *units: str) -> str:
    done = subprocess.run(
        ["systemd-analyze", "verify", f"--root={root}", "--man=no", *units],
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    return done.stderr + ("" if done.returncode == 0 else f"exit code {done.returncode}")


def test_the_units_are_clean(machine: Path) -> None:
    assert verified(machine, f"pydicombatch@{UNIT}.service", f"pydicombatch@{UNIT}.timer") == ""


def test_a_unit_with_a_slip_would_be_seen(machine: Path) -> None:
    spoilt = machine / "etc/systemd/system/spoilt.service"
    spoilt.write_text(SERVICE.read_text().replace("KillMode=mixed", "KillMode=mixt"))
    assert "mixt" in verified(machine, "spoilt.service")


def words_of_the_service() -> list[str]:
    (line,) = re.findall(r"^ExecStart=\S+ (.*)$", SERVICE.read_text(), re.MULTILINE)
    return str(line).split()


def find(folder: Path, archive: FakeArchive, name: str, rows: int = 2) -> Job:
    table = [["StudyInstanceUID"], *([f"1.2.{number}"] for number in range(1, rows + 1))]
    elements = ["QueryRetrieveLevel=STUDY", "StudyDescription"]
    job = Job(folder, archive, free_port(), "c-find", elements, table)
    job.config = folder / name
    job.write()
    return job


def scheduled(folder: Path, *words: str) -> subprocess.Popen[str]:
    """Start the program as a scheduler does: no terminal, no input, next to no environment."""
    return subprocess.Popen(
        ["/usr/bin/env", "-i", "PATH=/usr/bin:/bin", f"PYTHONPATH={ROOT}", f"HOME={folder}",
         sys.executable, "-m", "pydicombatch", *words],
        cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, start_new_session=True,
    )  # fmt: skip


def test_the_line_of_the_crontab_runs_and_the_second_night_has_nothing_to_do(
    tmp_path: Path,
) -> None:
    lines = [
        one for one in (ROOT / "config" / "crontab").read_text().splitlines() if one[:1] != "#"
    ]
    (command,) = [re.sub(r"^(?:\S+\s+){5}", "", one) for one in lines]
    folder = tmp_path / "study"
    tools = folder / ".venv" / "bin"
    tools.mkdir(parents=True)
    (tools / "pydicombatch").write_text(PROGRAM.format(root=ROOT, python=sys.executable))
    (tools / "pydicombatch").chmod(0o755)
    with FakeArchive(ANSWERS) as archive:
        find(folder, archive, "move.yml")
        for left in ("Requests finished in this run     2", "Requests finished in this run     0"):
            done = subprocess.run(
                ["/usr/bin/env", "-i", "PATH=/usr/bin:/bin", f"HOME={tmp_path}", "/bin/sh", "-c",
                 command],
                cwd=tmp_path, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60,
            )  # fmt: skip
            assert done.returncode == 0, done.stdout + done.stderr
            assert left in done.stdout
            assert "\r" not in done.stdout + done.stderr
        assert len(archive.asked) == 2


def test_the_service_ends_well_however_its_night_ends(tmp_path: Path) -> None:
    good = {0, *map(int, re.findall(r"\d+", _setting("SuccessExitStatus")))}
    assert good == {0, 4, 5, 143}
    assert _setting("KillMode") == "mixed"
    with FakeArchive(SLOW) as archive:
        job = find(tmp_path, archive, "config.yml", rows=20)
        first = scheduled(tmp_path, *words_of_the_service())
        assert first.stdout is not None
        while "To stop" not in first.stdout.readline():
            assert first.poll() is None
        alive = job.command("check", "--alive")
        assert alive.code == 0
        assert f"process {first.pid} holds this extraction" in alive.out
        second = scheduled(tmp_path, *words_of_the_service())
        printed, _ = second.communicate(timeout=60)
        assert second.returncode == 5
        assert f"Another run holds this extraction (process {first.pid})" in printed
        os.kill(first.pid, signal.SIGTERM)
        os.kill(first.pid, signal.SIGTERM)  # as somebody who has no patience
        first.communicate(timeout=60)
        assert first.returncode == 143
        assert job.command("check", "--alive").code == 1
    job.change("schedule", enabled=True, start_time="03:00", end_time="03:01", timezone="UTC")
    third = scheduled(tmp_path, *words_of_the_service())
    third.communicate(timeout=60)
    assert third.returncode == 4
    assert (job.state / "run.log").stat().st_mode & 0o777 == 0o600


def _setting(name: str) -> str:
    (found,) = re.findall(rf"^{name}=(.*)$", SERVICE.read_text(), re.MULTILINE)
    return str(found)


def test_a_port_that_nobody_listens_on_is_no_life() -> None:
    found = preflight.listening(LOOPBACK, free_port())
    assert (found.is_well, found.exit_code) == (False, 1)
