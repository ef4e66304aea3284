"""Completion in a shell: what click makes of the program, and what bash makes of that."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pydicombatch.cli import COMMANDS
from tests.support.extraction import ROOT

BASH = """
eval "$(_PYDICOMBATCH_COMPLETE=bash_source pydicombatch)" || exit
COMP_WORDS=("$@")
COMP_CWORD=$(($# - 1))
_pydicombatch_completion pydicombatch
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.fixture(scope="module")
def tools(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tools")
    program = folder / "pydicombatch"
    program.write_text(
        f'#!/bin/sh\nPYTHONPATH="{ROOT}" exec "{sys.executable}" -m pydicombatch "$@"\n'
    )
    program.chmod(0o755)
    return folder


def offered(tools: Path, *words: str) -> list[str]:
    done = subprocess.run(
        ["bash", "--norc", "-c", BASH, "bash", "pydicombatch", *words],
        env={**os.environ, "PATH": f"{tools}:{os.environ['PATH']}"}, timeout=60, text=True,
        capture_output=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_bash_offers_the_commands(tools: Path) -> None:
    assert set(COMMANDS) <= set(offered(tools, ""))
    assert [one for one in offered(tools, "ver") if one] == ["verify"]


def test_bash_offers_the_options_of_a_command(tools: Path) -> None:
    assert "--stop-at-window-end" in offered(tools, "run", "--st")


@pytest.mark.parametrize(("shell", "mark"), [("zsh", "compdef"), ("fish", "complete")])
def test_other_shells_get_their_script(tools: Path, shell: str, mark: str) -> None:
    done = subprocess.run(
        [tools / "pydicombatch"], env={**os.environ, "_PYDICOMBATCH_COMPLETE": f"{shell}_source"},
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert mark in done.stdout
