"""Disks that are no ordinary local ones: an output on FAT, a state directory on the network.

F33: what such a disk cannot do is done without, or refused before anything is sent.
"""

import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import OrthancFactory
from tests.support.extraction import AET, ROOT, Ended, Job, command, data_set_of
from tests.support.fake_archive import FakeArchive, Script
from tests.support.instances import Spec, dataset, to_bytes
from tests.support.orthanc import OrthancServer
from tests.support.ports import free_port
from tests.support.shim import FAT, library
from tests.support.written import stored

LOCAL = free_port()
STUDY = Spec(1, 1, 1).study_uid
BODIES = {1: "Axial", 2: "AXIAL", 3: "axial"}  # series -> what its folder is named after


def files() -> Iterator[tuple[str, bytes]]:
    """Make series whose folders are one folder where names have no case, with equal file names."""
    for series, name in BODIES.items():
        for number in (1, 2):
            ds = dataset(Spec(1, 1, series, number))
            ds.SeriesDescription = name
            yield Spec(1, 1, series, number).sop_uid, to_bytes(ds)


@pytest.fixture(scope="module")
def orthanc(start_orthanc: OrthancFactory) -> OrthancServer:
    server = start_orthanc([(AET, LOCAL)])
    server.load([content for _, content in files()])
    return server


@pytest.fixture
def job(orthanc: OrthancServer, tmp_path: Path) -> Job:
    rows = [["StudyInstanceUID"], [STUDY]]
    made = Job(tmp_path / "job", orthanc, LOCAL, "c-move", ["QueryRetrieveLevel=STUDY"], rows)
    (tmp_path / "disk").mkdir()
    made.change(
        "output",
        directory=str(tmp_path / "disk" / "out"),
        directory_structure=["SeriesDescription"],
        filename="InstanceNumber",
    )
    return made


def on_fat(job: Job, name: str, *options: str) -> Ended:
    """Run a command with the directory above the output as on a FAT disk."""
    environ = {"LD_PRELOAD": str(library(FAT)), "FAT_ROOT": str(job.out.parent.resolve())}
    return command(name, str(job.config), *options, cwd=job.folder, environ=environ)


@pytest.mark.parametrize("state", ["beside", "inside"])
def test_an_output_without_case_chmod_hard_links_and_directory_fsync_works(
    job: Job, tmp_path: Path, state: str
) -> None:
    if state == "beside":
        job.change("state", directory=str(tmp_path / "state"))
    ended = on_fat(job, "run")
    assert ended.code == 0, ended.text
    folders = [path.name for path in job.out.iterdir() if path.name.casefold() == "axial"]
    assert len(folders) == 1
    whole = {uid: data_set_of(content) for uid, content in files()}
    assert {uid: one.data for uid, one in stored(job.out).items()} == whole
    before = {path: path.stat().st_mtime_ns for path in job.out.rglob("*.dcm")}
    checked = on_fat(job, "verify")
    assert checked.code == 0, checked.text
    again = on_fat(job, "run", "--restart")
    assert again.code == 0, again.text
    after = {path: path.stat().st_mtime_ns for path in job.out.rglob("*.dcm")}
    assert after == before, "what was there is recognised"


def test_the_disk_without_case_is_what_it_says(tmp_path: Path) -> None:
    """The shim itself: else the test above would prove nothing."""
    script = (
        "import os, sys; os.chdir(sys.argv[1]); open('Ab', 'x').close()\n"
        "assert os.path.exists('aB') and os.listdir('.') == ['Ab']\n"
        "for call in (lambda: os.chmod('Ab', 0o600), lambda: os.link('Ab', 'c'),\n"
        "             lambda: os.fsync(os.open('.', os.O_RDONLY)), lambda: open('AB', 'x')):\n"
        "    try: call()\n"
        "    except OSError as exc: print(type(exc).__name__)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True,
        env={**os.environ, "LD_PRELOAD": str(library(FAT)), "FAT_ROOT": str(tmp_path.resolve())},
    )  # fmt: skip
    said = ["PermissionError", "PermissionError", "OSError", "FileExistsError"]
    assert done.stdout.split() == said, done.stderr


@pytest.mark.parametrize("kind", ["nfs4", "cifs", "9p", "fuse.sshfs"])
def test_a_state_directory_on_the_network_is_refused_before_anything_is_sent(
    tmp_path: Path, kind: str
) -> None:
    """With a mount table of ours in the place of the process's own, in a mount namespace."""
    with FakeArchive(Script([[]])) as archive:
        job = Job(
            tmp_path / "job", archive, LOCAL, "c-find", ["QueryRetrieveLevel=STUDY", "StudyDate"],
            [["StudyInstanceUID"], [STUDY]], state={"directory": str(tmp_path / "share" / "state")},
        )  # fmt: skip
        table = tmp_path / "mounts"
        share = tmp_path.resolve() / "share"
        table.write_text(f"/dev/sda1 / ext4 rw 0 0\nserver:/x {share} {kind} rw 0 0\n")
        call = shlex.join([sys.executable, "-m", "pydicombatch", "run", str(job.config)])
        script = f"mount --bind {shlex.quote(str(table))} /proc/$$/mounts && exec {call}"
        done = subprocess.run(
            ["unshare", "--mount", "sh", "-c", script], capture_output=True, text=True,
            cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}, timeout=60,
        )  # fmt: skip
        assert archive.asked == []
    assert done.returncode == 3, done.stdout + done.stderr
    assert f"The state directory lies on a network file system ({kind})" in done.stderr
    assert "Set state.directory to a directory on a local disk" in done.stderr
