"""What an extraction leaves, read back without the program's own readers."""

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from io import BytesIO
from pathlib import Path

from pydicom import Dataset, dcmread


@dataclass(frozen=True)
class File:
    """One stored instance."""

    path: Path
    syntax: str
    data: bytes  # the encoded data set, without File Meta Information

    @property
    def digest(self) -> str:
        """SHA-256 of the data set."""
        return sha256(self.data).hexdigest()

    @property
    def dataset(self) -> Dataset:
        """The data set, decoded."""
        return dcmread(self.path)


def write_csv(path: Path, rows: Iterable[Sequence[str]], encoding: str = "utf-8") -> None:
    """Write a CSV, the header first."""
    with path.open("w", encoding=encoding, newline="") as stream:
        csv.writer(stream).writerows(rows)


def rows_of(path: Path) -> list[dict[str, str]]:
    """Read a CSV."""
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def header_of(path: Path) -> list[str]:
    """Read the first line of a CSV."""
    with path.open(encoding="utf-8", newline="") as stream:
        return next(csv.reader(stream))


def stored(directory: Path) -> dict[str, File]:
    """Read every .dcm file outside the state directory; none may hold the same instance twice."""
    found: dict[str, File] = {}
    for path in sorted(directory.rglob("*.dcm")):
        if ".pydicombatch" in path.relative_to(directory).parts:
            continue
        raw = path.read_bytes()
        meta = dcmread(BytesIO(raw), specific_tags=["SOPInstanceUID"])
        uid = str(meta.SOPInstanceUID)
        assert str(meta.file_meta.MediaStorageSOPInstanceUID) == uid
        assert uid not in found, f"{uid} is stored twice"
        found[uid] = File(path, str(meta.file_meta.TransferSyntaxUID), data_set_of(raw))
    return found


def data_set_of(raw: bytes) -> bytes:
    """Cut the data set, as it is encoded, out of a Part 10 file (PS3.10 7.1)."""
    assert raw[128:132] == b"DICM"
    length = int.from_bytes(raw[140:144], "little")  # (0002,0000)
    return raw[144 + length :]


def everything_written(folder: Path) -> Iterable[tuple[Path, int]]:
    """Return every path below a folder with its permission bits."""
    return [(path, path.lstat().st_mode & 0o777) for path in sorted(folder.rglob("*"))]
