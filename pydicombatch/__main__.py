"""`python -m pydicombatch` and the `pydicombatch` command."""

import os
import sys

from pydicombatch.cli import commands


def main() -> None:
    """Run the command line; exits with the code of what happened."""
    fill_standard_streams()
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


if __name__ == "__main__":
    main()
