"""dcmjs-dimse, a DICOM library for Node.js: a sender that is neither C++ nor Python."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.support.servers import program

SCRIPT = Path(__file__).parent / "node" / "store.js"


def store(port: int, called: str, files: Sequence[Path]) -> list[int]:
    """Send files on one association; return the status of every response, in order."""
    modules = Path(sys.prefix) / "node" / "node_modules"  # bin/test puts it there
    if not modules.is_dir():
        pytest.fail("dcmjs-dimse is not installed: run bin/test")
    done = subprocess.run(
        [program("node"), str(SCRIPT), str(port), called, *map(str, files)],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "NODE_PATH": str(modules)},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return [int(line) for line in done.stdout.splitlines() if line.isdigit()]
