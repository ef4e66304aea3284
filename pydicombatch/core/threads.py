"""Threads that either run or say at once that they cannot."""

import mmap
import threading

ROOM = 32 << 20  # bytes of address space: a stack of 8 MiB, and what its first steps take


def begin(thread: threading.Thread) -> None:
    """Start a thread, if there is room for it.

    `Thread.start` waits for ever for a thread that finds no memory for its first steps.

    Raises
    ------
    MemoryError
        If there is none.
    RuntimeError
        If the system allows no more threads.
    """
    try:
        mmap.mmap(-1, ROOM).close()
    except OSError:
        raise MemoryError from None
    thread.start()
