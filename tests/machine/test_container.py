"""The image, really built on a bare Debian, and an extraction in it against an Orthanc."""

import csv
import json
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
from pydicom import dcmread

from tests.conftest import OrthancFactory
from tests.support.extraction import AET, ROOT, Job
from tests.support.instances import files, specs
from tests.support.orthanc import OrthancServer
from tests.support.ports import free_port

pytestmark = pytest.mark.timeout(900)  # a whole system is made
LOCAL_PORT = free_port()
KEY = "StudyInstanceUID"
CALLER = (4242, 4343)  # somebody who is not root and whom no machine knows
STORAGE = """\
[storage]
driver = "overlay"
graphroot = "{folder}/graph"
runroot = "{folder}/run"
"""


@dataclass(frozen=True)
class Engine:
    """Buildah with a storage of its own, under the name of docker."""

    environ: Mapping[str, str]

    def run(self, *words: str | Path, limit: float = 600) -> str:
        """Run a command of the checkout; return what it printed."""
        done = subprocess.run(
            list(map(str, words)), cwd=ROOT, env=self.environ, timeout=limit, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout[-6000:]
        return done.stdout

    def start(self, job: Job, *options: str) -> subprocess.Popen[str]:
        """Start an extraction as somebody else than root, with Ctrl-C as a terminal has it.

        Where all tests run in the background a shell would inherit, and keep, that it is ignored.
        """
        script = str(ROOT / "bin" / "run-docker-extraction.sh")
        return subprocess.Popen(
            ["env", "--default-signal=INT", script, str(job.config), *options],
            cwd=job.folder, env=self.environ, text=True, start_new_session=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip

    def extract(self, job: Job, *options: str) -> tuple[int, str]:
        """Carry an extraction out; return its exit code and what it printed."""
        process = self.start(job, *options)
        printed, _ = process.communicate(timeout=180)
        return process.returncode, printed


def bare_debian(place: Path) -> Path:
    """Return a bare Debian: the one of this run of all tests, or a new one."""
    base = Path(os.environ.get("FRESH_BASE", place / "base"))
    script = '. bin/_env.sh; . bin/_machine.sh; fresh_base "$1"'
    subprocess.run(["bash", "-c", script, "bash", str(base)], cwd=ROOT, check=True, timeout=400)
    return base


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    # Not below pytest's folder: it keeps those of older runs, and images are large
    place = Path(tempfile.mkdtemp())
    (place / "storage.conf").write_text(STORAGE.format(folder=place))
    tools = place / "bin"
    tools.mkdir()
    (tools / "docker").symlink_to(ROOT / "tests" / "support" / "buildah_docker.sh")
    environ = {
        **os.environ,
        "PATH": f"{tools}:/usr/sbin:/usr/bin:/sbin:/bin",
        "CONTAINERS_STORAGE_CONF": str(place / "storage.conf"),
        "BUILDAH_ISOLATION": "chroot",
        "TMPDIR": str(place),
    }
    try:
        one = Engine(environ)
        base = bare_debian(place)
        one.run("bash", "-c", _AS_IMAGE, "bash", base)
        one.run(
            "env", "PYDICOMBATCH_ENGINE=buildah", "bin/build-docker-container.sh",
            "--build-arg", "BASE=localhost/bare", *_secrets(place),
        )  # fmt: skip
        yield one
    finally:
        subprocess.run(["buildah", "rm", "--all"], env=environ, capture_output=True)
        subprocess.run(["umount", "--lazy", str(place / "graph" / "overlay")], capture_output=True)
        shutil.rmtree(place, ignore_errors=True)


_AS_IMAGE = """
set -e
container=$(buildah from scratch)
tar -C "$1" --create . | tar -C "$(buildah mount "$container")" --extract
buildah umount "$container"
buildah commit --quiet --rm "$container" localhost/bare
"""


def _secrets(place: Path) -> list[str]:
    """Give pip this machine's settings that are variables of the environment."""
    wanted = ("cert", "index_url", "extra_index_url", "proxy", "trusted_host")
    lines = [
        f"{name.replace('_', '-')} = {os.environ[f'PIP_{name.upper()}']}"
        for name in wanted
        if os.environ.get(f"PIP_{name.upper()}")
    ]
    if not lines:
        return []
    (place / "pip.conf").write_text("\n".join(["[global]", *lines, ""]))
    return ["--secret", f"id=pip,src={place / 'pip.conf'}"]


@pytest.fixture(scope="module")
def orthanc(start_orthanc: OrthancFactory) -> OrthancServer:
    server = start_orthanc([(AET, LOCAL_PORT)])
    server.load(files(specs(studies=3, instances=4, rows=64, columns=64)))
    return server


def job(folder: Path, orthanc: OrthancServer, **more: object) -> Job:
    studies = sorted({one.study_uid for one in specs(studies=3, instances=4)})
    rows = [[KEY], *([uid] for uid in studies)]
    elements = ["QueryRetrieveLevel=STUDY"]
    return Job(folder, orthanc, LOCAL_PORT, "c-move", elements, rows, **more)


def test_the_image_is_what_the_file_promises(engine: Engine) -> None:
    said = engine.run("buildah", "inspect", "--type", "image", "localhost/pydicom-batch")
    image = json.loads(said)["Docker"]["config"]
    assert image["Entrypoint"] == ["pydicombatch"]
    assert image["User"].split(":")[0] not in {"", "0", "root"}
    assert "pydicombatch check --alive" in image["Healthcheck"]["Test"][1]
    container = engine.run("buildah", "from", "--pull-never", "localhost/pydicom-batch").strip()
    inside = ("buildah", "run", container, "--")
    assert engine.run(*inside, "pydicombatch", "--version").strip()
    assert "1 passed" not in engine.run(*inside, "sh", "-c", "! command -v java gcc pip")
    # what decompresses is native code: it must find its libraries on a slim Debian
    engine.run(*inside, "python", "-c", "import gdcm, PIL, numpy, pandas, pydicombatch.app")
    # the bare Debian has what this machine tells pip; what the build was told stays out
    ours = Path("/etc/pip.conf")
    left = engine.run(*inside, "sh", "-c", "cat /etc/pip.conf 2>/dev/null || true")
    assert left.strip() in {"", ours.read_text().strip() if ours.is_file() else ""}


def test_an_extraction_in_the_container_leaves_the_caller_s_files(
    engine: Engine, orthanc: OrthancServer, tmp_path: Path
) -> None:
    one = job(tmp_path, orthanc)
    code, printed = engine.extract(one, "--no-progress")
    assert code == 0, printed
    stored = list(one.out.rglob("*.dcm"))
    assert len(stored) == 12
    assert {str(dcmread(file).SOPInstanceUID) for file in stored} == {
        spec.sop_uid for spec in specs(studies=3, instances=4)
    }
    for file in one.out.rglob("*"):
        assert (file.stat().st_uid, file.stat().st_gid) == (os.getuid(), os.getgid())
    with one.results_file.open(newline="") as stream:
        assert {row["Outcome"] for row in csv.DictReader(stream)} == {"complete"}


def test_a_caller_who_is_not_root_gets_files_of_their_own(
    engine: Engine, orthanc: OrthancServer, tmp_path: Path
) -> None:
    one = job(tmp_path, orthanc)
    one.out.mkdir(mode=0o700)
    os.chown(one.out, *CALLER)
    user, group = CALLER
    engine.run(
        "docker", "run", "--rm", "--user", f"{user}:{group}", "--workdir", tmp_path,
        "--mount", f"type=bind,source={one.config},target={one.config},readonly",
        "--mount", f"type=bind,source={one.batch},target={one.batch},readonly",
        "--mount", f"type=bind,source={one.out},target={one.out}",
        "pydicom-batch", "run", one.config,
    )  # fmt: skip
    found = list(one.out.rglob("*"))
    assert sum(file.suffix == ".dcm" for file in found) == 12
    assert {(file.stat().st_uid, file.stat().st_gid) for file in found} == {CALLER}


def test_what_lies_in_several_mounts_is_anonymized_all_the_same(
    engine: Engine, orthanc: OrthancServer, tmp_path: Path
) -> None:
    settings = {"enabled": True, "profile": "basic"}
    one = job(
        tmp_path, orthanc, anonymization=settings, output={"database_file": "../lists/rows.csv"}
    )
    code, printed = engine.extract(one)
    assert code == 0, printed
    stored = [dcmread(file) for file in one.out.rglob("*.dcm")]
    assert len(stored) == 12
    assert {str(ds.PatientIdentityRemoved) for ds in stored} == {"YES"}
    assert (tmp_path / "out.identified" / "ledger.sqlite").is_file()
    assert (tmp_path / "lists" / "rows.csv").is_file()


def ended(process: subprocess.Popen[str]) -> int:
    """Wait for an extraction that was told to end; say what runs where it does not."""
    try:
        process.communicate(timeout=300)  # removing the container takes its time on a busy disk
    except subprocess.TimeoutExpired:
        running = subprocess.run(["ps", "axfo", "pid,stat,wchan:20,args"], capture_output=True)
        os.killpg(process.pid, signal.SIGKILL)
        pytest.fail(f"it did not end:\n{running.stdout.decode()[-6000:]}")
    return process.returncode


def test_ctrl_c_and_the_exit_codes_come_through_the_container(
    engine: Engine, orthanc: OrthancServer, tmp_path: Path
) -> None:
    shut = {"enabled": True, "start_time": "03:00", "end_time": "03:01", "timezone": "UTC"}
    one = job(tmp_path, orthanc, schedule=shut)
    assert engine.extract(one, "--stop-at-window-end")[0] == 4
    process = engine.start(one)
    assert process.stdout is not None
    for line in process.stdout:
        if "PAUSED" in line:
            break
    os.killpg(process.pid, signal.SIGINT)  # what a terminal does
    assert ended(process) == 130
    one.change("schedule", enabled=False)
    one.change("pacs", port=free_port())
    one.change("retry", attempts=1)
    assert engine.extract(one)[0] == 3
    one.change("local", port=0)
    assert engine.extract(one)[0] == 2
