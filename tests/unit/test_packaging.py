"""What says which packages are needed must say the same everywhere."""

import re
import subprocess
import sys
import tomllib

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from tests.support.extraction import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
HEAVY = (
    "PIL", "gdcm", "jinja2", "numpy", "openpyxl", "pandas", "plotly", "pyarrow", "pydantic",
    "pydicom", "pynetdicom", "pytz", "requests", "sqlite3", "ssl", "tqdm", "yaml",
)  # fmt: skip
PROBE = f"""
import runpy, sys
sys.argv = ["pydicombatch", *sys.argv[1:]]
try:
    runpy.run_module("pydicombatch", run_name="__main__")
except SystemExit:
    pass
print(*sorted(set({HEAVY!r}) & set(sys.modules)), len(sys.modules), file=sys.stderr)
"""


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def locked(file: str) -> dict[str, list[str]]:
    """Return the versions of each package; a marker may choose between several."""
    found: dict[str, list[str]] = {}
    text = (ROOT / file).read_text()
    for name, version in re.findall(r"^([\w.-]+)==(\S+)", text, re.MULTILINE):
        found.setdefault(normal(name), []).append(version)
    return found


@pytest.mark.parametrize(
    ("file", "wanted"),
    [
        ("requirements.lock", PROJECT["project"]["dependencies"]),
        ("requirements.lock", PROJECT["project"]["optional-dependencies"]["report"]),
        ("requirements.lock", PROJECT["project"]["optional-dependencies"]["parquet"]),
        ("requirements-build.lock", PROJECT["build-system"]["requires"]),
    ],
)
def test_the_locked_packages_are_those_of_the_project(file: str, wanted: list[str]) -> None:
    """CONTRIBUTING.md says how to renew a lock."""
    versions = locked(file)
    for one in map(Requirement, wanted):
        found = versions.get(normal(one.name), [])
        assert found, f"{one.name} is not in {file}"
        assert all(each in one.specifier for each in found), one.name


@pytest.mark.parametrize("file", ["requirements.lock", "requirements-build.lock"])
def test_every_locked_package_has_hashes_and_no_registry(file: str) -> None:
    text = (ROOT / file).read_text()
    blocks = re.split(r"^(?=[\w])", text, flags=re.MULTILINE)[1:]
    assert len(blocks) == sum(map(len, locked(file).values()))
    assert all("--hash=sha256:" in block for block in blocks)
    assert not re.search(r"https?:|index-url|find-links", text)


def test_the_declared_interpreters_are_those_that_the_project_accepts() -> None:
    declared = [
        found[1]
        for one in PROJECT["project"]["classifiers"]
        if (found := re.fullmatch(r"Programming Language :: Python :: (3\.\d+)", one))
    ]
    accepted = SpecifierSet(PROJECT["project"]["requires-python"])
    assert declared == ["3.11", "3.12", "3.13"]
    assert all(one in accepted for one in declared)
    assert "3.10" not in accepted


def test_both_files_for_conda_are_the_same() -> None:
    paths = [ROOT / "environment.yaml", ROOT / "config" / "environment.yaml"]
    assert len({path.read_text() for path in paths}) == 1


def test_the_image_takes_only_what_it_needs() -> None:
    text = (ROOT / "Dockerfile").read_text()
    assert re.search(r"^ARG BASE=debian:bookworm-slim$", text, re.MULTILINE)
    assert text.count("--require-hashes") == 2
    assert 'ENTRYPOINT ["pydicombatch"]' in text
    assert "HEALTHCHECK" in text
    users = re.findall(r"^(?:ARG UID=|USER )(\S+)", text, re.MULTILINE)
    assert "0" not in users
    assert "root" not in users
    assert not re.search(r"\b(?:java|jre|jdk|openjdk)\b", text.replace("no Java", ""))
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", text, re.MULTILINE)
    assert ignored[0] == "*"
    assert {f"!{one}" for line in copied for one in line.split()} <= set(ignored)


@pytest.mark.parametrize(
    "arguments", [["--help"], ["--version"], ["-h"], []], ids=lambda one: " ".join(one) or "none"
)
def test_help_waits_for_no_large_library(arguments: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROBE, *arguments], cwd=ROOT, capture_output=True, text=True,
        timeout=60,
    )  # fmt: skip
    loaded = done.stderr.splitlines()[-1].split()
    assert loaded[:-1] == []
    assert int(loaded[-1]) < 160  # modules: the interpreter's own, click and a few of ours
