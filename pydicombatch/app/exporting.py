"""The export of elements: from the ledger's instances to one table."""

import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path

from pydicombatch.app.extraction import Extraction
from pydicombatch.core.elements import parse_path
from pydicombatch.ledger.lock import StateLock
from pydicombatch.ledger.reading import LedgerReader
from pydicombatch.report.export import parts, tables
from pydicombatch.report.export.headers import Wanted
from pydicombatch.report.export.work import carry_out
from pydicombatch.store.tree import create

FIRST = "SOPInstanceUID"
DEFAULT = (
    FIRST,
    "SOPClassUID",
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "PatientID",
    "PatientSex",
    "PatientAge",
    "PatientBirthDate",
    "StudyDate",
    "StudyTime",
    "AccessionNumber",
    "StudyDescription",
    "SeriesDescription",
    "SeriesNumber",
    "InstanceNumber",
    "Modality",
    "BodyPartExamined",
    "Manufacturer",
    "ManufacturerModelName",
    "ProtocolName",
    "KVP",
    "SliceThickness",
    "PixelSpacing",
    "ImageOrientationPatient",
    "ImagePositionPatient",
    "Rows",
    "Columns",
    "NumberOfFrames",
    "PhotometricInterpretation",
    "BitsStored",
    "RescaleSlope",
    "RescaleIntercept",
)


@dataclass(frozen=True, slots=True)
class Exported:
    """What became of the instances."""

    rows: int
    findings: Counter[str]  # missing, changed, unreadable -> instances
    resumed: int  # instances that an earlier export had read already


def export(
    extraction: Extraction,
    output: Path,
    named: Sequence[str] = (),
    on_part: Callable[[int], object] = lambda _: None,
    on_finding: Callable[[str, str], None] = lambda *_: None,
) -> Exported:
    """Write chosen elements of all stored instances into a table, a row each.

    Parameters
    ----------
    extraction
        Whose instances.
    output
        A name in .csv or .parquet; the file appears when it is whole, and replaces another one.
    named
        Elements, as in `request.elements`; a list of usual ones if there are none.
    on_part
        Hears how many more instances have been read.
    on_finding
        Hears of instances without a row: why, and their path.

    Raises
    ------
    ConfigError
        If nothing was run yet, the table has another name, or pyarrow is not installed.
    ElementError
        If an element does not exist.
    HeldError
        If another export of this extraction goes on.
    FatalError
        If something cannot be written.
    """
    tables.check(output)
    paths = tuple(dict.fromkeys([FIRST, *map(parse_path, named or DEFAULT)]))
    folder = extraction.config.state_directory / parts.FOLDER
    root = extraction.config.output.directory
    with ExitStack() as stack:
        ledger = stack.enter_context(closing(extraction.ledger()))
        create(folder, "state.directory")
        lock = StateLock(folder)
        stack.callback(lock.release)
        for file in folder.glob(f"{'?' * 64}.[0-9]*"):
            file.unlink()  # parts that a killed process was at
        instances = ledger.counts().instances
        processes = max(1, min(os.cpu_count() or 1, -(-instances // parts.TOGETHER)))
        sink = stack.enter_context(tables.opened(output, ("path", *paths)))
        rows = resumed = 0
        findings: Counter[str] = Counter()
        for part in carry_out(root, folder, paths, _wanted(ledger), processes):
            found = list(parts.read(part.file))
            good = [one for one in found if not one.finding]
            sink.add(good)
            rows += len(good)
            resumed += part.instances if part.resumed else 0
            for one in found:
                if one.finding:
                    findings[one.finding] += 1
                    on_finding(one.finding, one.path)
            on_part(part.instances)
    for file in folder.glob("*.jsonl"):
        file.unlink()
    return Exported(rows, findings, resumed)


def _wanted(ledger: LedgerReader) -> Iterator[Wanted]:
    for path, size, digest in ledger.instances():
        yield Wanted(path, size, digest)
