"""What a terminal shows of a run: two bars, or a line now and then where there is no terminal."""

import sys
import time
from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Any

from pydicombatch.cli.say import say
from pydicombatch.core.log import printable
from pydicombatch.core.model import RequestType
from pydicombatch.core.secrets import conceal
from pydicombatch.runner.events import (
    Doubted,
    Event,
    Expanded,
    Finished,
    InstanceStored,
    Listening,
    Resumed,
    Retrieved,
    Retrying,
    Started,
    Waiting,
)

if TYPE_CHECKING:
    from tqdm import tqdm

BANNER = r"""
             _ _                     _           _       _
 _ __  _   _| (_) ___ ___  _ __ ___ | |__   __ _| |_ ___| |__
| '_ \| | | | | |/ __/ _ \| '_ ` _ \| '_ \ / _` | __/ __| '_ \
| |_) | |_| | | | (_| (_) | | | | | | |_) | (_| | || (__| | | |
| .__/ \__, |_|_|\___\___/|_| |_| |_|_.__/ \__,_|\__\___|_| |_|
|_|    |___/
"""
PERIOD = 30.0  # seconds between two lines
MEGABYTE = 1e6


class Display:
    """Follows the events of a run.

    Parameters
    ----------
    kind
        Type of the requests.
    bars
        Whether to draw bars; else a line is printed now and then.
    """

    def __init__(self, kind: RequestType, *, bars: bool) -> None:
        self._kind = kind
        self._bars = bars
        self._requests: tqdm[Any] | None = None
        self._instances: tqdm[Any] | None = None
        self._total = 0
        self._done = 0
        self._stored = 0
        self._bytes = 0
        self._eta = ""
        self._said = time.monotonic()

    def __call__(self, event: Event) -> None:
        """Show an event."""
        shows: dict[type[Any], Callable[[Any], None]] = {
            Started: self._start,
            Listening: self._listen,
            Expanded: self._expand,
            Retrieved: self._retrieve,
            Finished: self._finish,
            InstanceStored: self._store,
            Waiting: self._pause,
            Resumed: self._resume,
            Retrying: self._retry,
            Doubted: self._doubt,
        }
        shows[type(event)](event)

    def say(self, line: str) -> None:
        """Print a line above the bars."""
        if self._requests is not None:
            self._requests.write(printable(conceal(line)))
        else:
            say(line)

    def close(self) -> None:
        """Leave the bars as they are."""
        for bar in (self._instances, self._requests):
            if bar is not None:
                bar.close()
        self._requests = None

    def _start(self, event: Started) -> None:
        self._total = event.requests
        if event.requests < event.lines:
            self.say(f"{event.requests} of {event.lines} requests are left")
        if not event.requests:
            return
        self.say("To stop extraction, press CTRL-C. Extraction can be resumed at a later time.")
        if not self._bars:
            return
        from tqdm import tqdm  # noqa: PLC0415 - where there is no terminal nobody waits for it

        self._requests = tqdm(total=event.requests, unit="rqst", file=sys.stderr, position=0)
        self._describe()
        if self._kind.retrieves:
            self._instances = tqdm(
                desc="Storing instances", unit="inst", file=sys.stderr, position=1
            )

    def _listen(self, event: Listening) -> None:
        self.say(f"Starting local storage SCP server on port {event.port}")

    def _resume(self, _: Resumed) -> None:
        self._describe()
        self.say("Requests leave again")

    def _retry(self, event: Retrying) -> None:
        self.say(f"Line {event.line}: {event.reason}; tried again in {event.seconds:.0f} s")

    def _doubt(self, event: Doubted) -> None:
        self.say(f"Warning: {event.problem}. {event.remedy}. Told once; the end counts them.")

    def _expand(self, event: Expanded) -> None:
        self._total += event.retrieves
        if self._requests is not None:
            self._requests.total = self._total
            self._requests.refresh()

    def _retrieve(self, event: Retrieved) -> None:
        self._count(event.eta)
        if event.reason:
            self.say(f"Line {event.line}, a retrieve: {event.outcome}: {event.reason}")
        self._now_and_then()

    def _count(self, eta: datetime | None) -> None:
        self._done += 1
        self._eta = "" if eta is None else f"ETA {_local(eta)}"
        if self._requests is not None:
            self._requests.set_postfix_str(self._eta, refresh=False)
            self._requests.update()

    def _finish(self, event: Finished) -> None:
        self._count(event.eta)
        if event.reason:
            self.say(f"Line {event.line}: {event.outcome}: {event.reason}")
        self._now_and_then()

    def _store(self, event: InstanceStored) -> None:
        self._stored += 1
        self._bytes += event.size
        if self._instances is not None:
            self._instances.set_postfix_str(f"{self._bytes / MEGABYTE:.1f} MB", refresh=False)
            self._instances.update()
        self._now_and_then()

    def _pause(self, event: Waiting) -> None:
        if self._requests is not None:
            self._requests.set_description("Extraction PAUSED")
        self.say(f"Extraction PAUSED: {event.reason}")

    def _describe(self) -> None:
        if self._requests is not None:
            self._requests.set_description(f"Sending {self._kind} requests ")

    def _now_and_then(self) -> None:
        now = time.monotonic()
        if self._bars or now - self._said < PERIOD:
            return
        self._said = now
        stored = f", {self._stored} instances, {self._bytes / MEGABYTE:.1f} MB"
        shown = stored if self._kind.retrieves else ""
        self.say(f"{self._done} of {self._total} requests{shown} {self._eta}".rstrip())


def _local(moment: datetime) -> str:
    return moment.astimezone().strftime("%Y-%m-%d %H:%M")
