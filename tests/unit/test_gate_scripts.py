"""What the gate says at its end, whatever the two halves of it did."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.extraction import ROOT


def gate(folder: Path, tests: str, fresh: str) -> subprocess.CompletedProcess[str]:
    """Run the gate of a checkout in which both halves are stand-ins."""
    for name, body in ((".ci/run", ""), ("bin/test", tests), ("bin/test-fresh", fresh)):
        script = folder / name
        script.parent.mkdir(parents=True, exist_ok=True)
        if body:
            script.write_text(f"#!/bin/bash\n{body}\n")
        else:
            shutil.copy(ROOT / name, script)
    return subprocess.run(
        ["bash", str(folder / ".ci" / "run")], capture_output=True, text=True, timeout=60,
        env={**os.environ, "TMPDIR": str(folder)},
    )  # fmt: skip


@pytest.mark.parametrize(
    ("tests", "fresh", "code", "last"),
    [
        ("echo '7 passed, 0 failed'", "echo '3 passed, 0 failed'", 0, "10 passed, 0 failed"),
        (
            "printf 'no text: \\0\\n7 passed, 0 failed\\n'",
            "echo '3 passed, 0 failed'",
            0,
            "10 passed, 0 failed",
        ),
        ("echo '7 passed, 2 failed'; exit 1", "echo never", 1, "7 passed, 2 failed"),
        ("echo '7 passed, 0 failed'; exit 3", "echo never", 3, "7 passed, 1 failed"),
        ("exit 1", "echo never", 1, "0 passed, 1 failed"),
        ("echo '7 passed, 0 failed'", "exit 1", 1, "7 passed, 1 failed"),
        (
            "echo '7 passed, 0 failed'",
            "echo '2 passed, 1 failed'; echo died; exit 1",
            1,
            "9 passed, 1 failed",
        ),
    ],
)
def test_the_last_line_counts_both_halves(
    tmp_path: Path, tests: str, fresh: str, code: int, last: str
) -> None:
    done = gate(tmp_path, tests, fresh)
    assert done.returncode == code
    assert done.stdout.splitlines()[-1] == last
    assert "never" not in done.stdout


def test_both_halves_share_a_bare_debian_which_is_gone_afterwards(tmp_path: Path) -> None:
    make = 'mkdir "$FRESH_BASE" && echo "7 passed, 0 failed"'
    done = gate(tmp_path, make, 'test -d "$FRESH_BASE" && echo "1 passed, 0 failed"')
    assert done.stdout.splitlines()[-1] == "8 passed, 0 failed"
    assert {one.name for one in tmp_path.iterdir()} == {".ci", "bin"}


def test_a_fresh_machine_is_for_root_alone_and_says_so(tmp_path: Path) -> None:
    (tmp_path / "id").write_text("#!/bin/sh\necho 1000\n")
    (tmp_path / "id").chmod(0o755)
    done = subprocess.run(
        ["bash", str(ROOT / "bin" / "test-fresh")], capture_output=True, text=True, timeout=60,
        env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"},
    )  # fmt: skip
    assert done.returncode == 3
    assert done.stderr == (
        "test-fresh: a machine within this one can be made by root alone: run this as root\n"
    )
