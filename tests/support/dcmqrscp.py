"""A real dcmqrscp of DCMTK on loopback, in a directory of its own; it offers the psonly model."""

from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Self

from pydicom import dcmread

from tests.support.orthanc import Modality
from tests.support.ports import LOOPBACK, free_port
from tests.support.servers import ServerProcess, program, run

CONFIGURATION = """\
NetworkTCPPort  = {port}
MaxPDUSize      = 131072
MaxAssociations = {associations}

HostTable BEGIN
{hosts}
HostTable END

VendorTable BEGIN
VendorTable END

AETable BEGIN
{aet} {storage} RW (5000, 4096mb) {callers}
AETable END
"""


class DcmqrscpServer:
    """dcmqrscp with the given move destinations; a context manager.

    Parameters
    ----------
    directory
        Where it keeps its files; made when missing.
    modalities
        AE titles it knows, with their ports on loopback.
    aet
        Its own AE title; any other is rejected.
    options
        More of its command line.
    callers
        Who may call: ANY, or `peer0`, the first of the modalities.
    """

    def __init__(
        self,
        directory: Path,
        modalities: Iterable[Modality] = (),
        aet: str = "DCMQRSCP",
        options: Iterable[str] = (),
        associations: int = 32,
        callers: str = "ANY",
    ) -> None:
        self.aet = aet
        self.port = free_port()
        self._storage = directory / "storage"
        self._storage.mkdir(parents=True, exist_ok=True)
        configuration = directory / "dcmqrscp.cfg"
        configuration.write_text(
            CONFIGURATION.format(
                port=self.port,
                associations=associations,
                aet=aet,
                callers=callers,
                storage=self._storage,
                hosts="\n".join(
                    f"peer{number} = ({title}, {LOOPBACK}, {port})"
                    for number, (title, port) in enumerate(modalities)
                ),
            )
        )
        self._server = ServerProcess(
            [program("dcmqrscp"), "--config", str(configuration), *options],
            directory / "dcmqrscp.log",
            (self.port,),
        )

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start it; also again after a stop, with what it holds."""
        self._server.start()

    def stop(self) -> None:
        """End it."""
        self._server.stop()

    def kill(self) -> None:
        """End it and the processes of its associations, as a crash would."""
        self._server.kill()

    def load(self, instances: Iterable[bytes | Path]) -> None:
        """Store instances, files or their content, by C-STORE in the syntaxes they are in."""
        with TemporaryDirectory() as folder:
            for number, one in enumerate(instances):
                content = one.read_bytes() if isinstance(one, Path) else one
                (Path(folder) / f"{number:06}.dcm").write_bytes(content)
            run(
                "dcmsend", "--scan-directories", "--decompress-never", "--no-halt",
                "--no-uid-checks", "-aec", self.aet, LOOPBACK, str(self.port), folder,
            )  # fmt: skip

    def instances(self) -> set[str]:
        """Return the SOP Instance UIDs it holds."""
        files = (file for file in self._storage.rglob("*") if file.name != "index.dat")
        return {
            str(dcmread(file, specific_tags=["SOPInstanceUID"]).SOPInstanceUID)
            for file in files
            if file.is_file()
        }
