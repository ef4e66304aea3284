"""S05: a pixel decoder that crashes, hangs or wants all memory costs its own images alone."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from pydicom.uid import ExplicitVRLittleEndian

from tests.conftest import OrthancFactory
from tests.support.decoders import CRASHES, GREEDY, HANGS, install
from tests.support.extraction import AET, ROOT, Job, command, data_set_of
from tests.support.instances import Spec, file
from tests.support.orthanc import OrthancServer
from tests.support.ports import free_port

LOCAL = free_port()
PICTURES = {Spec(1, 1, number): file(Spec(1, 1, number), "jpeg-lossless") for number in (1, 2)}
SIMPLE = {Spec(1, 1, number): file(Spec(1, 1, number), "rle") for number in (3, 4)}
PATIENT = """
import sys, time
from pathlib import Path
from pydicombatch.process.decoding import ChildDecoder
from pydicombatch.process.decompress import KeptError
from pydicombatch.process.workers import Workers

source, target = map(Path, sys.argv[1:])
with Workers(None, 1, longest=1.5) as pool:
    try:
        ChildDecoder(pool)(source, target)
    except KeptError as exc:
        print(exc)
print(target.exists())
"""


@pytest.fixture(scope="module")
def orthanc(start_orthanc: OrthancFactory) -> OrthancServer:
    server = start_orthanc([(AET, LOCAL)])
    server.load([*PICTURES.values(), *SIMPLE.values()])
    return server


@pytest.mark.parametrize("what", [CRASHES, GREEDY], ids=["crash", "memory"])
def test_s05_a_decoder_that_crashes_costs_no_run_and_no_instance(
    orthanc: OrthancServer, tmp_path: Path, what: str
) -> None:
    """What cannot be decoded is stored as it was sent; everything else is decompressed."""
    rows = [["StudyInstanceUID"], [Spec(1, 1, 1).study_uid]]
    job = Job(tmp_path, orthanc, LOCAL, "c-move", ["QueryRetrieveLevel=STUDY"], rows)
    job.change("output", decompress=True)
    search = os.pathsep.join([str(ROOT), str(install(tmp_path, what))])
    ended = command("run", str(job.config), cwd=tmp_path, environ={"PYTHONPATH": search})
    assert ended.code == 0, ended.text
    found = job.stored()
    assert set(found) == {spec.sop_uid for spec in (*PICTURES, *SIMPLE)}
    for spec, sent in PICTURES.items():
        assert found[spec.sop_uid].data == data_set_of(sent)
        assert found[spec.sop_uid].syntax != ExplicitVRLittleEndian
    for spec in SIMPLE:
        assert found[spec.sop_uid].syntax == ExplicitVRLittleEndian
    assert "decompress.kept" in job.log()


def test_s05_a_decoder_that_hangs_is_ended_in_time(tmp_path: Path) -> None:
    source, target = tmp_path / "in.dcm", tmp_path / "out.dcm"
    source.write_bytes(next(iter(PICTURES.values())))
    search = os.pathsep.join([str(ROOT), str(install(tmp_path, HANGS))])
    begin = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", PATIENT, str(source), str(target)],
        capture_output=True, text=True, timeout=180, env={**os.environ, "PYTHONPATH": search},
    )  # fmt: skip
    assert time.monotonic() - begin < 120, "it would have slept for 600 s"
    kept = "The process that decodes it ended twice, or took too long"
    assert done.stdout.splitlines() == [kept, "False"], done.stderr
