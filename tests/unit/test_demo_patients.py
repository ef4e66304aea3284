import io

import numpy as np
from pydicom import Dataset, dcmread
from pydicom.uid import UID, UltrasoundMultiFrameImageStorage

from pydicombatch.demo.patients import synthetic_instances


def written(instances: tuple[Dataset, ...]) -> list[bytes]:
    files = []
    for ds in instances:
        stream = io.BytesIO()
        ds.save_as(stream, enforce_file_format=True)
        files.append(stream.getvalue())
    return files


INSTANCES = synthetic_instances()
FILES = written(INSTANCES)


def test_the_same_patients_are_made_every_time() -> None:
    assert written(synthetic_instances()) == FILES


def test_there_are_several_patients_studies_series_and_kinds() -> None:
    assert 40 <= len(INSTANCES) <= 60
    assert len({ds.PatientID for ds in INSTANCES}) == 5
    assert len({ds.StudyInstanceUID for ds in INSTANCES}) == 7
    assert len({ds.SeriesInstanceUID for ds in INSTANCES}) == 9
    assert {ds.Modality for ds in INSTANCES} == {"CT", "MR", "MG", "US"}
    assert {ds.PatientSex for ds in INSTANCES} == {"F", "M"}


def test_every_uid_is_valid_and_no_instance_has_that_of_another() -> None:
    uids = [ds.SOPInstanceUID for ds in INSTANCES]
    assert len(set(uids)) == len(uids)
    for ds in INSTANCES:
        for keyword in ("SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID"):
            assert UID(ds[keyword].value).is_valid
        assert ds.file_meta.MediaStorageSOPInstanceUID == ds.SOPInstanceUID


def test_two_series_of_a_study_number_their_instances_alike() -> None:
    chest = [ds for ds in INSTANCES if ds.AccessionNumber == "DEMO-A0001"]
    numbers = [ds.InstanceNumber for ds in chest]
    assert len(set(numbers)) < len(numbers)


def test_names_beyond_ascii_survive_a_file_in_both_character_sets() -> None:
    read = [dcmread(io.BytesIO(file)) for file in FILES]
    names = {(ds.SpecificCharacterSet, str(ds.PatientName)) for ds in read}
    assert ("ISO_IR 192", "Prüfkörper^Zoé") in names
    assert ("ISO_IR 100", "Phantôme^Hélène") in names


def test_every_image_decodes_and_shows_something() -> None:
    for file in FILES:
        ds = dcmread(io.BytesIO(file))
        pixels = ds.pixel_array
        assert pixels.shape[-2:] == (ds.Rows, ds.Columns)
        assert len(np.unique(pixels)) >= 3
        assert int(pixels.max()) < 2**ds.BitsStored


def test_the_ultrasound_clip_has_frames_that_differ() -> None:
    (clip,) = (ds for ds in INSTANCES if ds.SOPClassUID == UltrasoundMultiFrameImageStorage)
    pixels = clip.pixel_array
    assert pixels.shape == (12, 96, 96)
    assert (pixels[0] != pixels[6]).any()


def test_breasts_lie_at_the_side_of_their_chest_wall() -> None:
    for ds in (ds for ds in INSTANCES if ds.Modality == "MG"):
        half = ds.Columns // 2
        left, right = ds.pixel_array[:, :half].sum(), ds.pixel_array[:, half:].sum()
        assert (left > right) == (ds.ImageLaterality == "L")
