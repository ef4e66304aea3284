"""Ctrl-C and SIGTERM: the first drains, the second stops at once."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass
class Caught:
    """The first signal that came; 0 for none."""

    number: int = 0

    @property
    def exit_code(self) -> int:
        """What a shell reports for a process that this signal ended."""
        return 128 + (self.number or signal.SIGINT)


@contextmanager
def handled(
    first: Callable[[], None], second: Callable[[], None], say: Callable[[str], None]
) -> Iterator[Caught]:
    """Call `first` at the first signal and `second` at every later one."""
    caught = Caught()

    def on_signal(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - as it is called
        if caught.number:
            say("Stopping at once.")
            second()
            return
        caught.number = number
        say("Stopping: what runs may finish. Once more stops at once.")
        first()

    before = {number: signal.signal(number, on_signal) for number in SIGNALS}
    try:
        yield caught
    finally:
        for number, handler in before.items():  # one that comes late must not end the last steps
            signal.signal(number, signal.SIG_IGN if caught.number else handler)
