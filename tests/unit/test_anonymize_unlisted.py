"""The basic profile over every element of the dictionary, those of its table and all others."""

from io import BytesIO

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import Dataset, FileMetaDataset, Sequence, dcmread, dcmwrite
from pydicom._dicom_dict import DicomDictionary
from pydicom.datadict import keyword_for_tag, tag_for_keyword
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.tag import BaseTag
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

from pydicombatch.process.anonymize.anonymizer import Anonymizer, Status
from pydicombatch.process.anonymize.profile import Profile
from pydicombatch.process.anonymize.profile_table import rules
from pydicombatch.process.anonymize.pseudonyms import Pseudonyms

KEY = Pseudonyms.of("a key of this test, long enough")
CANARY = "QZXCANARY"
TABLE = rules(frozenset())
WORDS = frozenset("AE CS LO LT PN SH ST UC UR UT".split())  # noqa: SIM905
BYTES = frozenset("OB OW OF OD OL OV UN".split())  # noqa: SIM905
VALUES: dict[str, str | bytes] = {
    **dict.fromkeys(WORDS, CANARY),
    **dict.fromkeys(BYTES, CANARY.encode() + bytes(7)),  # of every size of a word
    "DA": "19871203",
    "DT": "19871203112233",
    "AS": "087Y",
    "UI": "1.9.98761.5",
    "DS": CANARY,
    "IS": CANARY,
    "TM": CANARY,
}
PRIVATE, PIXELS = 0x10000, 0x7FE00000
CHARSET = 0x00080005
ELEMENTS = [
    (tag, vr)
    for tag, (vrs, *_) in sorted(DicomDictionary.items())
    for vr in vrs.replace("NONE", "SQ").split(" or ")
    if tag >> 16 >= 8 and tag < PIXELS and tag != CHARSET and (vr in VALUES or vr == "SQ")
]


def start() -> Dataset:
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.SOPClassUID, ds.SOPInstanceUID = CTImageStorage, "1.2.3"
    ds.PatientName, ds.PatientID = f"{CANARY}^Jane", CANARY
    return ds


def planted(level: Dataset, tag: int, vr: str) -> None:
    if vr == "SQ":
        item = Dataset()
        item.PatientName, item.CodeMeaning, item.Modality = CANARY, CANARY, CANARY
        level.add(DataElement(tag, vr, Sequence([item]), validation_mode=0))
        return
    put(level, tag, vr, VALUES[vr])


def put(level: Dataset, tag: int, vr: str, value: str | bytes) -> None:
    """Plant a value as bytes: a library would refuse what is no number."""
    raw = value if isinstance(value, bytes) else value.encode("latin-1")
    raw += b" " * (len(raw) % 2)
    level[tag] = RawDataElement(BaseTag(tag), vr, len(raw), raw, 0, False, True)


def applied(ds: Dataset, *options: str) -> bytes:
    source, target = BytesIO(), BytesIO()
    dcmwrite(source, ds, enforce_file_format=True)
    profile = Profile.basic(options, KEY)
    result = Anonymizer.from_script(None, profile=profile, pixel_risk="allow").anonymize(
        source.getvalue(), target
    )
    assert result.status is Status.OK, result.reason
    return target.getvalue()


def test_no_value_of_any_element_of_the_dictionary_survives_the_profile() -> None:
    ds = start()
    inner, innermost = Dataset(), Dataset()
    for tag, vr in ELEMENTS:
        if tag not in {0x00080016, 0x00080018}:
            for level in (ds, inner, innermost):
                planted(level, tag, vr)
    inner.ReferencedImageSequence = [innermost]
    ds.ReferencedStudySequence = ds.PatientSetupSequence = ds.ViewCodeSequence = [inner]
    ds.SOPClassUID, ds.PatientName = CTImageStorage, CANARY
    out = applied(ds)
    assert len(ELEMENTS) > 3000
    for value in (CANARY, "19871203", "087Y", "98761"):
        assert value.encode() not in out


@given(st.lists(st.sampled_from(ELEMENTS), min_size=1, max_size=8), st.integers(0, 3))
@settings(max_examples=200, deadline=None)
def test_nothing_planted_anywhere_survives_at_any_depth(
    elements: list[tuple[int, str]], depth: int
) -> None:
    ds = start()
    level = ds
    for _ in range(depth):
        item = Dataset()
        level.SourceImageSequence = [item]
        level = item
    for tag, vr in elements:
        if depth or tag not in {0x00080016, 0x00080018}:
            planted(level, tag, vr)
    block = level.private_block(0x0019, CANARY, create=True)
    block.add_new(1, "UN", CANARY.encode() + b"0")
    out = applied(ds)
    assert CANARY.encode() not in out
    assert b"19871203" not in out


