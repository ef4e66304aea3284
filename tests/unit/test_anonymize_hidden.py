"""Sequences in values of VR UN or OB: strict looks into them, the profile knows what they are."""

import struct
from io import BytesIO

import pytest
from pydicom import Dataset, FileMetaDataset, dcmread, dcmwrite
from pydicom.uid import (
    UID,
    CTImageStorage,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from pydicombatch.process.anonymize.anonymizer import Anonymizer, Mode, Result, Status
from pydicombatch.process.anonymize.instance import DataSet, Element
from pydicombatch.process.anonymize.lookup import LookupTable
from pydicombatch.process.anonymize.plan import compile_script
from pydicombatch.process.anonymize.profile import Profile
from pydicombatch.process.anonymize.pseudonyms import Pseudonyms
from pydicombatch.process.anonymize.reading import Encoding
from pydicombatch.process.anonymize.script import parse
from pydicombatch.process.anonymize.writing import Writer

CANARY = b"CANARY"
RULES = """<s><e en="T" t="00100010" n="">x</e><e en="T" t="00100020" n="">@hash(this)</e></s>"""
KEY = Pseudonyms.of("a key of this test, long enough")
IMPLICIT = Encoding(explicit=False)
LITTLE, BIG = Encoding(explicit=True), Encoding(explicit=True, big_endian=True)


def encoded(syntax: str = ExplicitVRLittleEndian, *, pixels: bool = False) -> bytes:
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = UID(syntax)
    ds.SOPClassUID, ds.SOPInstanceUID, ds.PatientName = CTImageStorage, "1.2.3", "Doe"
    if pixels:
        ds.PixelData = b"\1\2"
        ds["PixelData"].VR = "OB"
    stream = BytesIO()
    dcmwrite(stream, ds, enforce_file_format=True)
    return stream.getvalue()


def value_of(element: Element, how: Encoding) -> bytes:
    """Encode a sequence of one item with one element, delimited, as a value."""
    order = ">" if how.big_endian else "<"
    body = Writer(how).dataset([element])
    item = struct.pack(order + "HHI", 0xFFFE, 0xE000, len(body))
    return item + body


def element(tag: int, vr: str, value: bytes, order: str = "<") -> bytes:
    return (
        struct.pack(order + "HH2sHI", tag >> 16, tag & 0xFFFF, vr.encode(), 0, len(value)) + value
    )


def anonymized(raw: bytes, rules: str = RULES, mode: str = "strict") -> tuple[Result, bytes]:
    target = BytesIO()
    worker = Anonymizer(compile_script(parse(rules)), LookupTable(), Mode(mode))
    return worker.anonymize(raw, target), target.getvalue()


def profiled(raw: bytes, *options: str) -> Dataset:
    target = BytesIO()
    profile = Profile.basic(options, KEY)
    result = Anonymizer.from_script(None, profile=profile).anonymize(raw, target)
    assert result.status is Status.OK, result.reason
    return dcmread(BytesIO(target.getvalue()))


@pytest.mark.parametrize("how", [IMPLICIT, LITTLE], ids=["implicit", "explicit"])
@pytest.mark.parametrize("vr", ["UN", "OB"])
@pytest.mark.parametrize("tag", [0x00400275, 0x51011001])
def test_a_kept_value_that_is_a_sequence_is_looked_into(tag: int, vr: str, how: Encoding) -> None:
    raw = encoded() + element(tag, vr, value_of(Element(0x00100010, "PN", CANARY), how))
    assert CANARY in anonymized(raw, mode="compatible")[1]
    result, out = anonymized(raw)
    assert (result.status, out) == (Status.QUARANTINED, b"")
    assert anonymized(raw, RULES.replace("00100010", "00100030"))[0].status is Status.OK


def test_big_endian_items_are_looked_into() -> None:
    inner = value_of(Element(0x00100010, "PN", CANARY), BIG)
    raw = encoded(ExplicitVRBigEndian) + element(0x51011001, "UN", inner, ">")
    assert anonymized(raw)[0].status is Status.QUARANTINED


def test_a_uid_that_names_a_coding_scheme_or_is_of_the_standard_identifies_nobody() -> None:
    rules = RULES.replace("00100020", "0008010C").replace("00100010", "0008010D")
    for tag, uid, status in (
        (0x0008010C, b"1.2.3.4", Status.OK),
        (0x0008010D, b"1.2.840.10008.2.16.4", Status.OK),
        (0x0008010D, b"1.2.3.4", Status.QUARANTINED),
    ):
        body = value_of(Element(tag, "UI", uid), LITTLE)
        assert anonymized(encoded() + element(0x00081032, "SQ", body), rules)[0].status is status


def test_a_sequence_within_a_hidden_one_is_looked_into() -> None:
    deepest = DataSet({0x00100010: Element(0x00100010, "PN", CANARY)})
    inner = value_of(Element(0x00081140, "SQ", b"", (deepest,)), IMPLICIT)
    assert anonymized(encoded() + element(0x51011001, "UN", inner))[0].status is Status.QUARANTINED


def test_bytes_that_only_begin_like_items_are_bytes() -> None:
    raw = encoded() + element(0x51011001, "UN", b"\xfe\xff\x00\xe0" + bytes(range(99, 131)))
    assert anonymized(raw)[0].status is Status.OK


def test_a_sequence_behind_pixel_data_is_looked_into() -> None:
    inner = value_of(Element(0x00100010, "PN", CANARY), IMPLICIT)
    raw = encoded(pixels=True) + element(0x7FE11001, "UN", inner)
    assert CANARY in anonymized(raw, mode="compatible")[1]
    assert anonymized(raw)[0].status is Status.QUARANTINED


def test_what_somebody_put_among_the_codes_of_an_earlier_method_is_looked_into() -> None:
    body = value_of(Element(0x00100010, "PN", CANARY), LITTLE)
    raw = encoded() + element(0x00120064, "SQ", body)
    adding = RULES.replace("</s>", '<e en="T" t="00120064" n="">113100</e></s>')
    replacing = adding.replace("113100", "reset/113100")
    for rules in (RULES, adding):
        assert CANARY in anonymized(raw, rules, "compatible")[1]
        assert anonymized(raw, rules)[0].status is Status.QUARANTINED
    assert anonymized(raw, replacing)[0].status is Status.OK


def test_the_profile_enters_sequences_that_are_called_un() -> None:
    inner = value_of(Element(0x00100010, "PN", CANARY), IMPLICIT)
    out = profiled(encoded() + element(0x00081140, "UN", inner), "retain_uids")
    assert out.ReferencedImageSequence[0].PatientName == ""
    junk = b"\xfe\xff\x00\xe0" + CANARY
    assert "ReferencedImageSequence" not in profiled(encoded() + element(0x00081140, "UN", junk))


def test_an_identifier_in_a_sequence_that_is_called_un_is_found_elsewhere() -> None:
    inner = value_of(Element(0x00100010, "PN", CANARY), IMPLICIT)
    typed = struct.pack("<HH2sH", 0x0018, 0x1210, b"SH", 8) + b"CANARY f"
    out = profiled(encoded() + typed + element(0x00400275, "UN", inner))
    assert out.ConvolutionKernel == "ANONYMIZED"


def test_newer_attributes_are_treated_by_their_vr_in_implicit_vr() -> None:
    """Instance Coercion DateTime is younger than the dictionary of the Java tool, which says UN."""
    ds = dcmread(BytesIO(encoded(ImplicitVRLittleEndian)))
    ds.InstanceCoercionDateTime = "20200131101500.5-0500"
    ds.ImageFilter, ds.CoatingMaterialsCodeSequence = "B30f", [Dataset()]
    ds.CoatingMaterialsCodeSequence[0].CodeMeaning = CANARY.decode()
    stream = BytesIO()
    dcmwrite(stream, ds)
    out = profiled(stream.getvalue(), "retain_long_modified_dates")
    moved = str(out.InstanceCoercionDateTime)
    assert moved.endswith("101500.5")
    assert not moved.startswith("20200131")
    assert out.CoatingMaterialsCodeSequence[0].CodeMeaning == "ANONYMIZED"


def test_an_option_retains_dates_and_nothing_that_stands_in_their_place() -> None:
    raw = (
        encoded()
        + struct.pack("<HH2sH", 0x0040, 0x0244, b"DA", 8)
        + b"20200131"
        + struct.pack("<HH2sH", 0x0040, 0x0245, b"TM", 6)
        + CANARY
    )
    out = profiled(raw, "retain_long_full_dates")
    assert out.PerformedProcedureStepStartDate == "20200131"
    assert out.PerformedProcedureStepStartTime == ""
