import multiprocessing
import os
import signal
import time
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import Dataset, FileMetaDataset, dcmread, dcmwrite
from pydicom.dataset import PrivateBlock
from pydicom.uid import (
    UID,
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from pydicombatch.core.errors import ConfigError, RequestError
from pydicombatch.process.anonymize.anonymizer import Anonymizer, Mode, Result, Status
from pydicombatch.process.anonymize.lookup import LookupTable
from pydicombatch.process.anonymize.plan import compile_script
from pydicombatch.process.anonymize.script import parse

NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
SECRET = "Canary"


def sample(syntax: str = ExplicitVRLittleEndian) -> Dataset:
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = UID(syntax)
    ds.SOPClassUID, ds.SOPInstanceUID, ds.StudyInstanceUID = CTImageStorage, "1.2.3", "1.2.4"
    ds.PatientName, ds.PatientID, ds.StudyDate, ds.StudyTime = SECRET, "P1", "20200131", "1011"
    ds.Modality = "CT"
    item = Dataset()
    item.PatientID = SECRET
    ds.OtherPatientIDsSequence = [item]
    ds.Rows = ds.Columns = 2
    ds.SamplesPerPixel, ds.BitsAllocated, ds.PhotometricInterpretation = 1, 8, "MONOCHROME2"
    ds.PixelData = b"\x01\x02\x03\x04"
    return ds


def encoded(ds: Dataset) -> bytes:
    stream = BytesIO()
    dcmwrite(stream, ds, enforce_file_format=True)
    return stream.getvalue()


def anonymizer(
    rules: str, *, mode: str = "strict", table: dict[str, str] | None = None
) -> Anonymizer:
    plan = compile_script(parse(f"<script>{rules}</script>"))
    return Anonymizer(plan, LookupTable(table or {}), Mode(mode), now=lambda: NOW)


def rule(tag: str, text: str) -> str:
    return f'<e en="T" t="{tag}" n="">{text}</e>'


def applied(rules: str, ds: Dataset, *, mode: str = "strict") -> tuple[Result, Dataset]:
    target = BytesIO()
    result = anonymizer(rules, mode=mode).anonymize(encoded(ds), target)
    target.seek(0)
    return result, dcmread(target) if result.status is Status.OK else Dataset()


REASONS = {
    "blanks in a time": ("00080030", "@blank(4)"),
    "a date with dashes": ("00080020", "2020-01-01"),
    "a name too long": ("00100010", "x" * 65),
    "text into a sequence": ("00101002", "x"),
    "an emptied sequence": ("00101002", "@empty()"),
    "an identifier in a kept sequence": ("00100020", "@hash(this)"),
    "pixel data to remove": ("7fe00010", "@remove()"),
}


@pytest.mark.parametrize(("tag", "text"), REASONS.values(), ids=REASONS.keys())
def test_where_the_java_tool_keeps_the_original_strict_sets_aside(tag: str, text: str) -> None:
    assert applied(rule(tag, text), sample(), mode="compatible")[0].status is Status.OK
    result, _ = applied(rule(tag, text), sample())
    assert result.status is Status.QUARANTINED
    assert SECRET not in result.reason
    assert "2020" not in result.reason


@pytest.mark.parametrize("length", [b"\xff\xff\xff\xff", None])
def test_a_sequence_hidden_in_the_vr_un_is_not_taken_for_cleaned(length: bytes | None) -> None:
    ds = sample()
    del ds.OtherPatientIDsSequence
    inner = b"\x10\x00\x20\x00\x06\x00\x00\x00" + SECRET.encode()
    item = b"\xfe\xff\x00\xe0" + len(inner).to_bytes(4, "little") + inner
    if length:
        item += b"\xfe\xff\xdd\xe0\0\0\0\0"
    hidden = b"\x10\x00\x02\x10UN\0\0" + (length or len(item).to_bytes(4, "little")) + item
    whole = encoded(ds)
    at = whole.index(b"\x28\x00\x02\x00US")
    raw = whole[:at] + hidden + whole[at:]
    rules = rule("00101002", "@process()") + rule("00100020", "x") + rule("00100010", "x")
    target = BytesIO()
    assert anonymizer(rules).anonymize(raw, target).status is Status.QUARANTINED
    assert anonymizer(rules, mode="compatible").anonymize(raw, target).status is Status.OK
    removing = rule("00101002", "@remove()") + rule("00100010", "x")
    cleaned = BytesIO()
    assert anonymizer(removing).anonymize(raw, cleaned).status is Status.OK
    assert SECRET.encode() not in cleaned.getvalue()


@pytest.mark.parametrize(("tag", "text"), REASONS.values(), ids=REASONS.keys())
def test_the_places_where_instances_can_be_set_aside_are_warned_about(tag: str, text: str) -> None:
    warnings = anonymizer(rule(tag, text)).plan.warnings
    assert any("set aside" in warning.problem for warning in warnings)


def test_a_sequence_that_is_entered_is_cleaned_and_passes() -> None:
    rules = rule("00100020", "@hash(this,4)") + rule("00101002", "@process()")
    result, ds = applied(rules, sample())
    assert result == Result(Status.OK)
    assert ds.OtherPatientIDsSequence[0].PatientID != SECRET


def test_a_value_that_is_wanted_as_it_was_may_stay() -> None:
    ds = sample()
    ds.StudyDate = ""
    result, _ = applied(rule("00080020", "@contents(this)@contents(NoSuch)"), ds)
    assert result.status is Status.OK


def test_the_time_of_the_run_is_an_argument() -> None:
    rules = rule("00100010", "@date(-)") + rule("00080060", '@time("")')
    _, ds = applied(rules, sample())
    assert (ds.PatientName, ds.Modality) == ("2026-03-04", "050607")


def test_file_meta_information_is_made_anew() -> None:
    source = sample()
    source.file_meta.SourceApplicationEntityTitle = SECRET
    source.preamble = SECRET.encode() + bytes(122)
    target = BytesIO()
    rules = rule("00080018", "9.9") + rule("00100010", "x") + rule("00101002", "@remove()")
    assert anonymizer(rules).anonymize(encoded(source), target).status is Status.OK
    assert SECRET.encode() not in target.getvalue()
    target.seek(0)
    assert dcmread(target).file_meta.MediaStorageSOPInstanceUID == "9.9"


def test_a_data_set_goes_in_and_comes_out_and_the_original_is_untouched() -> None:
    source = sample()
    result = anonymizer(rule("00100010", "New^Name") + rule("00101002", "@remove()"))(source)
    assert (result.PatientName, source.PatientName) == ("New^Name", SECRET)
    assert "OtherPatientIDsSequence" not in result
    assert result.PixelData == source.PixelData


def test_a_data_set_without_file_meta_information_is_taken_as_well() -> None:
    bare = Dataset()
    bare.PatientName, bare.PatientID = SECRET, "P1"
    result = anonymizer(rule("00100010", "New^Name"))(bare)
    assert (result.PatientName, result.PatientID) == ("New^Name", "P1")


def test_a_data_set_that_is_set_aside_raises_without_a_value() -> None:
    with pytest.raises(RequestError) as caught:
        anonymizer(rule("00100010", "@quarantine()"))(sample())
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("data", [b"", b"no dicom at all, only text of some length", bytes(200)])
def test_what_is_not_dicom_is_said_to_be_so(data: bytes, tmp_path: Path) -> None:
    source, target = tmp_path / "in", tmp_path / "out"
    source.write_bytes(data)
    result = anonymizer(rule("00100010", "x")).anonymize_file(source, target)
    assert result.status is Status.NOT_DICOM
    assert not target.exists()


@settings(deadline=None)
@given(st.data())
def test_a_damaged_file_is_never_passed_on_and_never_raises(data: st.DataObject) -> None:
    """S10."""
    whole = encoded(sample())
    position = data.draw(st.integers(132, len(whole) - 1))
    replaced = bytes([data.draw(st.integers(0, 255))])
    target = BytesIO()
    damaged = whole[:position] + replaced + whole[position + 1 :]
    rules = rule("00100010", "x") + rule("00101002", "@remove()")
    result = anonymizer(rules).anonymize(damaged, target)
    assert (result.status is Status.OK) is bool(target.getvalue())
    cut = BytesIO()
    result = anonymizer(rules).anonymize(whole[:position], cut)
    assert (result.status is Status.OK) is bool(cut.getvalue())
    assert SECRET.encode() not in cut.getvalue()


KEYWORDS = (
    "PatientName",
    "StudyDate",
    "PatientWeight",
    "OtherPatientIDsSequence",
    "Rows",
    "Modality",
)


@settings(deadline=None)
@given(
    st.sets(st.sampled_from(KEYWORDS), min_size=1),
    st.sampled_from([ExplicitVRLittleEndian, ImplicitVRLittleEndian]),
    st.integers(0, 3),
)
def test_what_the_script_removes_is_nowhere_it_applies(
    removed: set[str], syntax: str, depth: int
) -> None:
    ds = sample(syntax)
    ds.PatientWeight = "70"
    level = ds
    for _ in range(depth):
        level.ReferencedStudySequence = [Dataset(), Dataset()]
        level = level.ReferencedStudySequence[1]
        level.PatientName, level.StudyDate, level.PatientWeight = SECRET, "20200101", "71"
        level.Rows, level.Modality, level.OtherPatientIDsSequence = 4, "MR", [Dataset()]
    rules = rule("00081110", "@process()")
    rules += "".join(rule(f"{ds.data_element(k).tag:08x}", "@remove()") for k in removed)  # type: ignore[union-attr]
    _, out = applied(rules, ds, mode="compatible")
    assert out.SOPInstanceUID == "1.2.3"
    found = {element.keyword for element in out.iterall()}
    assert not removed & found


def test_private_elements_go_with_their_switch_and_the_safe_ones_may_stay() -> None:
    ds = sample()
    del ds.OtherPatientIDsSequence
    block: PrivateBlock = ds.private_block(0x0009, "GEMS_IDEN_01", create=True)
    block.add_new(0x02, "SH", "suite")
    block.add_new(0x01, "LO", SECRET)
    gone = '<r en="T" t="privategroups">x</r>' + rule("00100010", "x")
    assert not [e for e in applied(gone, ds)[1] if e.tag.is_private]
    kept = applied(gone + '<k en="T" t="safeprivateelements">x</k>', ds)[1]
    assert [e.value for e in kept if e.tag.is_private] == ["GEMS_IDEN_01", "suite"]


def test_elements_behind_pixel_data_that_a_script_cannot_change_are_set_aside() -> None:
    raw = encoded(sample()) + b"\xe1\x7f\x10\x00LO\x06\x00" + SECRET.encode()
    target = BytesIO()
    rules = rule("00101002", "@remove()") + rule("7fe10010", "x")
    assert anonymizer(rules).anonymize(raw, target).status is Status.QUARANTINED
    removing = rule("00101002", "@remove()") + '<r en="T" t="privategroups">x</r>'
    assert anonymizer(removing).anonymize(raw, target).status is Status.OK
    assert target.getvalue().count(SECRET.encode()) == 1  # the name, which has no script here


def test_a_directory_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    source = tmp_path / "in.dcm"
    source.write_bytes(encoded(sample()))
    rules = rule("00100010", "x") + rule("00101002", "@remove()")
    result = anonymizer(rules).anonymize_file(source, tmp_path / "missing" / "out.dcm")
    assert result.status is Status.QUARANTINED
    assert sorted(tmp_path.iterdir()) == [source]


def test_a_full_disk_leaves_an_existing_target_alone() -> None:
    class Full(BytesIO):
        def write(self, data: object) -> int:
            raise OSError(28, f"No space for {SECRET}")

    rules = rule("00100010", "x") + rule("00101002", "@remove()")
    target = Full(b"old")
    result = anonymizer(rules).anonymize(encoded(sample()), target)
    assert result.status is Status.QUARANTINED
    assert SECRET not in result.reason
    assert target.getvalue() == b"old"


def _forever(source: Path, target: Path) -> None:
    rules = rule("00100010", "New") + rule("00101002", "@remove()")
    worker = anonymizer(rules)
    while True:
        worker.anonymize_file(source, target)


def test_a_worker_killed_at_any_moment_leaves_whole_anonymized_files_alone(tmp_path: Path) -> None:
    source, target = tmp_path / "in" / "a.dcm", tmp_path / "out" / "a.dcm"
    source.parent.mkdir()
    target.parent.mkdir()
    source.write_bytes(encoded(sample()))
    context = multiprocessing.get_context("fork")
    for _ in range(3):
        process = context.Process(target=_forever, args=(source, target))
        process.start()
        deadline = time.monotonic() + 20
        while not target.exists() and time.monotonic() < deadline:
            os.sched_yield()
        assert process.pid is not None
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        for path in target.parent.iterdir():
            assert SECRET.encode() not in path.read_bytes()
        assert dcmread(target).PixelData == b"\x01\x02\x03\x04"


def test_lookup_tables_come_from_properties_and_from_csv(tmp_path: Path) -> None:
    path, table = tmp_path / "x.script", tmp_path / "t.csv"
    path.write_text(
        f"<s>{rule('00100020', '@lookup(this,ptid)')}{rule('00101002', '@remove()')}</s>"
    )
    table.write_text('"ptid/P1","S,1"\n\n"ptid/P2",@ptid/P1\n')
    ds = sample()
    worker = Anonymizer.from_script(path, lookup_table=table)
    assert worker(ds).PatientID == "S,1"
    ds.PatientID = "P2"
    assert worker(ds).PatientID == "S,1"
    ds.PatientID = "P3"
    with pytest.raises(RequestError, match="missing in the lookup table"):
        worker(ds)
    table.write_text("ptid/P1\n")
    with pytest.raises(ConfigError) as caught:
        Anonymizer.from_script(path, lookup_table=table)
    assert caught.value.findings[0].line == 1
    properties = tmp_path / "t.properties"
    properties.write_text("ptid/P3 = \\u0053\\:3\n")
    assert Anonymizer.from_script(path, lookup_table=properties)(ds).PatientID == "S:3"
    with pytest.raises(ConfigError, match="cannot be read"):
        Anonymizer.from_script(path, lookup_table=tmp_path / "none.properties")


def test_a_deflated_file_that_breaks_off_is_never_passed_on() -> None:
    ds = sample(DeflatedExplicitVRLittleEndian)
    rules = rule("00101002", "@remove()") + rule("00100010", "x")
    whole, target = encoded(ds), BytesIO()
    assert anonymizer(rules).anonymize(whole, target).status is Status.OK
    target.seek(0)
    assert dcmread(target).PixelData == ds.PixelData
    for end in range(len(whole) - 40, len(whole) - 4):
        assert anonymizer(rules).anonymize(whole[:end], BytesIO()).status is not Status.OK


def test_a_file_too_large_to_read_at_once_is_mapped_and_copied(tmp_path: Path) -> None:
    ds = sample()
    ds.Rows, ds.Columns = 4096, 8448
    ds.PixelData = bytes(range(256)) * (4096 * 33)
    source, target = tmp_path / "in.dcm", tmp_path / "out.dcm"
    source.write_bytes(encoded(ds))
    assert source.stat().st_size > 1 << 25
    rules = rule("00101002", "@remove()") + rule("00100010", "x")
    assert anonymizer(rules).anonymize_file(source, target) == Result(Status.OK)
    assert dcmread(target).PixelData == ds.PixelData


def test_s06_a_preamble_that_makes_a_file_two_files_is_not_passed_on() -> None:
    """PS3.10 7.1: what is not used is zero; a header of a program could stand there."""
    polyglot = b"MZ" + bytes(range(126)) + encoded(sample())[128:]
    target = BytesIO()
    rules = rule("00100010", "x") + rule("00101002", "@remove()")
    assert anonymizer(rules).anonymize(polyglot, target) == Result(Status.OK)
    assert target.getvalue()[:132] == bytes(128) + b"DICM"
