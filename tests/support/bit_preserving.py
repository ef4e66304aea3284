"""DCMTK's `storescp +B`, which keeps every data set byte for byte: what a sender really sent."""

import shutil
from pathlib import Path
from typing import Self

from tests.support.ports import free_port
from tests.support.servers import ServerProcess, program
from tests.support.written import data_set_of


class BitPreservingServer:
    """storescp +B on loopback, called OURS; a context manager.

    Parameters
    ----------
    directory
        Where it keeps its files; made when missing.
    """

    def __init__(self, directory: Path) -> None:
        self.port = free_port()
        self._files = directory / "files"
        self._files.mkdir(parents=True)
        arguments = ["-aet", "OURS", "-od", str(self._files), "+B", "+xa", "+uf", str(self.port)]
        log = directory / "storescp.log"
        self._server = ServerProcess([program("storescp"), *arguments], log, (self.port,))

    def __enter__(self) -> Self:
        self._server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.stop()

    def data_sets(self) -> list[bytes]:
        """Return the data sets it holds, sorted, and forget them."""
        found = sorted(data_set_of(path.read_bytes()) for path in self._files.iterdir())
        shutil.rmtree(self._files)
        self._files.mkdir()
        return found
