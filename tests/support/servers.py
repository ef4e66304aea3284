"""What the real test servers have in common: finding the program, starting and ending it."""

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import IO

import pytest

from tests.support.ports import wait_for_port

# Before PATH: a virtual environment may hold pynetdicom's apps under the names of DCMTK's tools.
SYSTEM = ("/usr/bin", "/usr/sbin", "/usr/local/bin", "/usr/local/sbin")
PACKAGES = {
    "Orthanc": "orthanc",
    "dcmqrscp": "dcmtk",
    "gdcmscu": "libgdcm-tools",
    "node": "nodejs",
}


def program(name: str) -> str:
    """Return the path of a system program; fail the test with the remedy when it is missing."""
    path = os.pathsep.join([*SYSTEM, os.environ.get("PATH", "")])
    found = shutil.which(name, path=path)
    if found is None:
        package = PACKAGES.get(name, "dcmtk")
        pytest.fail(f"{name} is not installed: apt-get install {package}, or run bin/test")
    return found


def run(*arguments: str | Path) -> str:
    """Run a tool to its end and return what it printed; fail with that when it fails."""
    name, *rest = map(str, arguments)
    done = subprocess.run(
        [program(name), *rest],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=240,
        text=True,
        errors="replace",
    )
    if done.returncode:
        pytest.fail(f"{name} ended with {done.returncode}:\n{done.stdout[-4000:]}")
    return done.stdout


class ServerProcess:
    """A server in its own process group, its output in a file."""

    def __init__(self, arguments: list[str], log: Path, ports: tuple[int, ...]) -> None:
        self._arguments = arguments
        self._log = log
        self._ports = ports
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The process id."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start it and wait until it listens."""
        output: IO[bytes]
        with self._log.open("ab") as output:
            self._process = subprocess.Popen(
                self._arguments, stdout=output, stderr=output, start_new_session=True
            )
        for port in self._ports:
            if not wait_for_port(port):
                self.stop()
                tail = self._log.read_text(errors="replace")[-4000:]
                pytest.fail(f"{self._arguments[0]} does not listen on port {port}:\n{tail}")

    def stop(self) -> None:
        """End it and what it has started."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._signal(signal.SIGKILL)
            self._process.wait(10)
        self._end_children()
        self._process = None

    def kill(self) -> None:
        """End it without warning, as a crash would."""
        self._signal(signal.SIGKILL)
        if self._process is not None:
            self._process.wait(10)
            self._end_children()
            self._process = None

    def _end_children(self) -> None:
        """Kill what it left behind, and wait until their sockets are closed."""
        self._signal(signal.SIGKILL)
        deadline = time.monotonic() + 2
        while self._signal(signal.SIGCONT) and time.monotonic() < deadline:
            time.sleep(0.01)

    def _signal(self, number: signal.Signals) -> bool:
        """Whether anybody of the group is there to get it."""
        if self._process is None:
            return False
        try:
            os.killpg(self._process.pid, number)
        except ProcessLookupError:
            return False
        return True
