"""Places of the reference that no golden case touches."""

from io import BytesIO
from pathlib import Path

import pytest
from pydicom import Dataset, FileMetaDataset, dcmread, dcmwrite
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

from pydicombatch.core.errors import ConfigError
from pydicombatch.process.anonymize import dates
from pydicombatch.process.anonymize.anonymizer import Anonymizer, Mode, Status
from pydicombatch.process.anonymize.charset import PLATFORM
from pydicombatch.process.anonymize.lookup import LookupTable
from pydicombatch.process.anonymize.plan import compile_script
from pydicombatch.process.anonymize.profile import Profile
from pydicombatch.process.anonymize.pseudonyms import Pseudonyms
from pydicombatch.process.anonymize.script import parse
from pydicombatch.process.anonymize.storing import store_private
from pydicombatch.process.anonymize.syntax import Call
from pydicombatch.process.anonymize.syntax import parse as parts_of

QUARANTINED = "quarantined"


def sample() -> Dataset:
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.SOPClassUID, ds.SOPInstanceUID = CTImageStorage, "1.2.3"
    ds.PatientID, ds.PatientAge, ds.StudyDate = "P1", "062Y", "20200131"
    ds.PatientWeight, ds.PatientComments = "99999999999", "zz"
    return ds


def encoded(ds: Dataset) -> bytes:
    stream = BytesIO()
    dcmwrite(stream, ds, enforce_file_format=True)
    return stream.getvalue()


def result_of(text: str, table: dict[str, str] | None = None) -> object:
    """Evaluate a script in the place of Patient Comments; nothing if that is removed."""
    plan = compile_script(parse(f'<s><e en="T" t="00104000" n="">{text}</e></s>'))
    target = BytesIO()
    worker = Anonymizer(plan, LookupTable(table or {}), Mode.COMPATIBLE)
    result = worker.anonymize(encoded(sample()), target)
    if result.status is not Status.OK:
        return str(result.status)
    return dcmread(BytesIO(target.getvalue())).get("PatientComments")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("@round(PatientAge,0)", "0Y"),  # infinity rounds to the largest int, times 0
        ("@round(PatientAge,-5)", "060Y"),
        ("@round(PatientWeight,5)", "2147483643"),  # int arithmetic wraps
        ("@round(PatientWeight,1)", "2147483647"),
        ("@dateinterval(StudyDate,k,PatientID)", "30"),
        ("@dateinterval(StudyDate,k,Nobody)", "395"),
        ("@dateinterval(StudyDate,k)", QUARANTINED),
        ("@contents(\u00a0PatientID)", ""),  # a no-break space is no white space to trim
        ("@if(PatientID,equals,p1){\u00a0a\u00a0}", "\u00a0a\u00a0"),
        ("@contents((0004,1220))", ""),
    ],
)
def test_functions_yield_what_the_java_tool_computes(text: str, expected: str) -> None:
    assert result_of(text, {"k/P1": "1/1/2020", "k/": "1/1/2019"}) == expected


def test_arguments_are_trimmed_as_java_trims() -> None:
    assert parts_of("@f(\u0001a\u0002,\u00a0b)").parts == (Call("f", ("a", "\u00a0b")),)


def test_nothing_in_a_private_sequence_or_in_bytes_is_stored_as_text() -> None:
    assert store_private(0x00430001, "", "X", PLATFORM).vr == "LO"
    known = store_private(0x00091027, "", "GEMS_IDEN_01", PLATFORM)
    assert (known.vr, known.value) == ("SL", b"")  # as golden case a32_misc__s32_misc has it
    sequence = store_private(0x00291040, "", "SIEMENS MEDCOM HEADER", PLATFORM)
    assert sequence.vr == "LO"


def test_bytes_that_are_not_utf_8_are_replaced_for_the_java_tool_and_refused_by_strict(
    tmp_path: Path,
) -> None:
    script, table = tmp_path / "a.script", tmp_path / "t.properties"
    text = '<s><!-- Löschen --><e en="T" t="00104000" n="">@lookup(PatientID,k)</e></s>'
    script.write_bytes(text.encode("latin-1"))
    table.write_bytes("# Schlüssel\nk/P1=new".encode("latin-1"))
    worker = Anonymizer.from_script(script, lookup_table=table, mode="compatible")
    target = BytesIO()
    assert worker.anonymize(encoded(sample()), target).status is Status.OK
    assert dcmread(BytesIO(target.getvalue())).PatientComments == "new"
    with pytest.raises(ConfigError, match="UTF-8"):
        Anonymizer.from_script(script)
    script.write_text(text)
    with pytest.raises(ConfigError, match="UTF-8"):
        Anonymizer.from_script(script, lookup_table=table)


def test_a_condition_with_an_unknown_parameter_is_literal_to_the_java_tool_and_refused_by_strict(
    tmp_path: Path,
) -> None:
    text = "@if(PatientID,contains,@NONE){yes}{no}"
    assert result_of(text) == "no"
    assert result_of(text.replace("@NONE", "P")) == "yes"
    script = tmp_path / "a.script"
    script.write_text(f'<s><e en="T" t="00104000" n="">{text}</e></s>')
    with pytest.raises(ConfigError, match="Parameter NONE is not defined"):
        Anonymizer.from_script(script)


def test_a_group_to_keep_may_have_more_zeros() -> None:
    read = parse('<s><k en="T" t="000018">x</k><k en="T" t="18"/><k en="T" t="1x"/></s>')
    assert read.keep_groups == {0x18}
    assert len(read.dropped) == 1


@pytest.mark.parametrize(
    ("value", "moved"),
    [
        ("20200131", "20200130"),
        ("2020.01.31", "20200130"),
        ("20200301", "20200229"),
        ("20200131101500.25", "20200130101500.25"),
        ("20200131101500-0500", "20200130101500"),
        ("202001", ""),
        ("20200131 Jane", ""),
        ("20200131-20200201", ""),
        ("", ""),
    ],
)
def test_the_profile_moves_days_and_nothing_else(value: str, moved: str) -> None:
    assert dates.moved(value, -1) == moved


@pytest.mark.parametrize("typed", ["CANARY0017", "of canary 2", "XCANARY"])
def test_letters_of_a_patient_identifier_are_found_with_another_number(typed: str) -> None:
    ds = sample()
    ds.PatientID, ds.Manufacturer = "CANARY0001", typed
    profile = Profile.basic((), Pseudonyms.of("a key of this test, long enough"))
    out = Anonymizer.from_script(None, profile=profile)(ds)
    assert out.Manufacturer == "ANONYMIZED"


@pytest.mark.parametrize(
    ("identifier", "number", "left"),
    [("12345678", "12345678", None), ("P1", "19700101", None), ("1024", "1024", 1024)],
)
def test_a_number_that_is_an_identifier_does_not_stay(
    identifier: str, number: str, left: int | None
) -> None:
    ds = sample()
    ds.PatientID, ds.PatientBirthDate, ds.InstanceNumber = identifier, "19700101", number
    profile = Profile.basic((), Pseudonyms.of("a key of this test, long enough"))
    assert Anonymizer.from_script(None, profile=profile)(ds).InstanceNumber == left
