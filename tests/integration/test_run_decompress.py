"""`output.decompress: true` on what a real Orthanc sends: Explicit VR Little Endian in the end."""

from io import BytesIO

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.uid import ExplicitVRLittleEndian

from tests.conftest import OrthancFactory
from tests.support.extraction import AET, Job
from tests.support.instances import ENCODINGS, PRIVATE, SECONDARY_CAPTURE, Spec, file, pixels
from tests.support.orthanc import OrthancServer
from tests.support.ports import free_port
from tests.support.written import File

LOCAL_PORT = free_port()
SPECS = {
    encoding: Spec(1, 1, number, bits=8, sop_class=SECONDARY_CAPTURE, modality="OT", rows=32)
    for number, encoding in enumerate(ENCODINGS, start=1)
}
FILES = {encoding: file(spec, encoding) for encoding, spec in SPECS.items()}
STRANGE = Spec(1, 1, 30, sop_class=PRIVATE, modality="OT")


@pytest.fixture(scope="module")
def orthanc(start_orthanc: OrthancFactory) -> OrthancServer:
    server = start_orthanc([(AET, LOCAL_PORT)])
    server.load([*FILES.values(), file(STRANGE, "jpeg-lossless")])
    return server


@pytest.fixture(scope="module")
def job(orthanc: OrthancServer, tmp_path_factory: pytest.TempPathFactory) -> Job:
    rows = [["StudyInstanceUID"], [STRANGE.study_uid]]
    one = Job(
        tmp_path_factory.mktemp("job"), orthanc, LOCAL_PORT, "c-move",
        ["QueryRetrieveLevel=STUDY"], rows, output={},
    )  # fmt: skip
    one.change("output", decompress=True)
    ended = one.run()
    assert ended.code == 0, ended.text
    return one


@pytest.fixture(scope="module")
def stored(job: Job) -> dict[str, File]:
    return job.stored()


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_every_transfer_syntax_is_stored_as_explicit_little_endian_with_the_right_pixels(
    stored: dict[str, File], encoding: str
) -> None:
    spec = SPECS[encoding]
    found = stored[spec.sop_uid]
    assert found.syntax == ExplicitVRLittleEndian
    ds = found.dataset
    expected = pixels(spec)[0]
    if encoding == "jpeg-baseline":  # lossy: what was sent, decoded by another library
        expected = dcmread(BytesIO(FILES[encoding])).pixel_array
        assert ds.LossyImageCompression == "01"
    assert np.array_equal(ds.pixel_array, expected)
    assert bytes(ds.PixelData) == expected.tobytes()
    assert not ds["PixelData"].is_undefined_length
    assert (ds.PhotometricInterpretation, ds.Rows, ds.Columns) == ("MONOCHROME2", 32, 16)
    assert (ds.PatientID, ds.StudyInstanceUID) == (spec.patient_id, spec.study_uid)
    assert ds.SOPInstanceUID == spec.sop_uid


def test_an_unknown_class_is_decompressed_too(stored: dict[str, File]) -> None:
    found = stored[STRANGE.sop_uid]
    assert (found.syntax, str(found.dataset.SOPClassUID)) == (ExplicitVRLittleEndian, PRIVATE)
    assert np.array_equal(found.dataset.pixel_array, pixels(STRANGE)[0])


def test_the_same_instances_are_recognised_when_they_are_fetched_again(
    job: Job, stored: dict[str, File]
) -> None:
    ended = job.run("--restart")
    assert ended.code == 0, ended.text
    again = job.stored()
    assert {uid: (one.path, one.digest) for uid, one in again.items()} == {
        uid: (one.path, one.digest) for uid, one in stored.items()
    }
    assert [row["Stored"] for row in job.results()] == [str(len(stored))]
