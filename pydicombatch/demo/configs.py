"""The two configurations of the demo: what an operator would write, for the demo archive."""

import csv
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydicom import Dataset

from pydicombatch.core.errors import ConfigError

FIND_RETURNS = (
    "PatientName",
    "PatientBirthDate",
    "PatientSex",
    "StudyDate",
    "StudyDescription",
    "AccessionNumber",
    "Modality",
    "SeriesNumber",
    "SeriesDescription",
    "BodyPartExamined",
    "NumberOfSeriesRelatedInstances",
    "SeriesInstanceUID",
)
_PRIVATE, _FILE = 0o700, 0o600


def write_configs(
    directory: Path,
    archive_port: int,
    local_port: int,
    *,
    instances: Iterable[Dataset],
    archive_aet: str = "DEMO_PACS",
    local_aet: str = "DEMO_STORE",
) -> tuple[Path, Path]:
    """Write a C-FIND and a C-MOVE configuration with their batch files; files there are replaced.

    The C-FIND asks at SERIES level, one row a study, and collects `found/library.csv`; the C-MOVE
    retrieves every series, a row each, into `images`.

    Parameters
    ----------
    directory
        Where the files go; made when it is missing.
    archive_port, local_port
        TCP ports of the demo archive and of our storage SCP.
    instances
        What the archive holds; the rows are taken from it.
    archive_aet, local_aet
        Their AE titles.

    Returns
    -------
    The paths of the C-FIND and of the C-MOVE configuration, absolute.

    Raises
    ------
    ConfigError
        If the directory cannot be written.
    """
    place = directory.absolute()
    held = tuple(instances)
    common = {
        "pacs": {"hostname": "127.0.0.1", "port": archive_port, "aet": archive_aet},
        "local": {"port": local_port, "aet": local_aet, "bind": "127.0.0.1"},
    }
    try:
        place.mkdir(mode=_PRIVATE, parents=True, exist_ok=True)
        _write_batch(place / "studies.csv", ("PatientID", "StudyInstanceUID"), held)
        _write_batch(place / "series.csv", _SERIES_COLUMNS, held)
        return (
            _write(place / "c-find.yml", _FIND_TITLE, common | _find_sections(place)),
            _write(place / "c-move.yml", _MOVE_TITLE, common | _move_sections(place)),
        )
    except OSError as exc:
        raise ConfigError.of(
            f"The demo cannot write its files into {directory} ({os.strerror(exc.errno or 0)})",
            "Choose a directory that you may write to",
        ) from exc


_FIND_TITLE = "A row a study: which series has it? The answers go into found/library.csv"
_MOVE_TITLE = "A row a series: send it to us. The instances go below images/"
_SERIES_COLUMNS = ("PatientID", "StudyInstanceUID", "SeriesInstanceUID")


def _find_sections(place: Path) -> dict[str, Any]:
    return {
        "request": {
            "type": "c-find",
            "model": "study",
            "elements": ["QueryRetrieveLevel=SERIES", *FIND_RETURNS],
            "elements_batch_file": _text(place / "studies.csv"),
        },
        "output": {"directory": _text(place / "found"), "library_file": "library.csv"},
    }


def _move_sections(place: Path) -> dict[str, Any]:
    return {
        "request": {
            "type": "c-move",
            "model": "patient",
            "elements": ["QueryRetrieveLevel=SERIES"],
            "elements_batch_file": _text(place / "series.csv"),
            "threads": 2,
        },
        "output": {
            "directory": _text(place / "images"),
            "directory_structure": "PatientID/StudyInstanceUID/SeriesInstanceUID",
            "filename": "SOPInstanceUID",
            "database_file": "retrieved.csv",
        },
    }


def _text(path: Path) -> str:
    """Refuse what the configuration would take for the name of an environment variable."""
    if "${" in str(path):
        raise ConfigError.of(
            "The demo's directory has '${' in its name, which stands for an environment variable",
            "Choose a directory with another name",
        )
    return str(path)


def _write_batch(file: Path, columns: Sequence[str], instances: Iterable[Dataset]) -> None:
    rows = sorted({tuple(str(ds[column].value) for column in columns) for ds in instances})
    with file.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)
    file.chmod(_FILE)


def _write(file: Path, title: str, sections: dict[str, Any]) -> Path:
    text = yaml.safe_dump(sections, sort_keys=False, allow_unicode=True, width=1000)
    file.write_text(f"# {title}\n\n{text}", encoding="utf-8")
    file.chmod(_FILE)
    return file
