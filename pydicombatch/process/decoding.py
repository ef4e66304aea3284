"""Decompression by child processes: a decoder that crashes or hangs ends none of ours (S05)."""

from errno import errorcode
from pathlib import Path

from pydicombatch.process.decompress import KeptError
from pydicombatch.process.messages import Job, Refused
from pydicombatch.process.workers import Workers


class ChildDecoder:
    """Decompresses as `decompress.decompress` does, in other processes; safe in several threads.

    Parameters
    ----------
    workers
        Processes without a recipe.
    """

    def __init__(self, workers: Workers) -> None:
        self._workers = workers

    def __call__(self, source: Path, target: Path) -> None:
        """Write an instance as Explicit VR Little Endian, durably, with mode 0600.

        Raises
        ------
        KeptError
            If it cannot be decoded, or its decoder crashes or takes too long.
        OSError
            If `source` cannot be read or `target` cannot be written.
        FatalError
            If no process can be started.
        """
        done = self._workers.carry_out(Job(source, target))
        if not isinstance(done, Refused):
            return
        if done.errno:
            raise OSError(done.errno, errorcode.get(done.errno, "error"))
        raise KeptError(done.reason)
