"""What `pip install` installs, in environments that hold nothing else."""

import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

from tests.support.extraction import ROOT
from tests.support.markdown import README, blocks

pytestmark = pytest.mark.timeout(900)  # they download what the package needs
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
COMPILED = "pydicombatch/receive/server/_whole.abi3.so"
DATA = {".sql", ".json", ".csv", ".html", ".css", ".js"}  # what modules read beside themselves


def interpreters() -> list[str]:
    """The interpreters of this machine that the project declares; this one always."""
    found = {f"{sys.version_info.major}.{sys.version_info.minor}": sys.executable}
    for one in PROJECT["classifiers"]:
        version = one.rpartition(" :: ")[2]
        if re.fullmatch(r"3\.\d+", version):
            homes = sorted(Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")).glob(
                f"versions/{version}.*/bin/python{version}"
            ))  # fmt: skip
            other = shutil.which(f"python{version}", path="/usr/local/bin:/usr/bin")
            found.setdefault(version, str(homes[-1]) if homes else other or "")
    return [path for path in found.values() if path]


def run(*words: str | Path, cwd: Path, limit: float = 600) -> str:
    """Run a command as somebody who has no checkout on the path."""
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        list(map(str, words)), cwd=cwd, env=environ, text=True, timeout=limit,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-4000:]
    return done.stdout


def sources() -> set[str]:
    """The files of the package that an installation must have."""
    files = (file for file in (ROOT / "pydicombatch").rglob("*") if file.is_file())
    return {
        file.relative_to(ROOT).as_posix()
        for file in files
        if file.suffix not in {".pyc", ".so"} and "__pycache__" not in file.parts
    }


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("built")
    run(sys.executable, "-m", "hatchling", "build", "-d", folder, cwd=ROOT)
    return folder


def test_the_wheel_holds_the_package_and_its_data_and_nothing_else(built: Path) -> None:
    (wheel,) = built.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert names == sources() | {COMPILED}
    assert "-cp311-abi3-linux_" in wheel.name
    assert {".sql", ".json", ".csv"} <= {Path(name).suffix for name in names} & DATA


def test_the_sdist_holds_what_the_documentation_names(built: Path) -> None:
    (sdist,) = built.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert sources() <= names
    samples = {one.relative_to(ROOT).as_posix() for one in (ROOT / "config").iterdir()}
    assert samples <= names
    assert {"README.md", "LICENSE", "CHANGELOG.md", "docs/configuration.md", "bin/demo"} <= names
    assert {"Dockerfile", "requirements.lock", "environment.yaml", "bin/test"} <= names


@pytest.mark.parametrize("python", interpreters(), ids=lambda one: Path(one).name)
def test_the_package_works_in_an_environment_of_its_own(
    built: Path, tmp_path: Path, python: str
) -> None:
    """S21: from the sdist by the commands of the README, or from the wheel."""
    optional = python == sys.executable
    inside = install_sdist(built, tmp_path) if optional else install_wheel(built, tmp_path, python)
    assert run(inside / "pydicombatch", "--version", cwd=tmp_path).strip() == PROJECT["version"]
    printed = run(inside / "pydicombatch", "demo", cwd=tmp_path)
    assert len(list((tmp_path / "pydicombatch-demo" / "images").rglob("*.dcm"))) == 54, printed
    tables = "from pydicombatch.process.anonymize.tables import *; import pydicombatch.app"
    run(inside / "python", "-c", tables, cwd=tmp_path)
    run(inside / "pip", "check", cwd=tmp_path)
    use(inside / "pydicombatch", tmp_path / "pydicombatch-demo", optional=optional)


def install_sdist(built: Path, folder: Path) -> Path:
    """Carry out what the README says, in what the sdist holds; return where the programs are."""
    (sdist,) = built.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        archive.extractall(folder / "sdist", filter="data")
    (tree,) = (folder / "sdist").iterdir()
    (block,) = [one for one in blocks(README) if (one.kind, one.argument) == ("steps", "install")]
    first = f"PATH={Path(sys.executable).parent}:$PATH"  # python3 is the one that is tested
    for command, _ in block.commands:
        run("bash", "-c", f"{first}; {command}", cwd=tree)
    return tree / ".venv" / "bin"


def install_wheel(built: Path, folder: Path, python: str) -> Path:
    """Install the wheel; return where the programs are."""
    (wheel,) = built.glob("*.whl")
    run(python, "-m", "venv", folder / "venv", cwd=folder)
    inside = folder / "venv" / "bin"
    # Compiled is what is imported: for all of it pip takes longer than for all else
    run(inside / "pip", "install", "--quiet", "--no-compile", wheel, cwd=folder)
    return inside


def use(program: Path, folder: Path, *, optional: bool) -> None:
    """Make of the demo's images what needs the extras, or what does not."""
    table = "t.parquet" if optional else "t.csv"
    said = run(program, "export", "c-move.yml", "--output", table, cwd=folder)
    assert said == f"54 instances written to {table}\n"
    if optional:
        run(program, "report", "c-move.yml", cwd=folder)
        assert "<svg" in (folder / "report.html").read_text(encoding="utf-8")


def test_the_wheel_offers_the_extras_of_the_project(built: Path) -> None:
    """That the third, `dev`, can be installed shows where this test runs: bin/test has done it."""
    (wheel,) = built.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        (metadata,) = [one for one in archive.namelist() if one.endswith("/METADATA")]
        text = archive.read(metadata).decode()
    assert set(re.findall(r"^Provides-Extra: (\S+)$", text, re.MULTILINE)) == set(
        PROJECT["optional-dependencies"]
    )


def test_the_sdist_makes_the_same_wheel(built: Path, tmp_path: Path) -> None:
    (sdist,) = built.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path, filter="data")
    (tree,) = tmp_path.iterdir()
    run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", tmp_path / "w", cwd=tree)
    (again,), (wheel,) = (tmp_path / "w").glob("*.whl"), built.glob("*.whl")
    with zipfile.ZipFile(again) as one, zipfile.ZipFile(wheel) as other:
        assert {(each.filename, each.CRC) for each in one.infolist()} == {
            (each.filename, each.CRC) for each in other.infolist()
        }


def test_without_a_compiler_the_wheel_is_pure_python(built: Path, tmp_path: Path) -> None:
    (sdist,) = built.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path, filter="data")
    (tree,) = tmp_path.iterdir()
    said = run(
        "env", "CC=no-such-compiler", sys.executable, "-m", "hatchling", "build", "-t", "wheel",
        "-d", tmp_path / "w", cwd=tree,
    )  # fmt: skip
    assert "without the compiled part of the receiver" in said
    (wheel,) = (tmp_path / "w").glob("*.whl")
    assert wheel.name.endswith("-py3-none-any.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert names == sources()
