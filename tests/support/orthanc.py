"""A real Orthanc on loopback, in a directory of its own."""

import json
import urllib.request
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Self

from tests.support.ports import LOOPBACK, free_port
from tests.support.servers import ServerProcess, program

Modality = tuple[str, int]  # AE title, port on loopback
DICOM_WEB = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")


class OrthancServer:
    """Orthanc with the given move destinations; a context manager.

    Parameters
    ----------
    directory
        Where it keeps its files; made when missing.
    modalities
        AE titles it knows, with their ports on loopback.
    settings
        More of its configuration, replacing what is set here.
    plugins
        Files of plug-ins, for instance `DICOM_WEB`.
    aet
        Its own AE title.
    """

    def __init__(
        self,
        directory: Path,
        modalities: Iterable[Modality] = (),
        settings: Mapping[str, object] | None = None,
        plugins: Iterable[Path] = (),
        aet: str = "ORTHANC",
    ) -> None:
        self.aet = aet
        self.port = free_port()
        self.http_port = free_port()
        directory.mkdir(parents=True, exist_ok=True)
        configuration = directory / "orthanc.json"
        storage = str(directory / "storage")
        configuration.write_text(
            json.dumps(
                {
                    "Name": aet,
                    "DicomAet": aet,
                    "DicomPort": self.port,
                    "HttpPort": self.http_port,
                    "StorageDirectory": storage,
                    "IndexDirectory": storage,
                    "RemoteAccessAllowed": False,
                    "AuthenticationEnabled": False,
                    "DicomAlwaysAllowEcho": True,
                    "DicomAlwaysAllowFind": True,
                    "DicomAlwaysAllowFindWorklist": True,
                    "DicomAlwaysAllowGet": True,
                    "DicomAlwaysAllowMove": True,
                    "DicomAlwaysAllowStore": True,
                    "DicomCheckCalledAet": False,
                    "UnknownSopClassAccepted": True,
                    "DicomModalities": {
                        f"modality{number}": [title, LOOPBACK, port]
                        for number, (title, port) in enumerate(modalities)
                    },
                    "Plugins": [str(plugin) for plugin in plugins],
                    **(settings or {}),
                },
                indent=2,
            )
        )
        self._server = ServerProcess(
            [program("Orthanc"), str(configuration)],
            directory / "orthanc.log",
            (self.port, self.http_port),
        )

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._server.pid

    def start(self) -> None:
        """Start it; also again after a stop, with what it holds."""
        self._server.start()

    def stop(self) -> None:
        """End it."""
        self._server.stop()

    def kill(self) -> None:
        """End it as a crash would."""
        self._server.kill()

    def load(self, instances: Iterable[bytes | Path]) -> None:
        """Store instances, files or their content, by its REST interface."""
        for one in instances:
            self._post("/instances", one.read_bytes() if isinstance(one, Path) else one)

    def instances(self) -> set[str]:
        """Return the SOP Instance UIDs it holds."""
        found = self._get("/instances?expand")
        return {one["MainDicomTags"]["SOPInstanceUID"] for one in found}

    def file(self, sop_instance_uid: str) -> bytes:
        """Return the Part 10 file of an instance as it was loaded."""
        (identity,) = json.loads(self._post("/tools/lookup", sop_instance_uid.encode()))
        return self._fetch(f"/instances/{identity['ID']}/file")

    def delete_all(self) -> None:
        """Forget everything."""
        for patient in self._get("/patients"):
            request = urllib.request.Request(self._url(f"/patients/{patient}"), method="DELETE")
            urllib.request.urlopen(request, timeout=60).close()

    def _get(self, path: str) -> list[dict[str, dict[str, str]]]:
        found: list[dict[str, dict[str, str]]] = json.loads(self._fetch(path))
        return found

    def _fetch(self, path: str) -> bytes:
        with urllib.request.urlopen(self._url(path), timeout=60) as answer:
            content: bytes = answer.read()
        return content

    def _post(self, path: str, body: bytes) -> bytes:
        request = urllib.request.Request(self._url(path), data=body, method="POST")
        with urllib.request.urlopen(request, timeout=60) as answer:
            content: bytes = answer.read()
        return content

    def _url(self, path: str) -> str:
        return f"http://{LOOPBACK}:{self.http_port}{path}"
