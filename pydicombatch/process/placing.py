"""What of an instance makes its path, read from the file that is to be stored."""

from collections.abc import Iterable
from mmap import ACCESS_READ, mmap
from pathlib import Path

from pydicom import dcmread

from pydicombatch.core import elements, grammar
from pydicombatch.core.element_walk import UnreadableError
from pydicombatch.core.header import of_file
from pydicombatch.core.model import Identifiers
from pydicombatch.process.decompress import FAULTS, inflated, quiet

UNREADABLE = "The instance cannot be read"
HEADER_AT_MOST = 16 << 20  # bytes of a deflated data set in which a value of the path is looked for
IDENTIFYING = {
    "SOPClassUID": "sop_class_uid",
    "SOPInstanceUID": "sop_instance_uid",
    "StudyInstanceUID": "study_instance_uid",
    "SeriesInstanceUID": "series_instance_uid",
    "PatientID": "patient_id",
    "AccessionNumber": "accession_number",
}


class UnusableError(Exception):
    """The instance cannot be placed; the text is a sentence without any value."""


def identified(path: Path) -> Identifiers:
    """Return what a file says it is.

    Raises
    ------
    UnusableError
        If it cannot be read to its end.
    """
    try:
        with path.open("rb") as file, mmap(file.fileno(), 0, access=ACCESS_READ) as data:
            return of_file(data).identifiers
    except (UnreadableError, ValueError) as exc:
        raise UnusableError(UNREADABLE) from exc


def values(source: Path, identifiers: Identifiers, paths: Iterable[str]) -> dict[str, str]:
    """Return the values of elements by their canonical paths, those that identify it always.

    Parameters
    ----------
    source
        A file with File Meta Information.
    identifiers
        Of this file.
    paths
        Elements whose values are needed.

    Raises
    ------
    UnusableError
        If the file names no instance or cannot be read.
    """
    if not identifiers.sop_instance_uid:
        raise UnusableError(UNREADABLE)
    found = {keyword: getattr(identifiers, name) for keyword, name in IDENTIFYING.items()}
    missing = [path for path in paths if path not in found]
    if missing:
        quiet()
        tags = [grammar.steps(path)[0].tag for path in missing]
        try:
            plain, _ = inflated(source, HEADER_AT_MOST)
            dataset = dcmread(plain, specific_tags=tags, stop_before_pixels=True)
            found.update((path, elements.read(dataset, path)) for path in missing)
        except FAULTS as exc:
            raise UnusableError(UNREADABLE) from exc
    return found