@pytest.mark.parametrize(
    ("keyword", "value"),
    [
        ("Manufacturer", "SIEMENS"),
        ("ManufacturerModelName", "SOMATOM Definition AS+"),
        ("SoftwareVersions", "syngo CT 2012B"),
        ("ConvolutionKernel", "B30f"),
        ("SequenceName", "*tfl3d1_16ns"),
        ("ImageType", ["ORIGINAL", "PRIMARY", "AXIAL", "CT_SOM5 SPI"]),
        ("Modality", "CT"),
        ("BodyPartExamined", "CHEST"),
        ("KVP", "120"),
        ("PixelSpacing", ["0.5", "5e-1"]),
        ("ImagePositionPatient", ["-1.5", "+2", "3."]),
        ("InstanceNumber", "1024"),
        ("RescaleType", "HU"),
        ("WindowCenterWidthExplanation", ["WINDOW1", "WINDOW2"]),
        ("Rows", 512),
        ("EchoTrainLength", "1"),
        ("DiffusionBValue", 1000.0),
        ("RedPaletteColorLookupTableData", bytes(range(256))),
        ("SOPClassUID", CTImageStorage),
        ("MIMETypeOfEncapsulatedDocument", "application/pdf"),
    ],
)
def test_what_describes_the_image_stays(keyword: str, value: object) -> None:
    ds = start()
    setattr(ds, keyword, value)
    assert dcmread(BytesIO(applied(ds)))[keyword].value == ds[keyword].value


@pytest.mark.parametrize(
    ("keyword", "value", "left"),
    [
        ("Manufacturer", f"Scanner of {CANARY}", "ANONYMIZED"),
        ("Manufacturer", "Scanner of jane", "ANONYMIZED"),
        ("SoftwareVersions", "patient 19871203", "ANONYMIZED"),
        ("ConvolutionKernel", "Müller", "ANONYMIZED"),
        ("SegmentLabel", "tumour of Mr Doe", "ANONYMIZED"),
        ("BodyPartExamined", "Jane", "ANONYMIZED"),
        ("ImageType", "ORIGINAL\\JANE", ["ORIGINAL", "ANONYMIZED"]),
        ("KVP", "about 120", None),
        ("TargetFrameOfReferenceUID", "1.2.3.4", KEY.uid("1.2.3.4")),
    ],
)
def test_what_is_no_description_or_repeats_the_patient_does_not_stay(
    keyword: str, value: str, left: object
) -> None:
    ds = start()
    tag = tag_for_keyword(keyword)
    assert tag is not None
    assert TABLE.code(tag) is None
    put(ds, tag, DicomDictionary[tag][0], value)
    assert dcmread(BytesIO(applied(ds)))[keyword].value == left


def test_codes_of_standard_schemes_stay_with_the_meaning_of_the_standard() -> None:
    ds = start()
    items = []
    for value, scheme in (
        ("399162004", "SCT"),
        ("T-D4000", "SRT"),
        ("1.9", "SCT"),
        ("JANE", "SCT"),
        ("L1", "99LOCAL"),
    ):
        item = Dataset()
        item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, "Jane's"
        items.append(item)
    ds.ViewCodeSequence = items
    out = dcmread(BytesIO(applied(ds)))
    found = [
        (item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning)
        for item in out.ViewCodeSequence
    ]
    assert found == [
        ("399162004", "SCT", "Cranio-caudal projection (qualifier value)"),
        ("T-D4000", "SRT", "Abdominal structure (body structure)"),
        ("1.9", "SCT", "ANONYMIZED"),
        ("ANONYMIZED", "ANONYMIZED", "ANONYMIZED"),
        ("ANONYMIZED", "ANONYMIZED", "ANONYMIZED"),
    ]


def test_uids_outside_the_table_stay_with_the_option_that_retains_uids() -> None:
    ds = start()
    ds.TargetFrameOfReferenceUID = "1.2.3.4"
    out = dcmread(BytesIO(applied(ds, "retain_uids")))
    assert out.TargetFrameOfReferenceUID == "1.2.3.4"


def test_every_element_that_is_planted_is_one_of_the_dictionary() -> None:
    assert all(keyword_for_tag(tag) or DicomDictionary[tag] for tag, _ in ELEMENTS)
