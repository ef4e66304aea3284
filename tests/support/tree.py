"""Instances that lie in an output directory and stand in its ledger, without a run."""

from collections.abc import Callable, Iterable
from contextlib import closing
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path, PurePosixPath

import yaml

from pydicombatch.core.model import Arrival, Identifiers, Stored
from pydicombatch.ledger.ledger import Ledger
from tests.support.instances import Spec, file

TOGETHER = 500
BASE = {
    "pacs": {"hostname": "127.0.0.1", "port": 104, "aet": "ORTHANC"},
    "local": {"port": 4006, "aet": "SAMPLE_AE"},
    "request": {"type": "c-move", "elements": ["QueryRetrieveLevel=STUDY", "StudyInstanceUID=1.2"]},
}


def make(
    folder: Path, specs: Iterable[Spec], content: Callable[[Spec], bytes] = file
) -> tuple[Path, list[Path]]:
    """Write a configuration and what it is said to have stored; return it and the files."""
    root = folder / "images"
    (root / ".pydicombatch").mkdir(parents=True)
    config = folder / "config.yml"
    sections = {**BASE, "output": {"directory": str(root)}}
    config.write_text(yaml.safe_dump(sections), encoding="utf-8")
    stored = [_put(root, spec, content(spec)) for spec in specs]
    with closing(Ledger(root / ".pydicombatch" / "ledger.sqlite")) as ledger:
        for first in range(0, len(stored), TOGETHER):
            ledger.record(stored[first : first + TOGETHER], (), datetime.now(UTC))
    return config, [root / one.path for one in stored]


def _put(root: Path, spec: Spec, data: bytes) -> Stored:
    path = PurePosixPath(spec.patient_id, spec.series_uid, f"{spec.sop_uid}.dcm")
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_bytes(data)
    instance = Identifiers(spec.sop_class, spec.sop_uid)
    arrival = Arrival(path, instance, "1.2.840.10008.1.2.1", len(data), ())
    return Stored(arrival, str(path), len(data), sha256(data).hexdigest())
