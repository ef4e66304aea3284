"""Files and data sets at the edge: mapped to read, replaced whole to write."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import BinaryIO, Final

import pydicom
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_file_meta_info
from pydicom.uid import UID

from pydicombatch.process.anonymize.instance import DEFLATED, EXPLICIT, IMPLICIT
from pydicombatch.process.anonymize.reading import Encoding

_LARGEST_READ: Final = 1 << 25  # bytes


def file_of(dataset: Dataset) -> bytes:
    """Encode a data set as a file, deflated ones plainly, without touching it."""
    meta = FileMetaDataset(getattr(dataset, "file_meta", None) or FileMetaDataset())
    implicit = bool(dataset.original_encoding[0])
    syntax = meta.get("TransferSyntaxUID") or (IMPLICIT if implicit else EXPLICIT)
    meta.TransferSyntaxUID = UID(EXPLICIT if syntax == DEFLATED else syntax)
    meta.FileMetaInformationGroupLength = 0  # computed when written
    copy = Dataset(dataset)
    encoding = Encoding.of(meta.TransferSyntaxUID)
    stream = DicomBytesIO()
    stream.is_little_endian, stream.is_implicit_VR = True, False
    stream.write(bytes(128) + b"DICM")
    write_file_meta_info(stream, meta, enforce_standard=False)
    pydicom.dcmwrite(
        body := BytesIO(),
        copy,
        implicit_vr=not encoding.explicit,
        little_endian=not encoding.big_endian,
        enforce_file_format=False,
    )
    return stream.getvalue() + body.getvalue()


@contextmanager
def mapped(path: Path) -> Iterator[bytes | mmap]:
    """Read a file, or map one so large that what is only copied should not fill the memory."""
    with path.open("rb") as stream:
        if os.fstat(stream.fileno()).st_size <= _LARGEST_READ:
            yield stream.read()
            return
        with mmap(stream.fileno(), 0, access=ACCESS_READ) as mapping:
            yield mapping


@contextmanager
def replacing(target: Path) -> Iterator[BinaryIO]:
    """Open a temporary file beside the target, which takes its place on success alone."""
    temporary = target.with_name(f".{os.getpid()}-{os.urandom(8).hex()}.part")
    try:
        with open(temporary, "xb", opener=_for_its_owner) as stream:
            yield stream
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


def _for_its_owner(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CLOEXEC, 0o600)


@contextmanager
def given(target: BinaryIO) -> Iterator[BinaryIO]:
    """Collect the output, and hand it on when it is whole."""
    whole = BytesIO()
    yield whole
    target.write(whole.getbuffer())
