import csv
import multiprocessing
import stat
from io import BytesIO
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import Dataset, FileMetaDataset, Sequence, dcmread, dcmwrite
from pydicom.datadict import dictionary_VR
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

from pydicombatch.core.errors import ConfigError
from pydicombatch.process.anonymize.anonymizer import Anonymizer, Status
from pydicombatch.process.anonymize.mapping import MappingFile
from pydicombatch.process.anonymize.profile import Profile
from pydicombatch.process.anonymize.profile_table import Code, Option, rules
from pydicombatch.process.anonymize.pseudonyms import Pseudonyms
from pydicombatch.process.anonymize.vocabulary import cleaned

KEY = Pseudonyms.of("a key of this test, long enough")
OTHER = Pseudonyms.of("a key of another project, long")
CANARY = "QZXCANARY"
TABLE = rules(frozenset())
CANARIES = {
    "DA": "19871203",
    "DT": "19871203112233",
    "TM": "112233.123",
    "AS": "087Y",
    "DS": "98761.5",
    "IS": "987615",
    "UI": "1.9.98761.5",
    "CS": CANARY,
    "OB": CANARY.encode() + b"0",
    "UN": CANARY.encode() + b"0",
    "US": 48611,
    "PN": CANARY,
}


def sample() -> Dataset:
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.SOPClassUID, ds.SOPInstanceUID = CTImageStorage, "1.2.3"
    ds.StudyInstanceUID, ds.SeriesInstanceUID = "1.2.4", "1.2.5"
    ds.PatientName, ds.PatientID = "Doe^Jane", "P1"
    return ds


def applied(ds: Dataset, *options: str, key: Pseudonyms = KEY, **more: MappingFile) -> Dataset:
    target = BytesIO()
    profile = Profile.basic(options, key)
    result = Anonymizer.from_script(None, profile=profile, **more).anonymize(encoded(ds), target)  # type: ignore[arg-type]
    assert result.status is Status.OK, result.reason
    target.seek(0)
    return dcmread(target)


def encoded(ds: Dataset) -> bytes:
    stream = BytesIO()
    dcmwrite(stream, ds, enforce_file_format=True)
    return stream.getvalue()


def plant(ds: Dataset, tag: int) -> None:
    vr = dictionary_VR(tag)
    if vr == "SQ":
        item = Dataset()
        item.PatientName, item.TextValue, item.StudyDate = CANARY, CANARY, "19871203"
        ds.add_new(tag, vr, Sequence([item]))
    else:
        ds.add_new(tag, vr, CANARIES.get(vr, CANARY))


PLANTABLE = [
    tag
    for tag, code in TABLE.by_tag.items()
    if code is not Code.KEEP and tag >> 16 >= 8 and tag < 0x7FE00010 and tag != 0x00080018
]


@settings(deadline=None, max_examples=60)
@given(st.sets(st.sampled_from(PLANTABLE), max_size=60), st.booleans())
def test_no_canary_in_an_element_of_the_table_survives(tags: set[int], nested: bool) -> None:
    ds = sample()
    level = ds
    if nested:
        level = Dataset()
        ds.ReferencedSeriesSequence = [level]
    for tag in tags:
        plant(level, tag)
    block = level.private_block(0x0009, CANARY, create=True)
    block.add_new(1, "LO", CANARY)
    level.add_new(0x60003000, "OB", CANARY.encode() + b"0")
    level.add_new(0x50000022, "LO", CANARY)
    out = encoded(applied(ds))
    for value in (CANARY, "19871203", "112233.123", "98761"):
        assert value.encode() not in out


def test_every_element_of_the_table_at_once() -> None:
    ds = sample()
    for tag in PLANTABLE:
        plant(ds, tag)
    out = encoded(applied(ds))
    for value in (CANARY, "19871203", "112233.123", "98761"):
        assert value.encode() not in out


@pytest.mark.parametrize("option", [option.value for option in Option])
def test_an_option_is_named_in_the_result_and_lets_no_patient_name_through(option: str) -> None:
    ds = sample()
    item = Dataset()
    item.PatientName, item.PatientID = CANARY, CANARY
    item.TextValue = f"chest {CANARY}"
    ds.ContentSequence = [item]
    ds.RequestAttributesSequence = [item]
    ds.StudyDescription = f"CT chest {CANARY}"
    out = applied(ds, option)
    assert CANARY.encode() not in encoded(out)
    assert len(out.DeidentificationMethodCodeSequence) == 2
    assert out.PatientIdentityRemoved == "YES"


def test_uids_are_replaced_the_same_everywhere_and_classes_stay() -> None:
    ds = sample()
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = CTImageStorage, "1.2.3"
    ds.SourceImageSequence = [item]
    out = applied(ds)
    reference = out.SourceImageSequence[0]
    assert out.SOPInstanceUID == reference.ReferencedSOPInstanceUID == KEY.uid("1.2.3")
    assert out.file_meta.MediaStorageSOPInstanceUID == out.SOPInstanceUID
    assert out.SOPClassUID == reference.ReferencedSOPClassUID == CTImageStorage
    assert applied(ds, "retain_uids").SOPInstanceUID == "1.2.3"


