"""A reader of our output that goes away ends nothing."""

import os
import subprocess
import sys

PROGRAM = """
import sys
from pydicombatch.cli.streams import Patient
sys.stdout = Patient(sys.stdout)
for number in range(20000):
    print("line", number)
sys.exit(7)
"""


def test_a_closed_pipe_is_written_to_in_vain_and_changes_no_exit_code() -> None:
    reading, writing = os.pipe()
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM], stdout=writing, stderr=subprocess.PIPE
    ) as running:
        os.close(writing)
        os.read(reading, 10)
        os.close(reading)
        _, complaint = running.communicate(timeout=60)
    assert (running.returncode, complaint) == (7, b"")
