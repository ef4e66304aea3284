"""`python -m pydicombatch` and the `pydicombatch` command."""

import os
import sys
import threading

# NumPy's OpenBLAS starts threads when it is loaded, for algebra that nothing here needs, and
# interrupts the program where it cannot.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from pydicombatch.cli import commands
from pydicombatch.core.log import EventLog


def main() -> None:
    """Run the command line; exits with the code of what happened."""
    fill_standard_streams()
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
