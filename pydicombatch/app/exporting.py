"""The export of elements: from the ledger's instances to one table."""

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path

from pydicombatch.app.state import reader, with_state_of_its_own
from pydicombatch.config.models import Config
from pydicombatch.core.elements import parse_path
from pydicombatch.ledger.lock import StateLock
from pydicombatch.ledger.reading import LedgerReader
from pydicombatch.report.export import parts, tables
from pydicombatch.report.export.headers import Wanted
from pydicombatch.report.export.work import Part, carry_out
from pydicombatch.report.whole import unfinished_of
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
    config: Config,
    output: Path,
    named: Sequence[str] = (),
    on_part: Callable[[int], object] = lambda _: None,
    on_finding: Callable[[str, str], None] = lambda *_: None,
) -> Exported:
    """Write chosen elements of all stored instances into a table, a row each.

    Parameters
    ----------
    config
        That of the extraction whose instances these are.
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
    state = with_state_of_its_own(config).state_directory
    folder = state / parts.FOLDER
    root = config.output.directory
    with ExitStack() as stack:
        ledger = stack.enter_context(closing(reader(state)))
        create(folder, "state.directory")
        lock = StateLock(folder)
        stack.callback(lock.release)
        parts.begin(folder, unfinished_of(output))
        instances = ledger.counts().instances
        processes = max(1, min(os.cpu_count() or 1, -(-instances // parts.TOGETHER)))
        with tables.opened(output, ("path", *paths)) as sink:
            made = carry_out(root, folder, paths, _wanted(ledger), processes, tables.prepare)
            done = _table(made, sink, on_part, on_finding)
        parts.end(folder)
    return done


def _table(
    made: Iterable[Part],
    sink: tables.Sink,
    on_part: Callable[[int], object],
    on_finding: Callable[[str, str], None],
) -> Exported:
    rows = resumed = 0
    findings: Counter[str] = Counter()
    for part in made:
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
    return Exported(rows, findings, resumed)


def _wanted(ledger: LedgerReader) -> Iterator[Wanted]:
    for path, size, digest in ledger.instances():
        yield Wanted(path, size, digest)
