"""The whole program against a real Orthanc, once: what `bin/test --quick` runs of these tests."""

import csv
import subprocess
import sys
from pathlib import Path

from pydicom import dcmread

from pydicombatch.demo.configs import write_configs
from pydicombatch.demo.patients import synthetic_instances
from tests.conftest import OrthancFactory
from tests.support.instances import to_bytes
from tests.support.ports import free_port

INSTANCES = synthetic_instances()


def run(config: Path) -> None:
    command = [sys.executable, "-m", "pydicombatch", "run", str(config), "--no-progress"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_find_and_a_move_bring_home_all_that_orthanc_holds(
    start_orthanc: OrthancFactory, tmp_path: Path
) -> None:
    port = free_port()
    orthanc = start_orthanc([("DEMO_STORE", port)])
    orthanc.load(to_bytes(ds) for ds in INSTANCES)
    find, move = write_configs(
        tmp_path, orthanc.port, port, instances=INSTANCES, archive_aet=orthanc.aet
    )

    run(find)
    with (tmp_path / "found" / "library.csv").open(encoding="utf-8", newline="") as stream:
        listed = {row["SeriesInstanceUID"] for row in csv.DictReader(stream)}
    assert listed == {str(ds.SeriesInstanceUID) for ds in INSTANCES}

    run(move)
    stored = [dcmread(file) for file in (tmp_path / "images").rglob("*.dcm")]
    assert len(stored) == len(INSTANCES)
    assert {str(ds.SOPInstanceUID): ds.PixelData for ds in stored} == {
        str(ds.SOPInstanceUID): ds.PixelData for ds in INSTANCES
    }
