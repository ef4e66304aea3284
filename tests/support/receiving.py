"""A receiver for a test, as a thread or as a process, and what it announced."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydicombatch.core.attribution import Expectation
from pydicombatch.core.model import Arrival, Identifiers
from pydicombatch.receive.process.parent import ProcessReceiver
from pydicombatch.receive.server.receiver import ThreadReceiver
from pydicombatch.receive.server.settings import Limits, Settings

COMPILED = ContextVar("compiled", default=True)  # whether compiled code is used
EVERYTHING = Expectation(1, 1, (("PatientID", frozenset({"SYN001"})),))


@dataclass
class Heard:
    """What a receiver announced."""

    spool: Path
    receiver: ThreadReceiver | ProcessReceiver
    arrivals: list[Arrival] = field(default_factory=list)
    gate: threading.Event = field(default_factory=threading.Event)

    @property
    def port(self) -> int:
        return self.receiver.port

    def announce(self, arrival: Arrival) -> None:
        self.gate.wait(60)
        self.arrivals.append(arrival)

    def wait(self, count: int, seconds: float = 20.0) -> list[Arrival]:
        until(lambda: len(self.arrivals) >= count, seconds)
        return self.arrivals

    def content(self, arrival: Arrival) -> bytes:
        """Return the data set as it lies in the spool, without what stands in front."""
        raw = (self.spool / arrival.file.name).read_bytes()
        return raw[144 + int.from_bytes(raw[140:144], "little") :]

    def files(self) -> list[str]:
        return sorted(path.name for path in self.spool.iterdir() if path.suffix == ".dcm")


def proportional_set_size(pid: int) -> int:
    """Return the share of memory of a process, kB."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))


def until(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.01)


@contextmanager
def receiver(
    spool: Path,
    *,
    process: bool = False,
    retained: Callable[[Identifiers], tuple[int, ...]] = lambda _: (),
    expect: bool = True,
    limits: Limits | None = None,
    **settings: Any,
) -> Iterator[Heard]:
    spool.mkdir(exist_ok=True)
    settings.setdefault("floor", 0)
    settings.setdefault("compiled", COMPILED.get())
    made = Settings(0, "OURS", str(spool), "run", limits=limits or Limits(), **settings)
    one = (ProcessReceiver if process else ThreadReceiver)(made, retained)
    heard = Heard(spool, one)
    heard.gate.set()
    one.start(heard.announce)
    try:
        if expect:
            one.expect(EVERYTHING)
        yield heard
    finally:
        heard.gate.set()
        one.close()
