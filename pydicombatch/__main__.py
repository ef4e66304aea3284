"""`python -m pydicombatch` and the `pydicombatch` command."""

import atexit
import gc
import os
import signal
import sys
import threading
from types import FrameType


def leave(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - as it is called
    """End at once; while a run goes on its own handlers stand in the place of this one."""
    os._exit(128 + number)


# Before anything that takes time is imported: the interpreter's own way is a traceback
for one in (signal.SIGINT, signal.SIGTERM):
    if signal.getsignal(one) in {signal.default_int_handler, signal.SIG_DFL}:
        signal.signal(one, leave)

# Few objects live in cycles, and nearly all that imports make stay: the default looks through them
# again and again. Before the imports, which it makes a tenth faster.
gc.set_threshold(20_000, 20, 20)
# At the end, too, it would look through all of them, for a quarter of a second
atexit.register(gc.freeze)

# NumPy's OpenBLAS starts threads when it is loaded, for algebra that nothing here needs, and
# interrupts the program where it cannot.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
# Pydantic searches every installed package for plugins, which would see what it validates.
os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")

from pydicombatch.cli import commands  # noqa: E402 - after what must come before
from pydicombatch.cli.streams import Patient  # noqa: E402
from pydicombatch.core.log import EventLog  # noqa: E402


def main() -> None:
    """Run the command line; exits with the code of what happened."""
    os.umask(
        0o077
    )  # whatever it was: what is written is for its owner, who must be able to read it
    fill_standard_streams()
    sys.stdout, sys.stderr = Patient(sys.stdout), Patient(sys.stderr)
    threading.excepthook = name_error
    commands(prog_name="pydicombatch")


def fill_standard_streams() -> None:
    """Replace standard streams that a caller has closed by nothing.

    Else the next file to be opened, an instance perhaps, would get the descriptor of standard
    error, and what a decoder prints there.
    """
    descriptor = os.open(os.devnull, os.O_RDWR)
    while descriptor <= 2:  # noqa: PLR2004 - standard input, output, error
        descriptor = os.dup(descriptor)
    os.close(descriptor)
    for name in ("stdin", "stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "r+", encoding="utf-8"))  # noqa: SIM115, PTH123


def name_error(failed: threading.ExceptHookArgs) -> None:
    """Log the type of an error that ends a thread; its text and its traceback may hold values."""
    EventLog("pydicombatch").error("thread.failed", error=failed.exc_type.__name__)


if __name__ == "__main__":
    main()