def test_dates_of_a_patient_move_together_and_times_stay() -> None:
    ds = sample()
    ds.StudyDate, ds.SeriesDate, ds.StudyTime = "20200131", "20200202", "101112"
    ds.AcquisitionDateTime, ds.ContentDate = "20200131101112.5", "not a date"
    out = applied(ds, "retain_long_modified_dates")
    days = KEY.offset("P1")
    assert -3650 <= days <= -1
    assert out.StudyDate != "20200131"
    assert int(out.SeriesDate) - int(out.StudyDate) in {2, 71, 70, 72, 8871, 8872, 8870, 73}
    assert out.AcquisitionDateTime == f"{out.StudyDate}101112.5"
    assert (out.StudyTime, out.ContentDate) == ("101112", "")
    assert out.LongitudinalTemporalInformationModified == "MODIFIED"
    full = applied(ds, "retain_long_full_dates")
    assert (full.StudyDate, full.LongitudinalTemporalInformationModified) == (
        "20200131",
        "UNMODIFIED",
    )


def test_retaining_options_keep_what_they_name() -> None:
    ds = sample()
    ds.InstitutionName, ds.DeviceSerialNumber, ds.PatientSex = "Hospital", "SN1", "O"
    assert applied(ds, "retain_institution").InstitutionName == "Hospital"
    assert applied(ds, "retain_device").DeviceSerialNumber == "SN1"
    assert applied(ds, "retain_patient_chars").PatientSex == "O"
    bare = applied(ds)
    assert "Hospital" not in str(bare)
    assert "SN1" not in str(bare)


def test_safe_private_elements_stay_with_their_creator_alone() -> None:
    ds = sample()
    block = ds.private_block(0x0009, "GEMS_IDEN_01", create=True)
    block.add_new(0x02, "SH", "suite")
    block.add_new(0x01, "LO", CANARY)
    other = ds.private_block(0x0009, CANARY, create=True)
    other.add_new(0x02, "SH", CANARY)
    out = applied(ds, "retain_safe_private")
    assert [e.value for e in out if e.tag.is_private] == ["GEMS_IDEN_01", "suite"]


@settings(deadline=None)
@given(st.text())
def test_cleaned_text_has_known_words_and_small_numbers_alone(text: str) -> None:
    assert cleaned(cleaned(text)) == cleaned(text)
    assert CANARY.lower() not in cleaned(text + " " + CANARY).lower()


def test_pseudonyms_are_stable_and_of_their_project() -> None:
    assert KEY.patient("P1") == Pseudonyms.of("a key of this test, long enough").patient("P1")
    assert KEY.patient("P1") != OTHER.patient("P1")
    assert KEY.uid("1.2") != OTHER.uid("1.2")
    assert KEY.offset("P1") != OTHER.offset("P1")
    assert "long enough" not in repr(KEY)


@settings(deadline=None)
@given(st.text(alphabet="0123456789.", min_size=1, max_size=64))
def test_a_replaced_uid_is_valid(uid: str) -> None:
    new = KEY.uid(uid)
    assert new == uid or (new.startswith("2.25.") and len(new) <= 64)


def test_a_key_file_that_others_read_or_a_short_key_is_refused(tmp_path: Path) -> None:
    """S16."""
    path = tmp_path / "key"
    path.write_text("0123456789abcdef0123")
    path.chmod(0o644)
    with pytest.raises(ConfigError, match="by others"):
        Pseudonyms.from_file(path)
    path.chmod(0o600)
    assert Pseudonyms.from_file(path).key == b"0123456789abcdef0123"
    path.write_text("short")
    with pytest.raises(ConfigError, match="16 bytes"):
        Pseudonyms.from_file(path)
    with pytest.raises(ConfigError):
        Pseudonyms.from_file(tmp_path / "none")


def test_options_that_do_not_exist_or_contradict_are_refused() -> None:
    with pytest.raises(ConfigError, match="no profile option"):
        Profile.basic(["retain_everything"], KEY)
    with pytest.raises(ConfigError, match="both"):
        Profile.basic(["retain_long_full_dates", "retain_long_modified_dates"], KEY)


def test_profile_first_then_script(tmp_path: Path) -> None:
    path = tmp_path / "x.script"
    path.write_text('<s><e en="T" t="00081030" n="">@contents(PatientName)</e></s>')
    target = BytesIO()
    ds = sample()
    ds.StudyDescription = "CT chest"
    both = Anonymizer.from_script(path, profile=Profile.basic(["clean_desc"], KEY))
    assert both.anonymize(encoded(ds), target).status is Status.OK
    target.seek(0)
    assert dcmread(target).StudyDescription == KEY.patient("P1")


def test_anonymizing_with_nothing_to_go_by_is_refused() -> None:
    with pytest.raises(ConfigError, match="neither"):
        Anonymizer.from_script(None)


def test_the_mapping_keeps_each_pair_once_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "mapping.csv"
    mapping = MappingFile(path)
    applied(sample(), mapping=mapping)
    applied(sample(), mapping=mapping)
    MappingFile(path).record(("P1", "1.2.4"), (KEY.patient("P1"), KEY.uid("1.2.4")))
    rows = list(csv.reader(path.open()))
    assert rows[1:] == [["P1", KEY.patient("P1"), "1.2.4", KEY.uid("1.2.4")]]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def _record(path: Path) -> None:
    mapping = MappingFile(path)
    for number in range(50):
        mapping.record((f"P{number}", "1"), ("n", "2"))


def test_two_processes_write_one_mapping(tmp_path: Path) -> None:
    path = tmp_path / "mapping.csv"
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=_record, args=(path,)) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    rows = list(csv.reader(path.open()))
    assert len(rows) == 51
    assert len({tuple(row) for row in rows}) == 51
