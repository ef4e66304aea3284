"""What `check` looks at before anything is sent; each finding names its remedy."""

import errno
import os
import shutil
import socket
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from pydicombatch.core.errors import PydicombatchError
from pydicombatch.core.model import Verdict
from pydicombatch.core.ports import Archive

LEAST_FREE = 1_000_000_000  # bytes; less is said to be too little for images
ANSWER = 5.0  # seconds that a port of this machine may take


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at; no problem means it is well."""

    subject: str
    detail: str
    problem: str = ""
    remedy: str = ""
    exit_code: int = 0  # what a run would end with

    @property
    def is_well(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problem


def directory(subject: str, path: Path) -> Iterator[Check]:
    """Look whether files can be made in a directory, or in the nearest one above it that exists."""
    place = path.absolute()
    try:
        while not place.exists() and place != place.parent:
            place = place.parent
        with tempfile.TemporaryFile(dir=place):
            pass
    except OSError as exc:
        problem = f"{subject} cannot be written ({type(exc).__name__})"
        yield Check(subject, str(path), problem, "Create it or change its owner or permissions", 3)
        return
    yield Check(subject, str(path))
    free = shutil.disk_usage(place).free
    if free < LEAST_FREE:
        problem = f"Only {free / 1e9:.2f} GB are free for {subject}"
        yield Check("free space", f"{free / 1e9:.2f} GB", problem, "Make space on that disk", 3)
    else:
        yield Check("free space", f"{free / 1e9:.0f} GB for {subject}")


def port(bind: str, number: int) -> Check:
    """Look whether our storage SCP could listen."""
    family = socket.AF_INET6 if ":" in bind else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((bind, number))
            probe.listen(1)
    except OSError as exc:
        return Check("local.port", str(number), *_unbound(exc, number, bind), 2)
    return Check("local.port", f"{number} is free")


def listening(bind: str, number: int) -> Check:
    """Look whether our storage SCP, or anything, answers on its port of this machine."""
    try:
        with socket.create_connection((bind or "localhost", number), ANSWER):
            return Check("local.port", f"{number} answers")
    except OSError as exc:
        return Check(
            "local.port",
            str(number),
            f"Nothing answers on port {number} ({type(exc).__name__})",
            "Look into run.log, and start the run again if it is stuck",
            1,
        )


def _unbound(exc: OSError, number: int, bind: str) -> tuple[str, str]:
    if exc.errno == errno.EADDRINUSE:
        return (
            f"Port {number} is in use by another program",
            "Set local.port to a free one and register it at the archive, or end that program",
        )
    if exc.errno in {errno.EACCES, errno.EPERM}:
        return (
            f"Port {number} needs privileges that process {os.getpid()} does not have",
            "Choose a port above 1023 and register it at the archive",
        )
    return (
        f"Cannot listen on port {number} of '{bind}' ({type(exc).__name__})",
        "Set local.bind to an address of this machine, or leave it out",
    )


def archive(name: str, connect: Callable[[], Archive]) -> Iterator[Check]:
    """Look whether the archive accepts our association with what will be asked, and a C-ECHO."""
    session = connect()
    try:
        session.open()
        yield Check("association", f"accepted by {name}")
        answer = session.echo()
    except PydicombatchError as exc:
        yield Check("archive", name, exc.problem, exc.remedy, 3)
        return
    finally:
        session.close()
    if answer.verdict is Verdict.DONE:
        yield Check("C-ECHO", f"answered by {name}")
    else:
        yield Check("C-ECHO", name, answer.reason, answer.remedy, 3)
