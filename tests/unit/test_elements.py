from io import BytesIO

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.charset import python_encoding
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pynetdicom.dsutils import decode, encode

from pydicombatch.core.elements import (
    ElementError,
    check_key,
    column,
    parse_key,
    parse_path,
    read,
    to_dataset,
)
from pydicombatch.core.model import Key


@pytest.mark.parametrize(
    ("text", "path", "value"),
    [
        ("PatientID=02004950", "PatientID", "02004950"),
        ("PatientName", "PatientName", ""),
        ("Date", "Date", ""),
        ("(0020,1208)", "NumberOfStudyRelatedInstances", ""),
        ("0020,1208", "NumberOfStudyRelatedInstances", ""),
        ("00201208=4", "NumberOfStudyRelatedInstances", "4"),
        ("(0010,0020", "PatientID", ""),
        ("(7fe0,0010)", "PixelData", ""),
        ("  QueryRetrieveLevel = SERIES ", "QueryRetrieveLevel", "SERIES"),
        ("StudyDescription=a=b.c", "StudyDescription", "a=b.c"),
        ("(0009,00ff)=ACME", "(0009,00FF)", "ACME"),
        ("(6000,3000)", "(6000,3000)", ""),
        (
            "RequestAttributesSequence.ScheduledProcedureStepID=7",
            "RequestAttributesSequence[0].ScheduledProcedureStepID",
            "7",
        ),
        ("(0040,0275)[2].(0010,0010)", "RequestAttributesSequence[2].PatientName", ""),
        ("RequestAttributesSequence[0]", "RequestAttributesSequence[0]", ""),
    ],
)
def test_an_element_is_read_in_every_usual_spelling(text: str, path: str, value: str) -> None:
    assert parse_key(text) == Key(path, value)


def test_a_misspelt_keyword_names_the_entry_and_the_nearest_keywords() -> None:
    with pytest.raises(ElementError) as caught:
        parse_key("StudyDat=19990101")
    assert "'StudyDat'" in caught.value.problem
    assert "StudyDate" in caught.value.remedy
    assert "1999" not in str(caught.value)
    assert caught.value.finding("a.yml", 3).line == 3


@pytest.mark.parametrize(
    "text",
    [
        "",
        "=x",
        "RequestAttributesSequence[*].PatientID",
        "RequestAttributesSequence[100].PatientID",
        "RequestAttributesSequence[-1].PatientID",
        "PatientID[0]",
        "PatientID.PatientName",
        "TransferSyntaxUID",
        "(0000,0100)",
        "(0008,0000)",
        "(fffe,e000)",
        "StudyDate.",
        "OverlayData",
    ],
)
def test_what_is_no_element_of_a_data_set_is_refused(text: str) -> None:
    with pytest.raises(ElementError):
        parse_key(text)


@given(st.text() | st.from_regex(r"[A-Za-z(),.\[\]0-9=* ]{0,30}", fullmatch=True))
def test_parsing_never_raises_anything_but_an_element_error(text: str) -> None:
    try:
        key = parse_key(text)
    except ElementError:
        return
    assert parse_key(f"{key.path}={key.value}") == key
    assert column(key.path) == key.path


@given(st.integers(0x00080000, 0xFFF9FFFF).filter(lambda tag: tag & 0xFFFF != 0))
def test_every_tag_has_one_name_whatever_its_spelling(tag: int) -> None:
    comma = f"{tag >> 16:04x},{tag & 0xFFFF:04x}"
    name = parse_path(f"({comma})")
    assert parse_path(comma) == parse_path(f"{tag:08X}") == parse_path(name) == name


@pytest.mark.parametrize(
    "text",
    [
        "Rows=abc",
        "Rows=70000",
        "Rows=-1",
        "Rows=5\\x",
        "InstanceNumber=*",
        "SliceThickness=thick",
        "FrameIncrementPointer=Rows",
        "PixelData=xyz",
        "ExaminedBodyThickness=1e99",
        "RequestAttributesSequence=x",
        "RequestAttributesSequence[0]=x",
        "RequestAttributesSequence[0].Rows=abc",
        "PatientID=a\nb",
    ],
)
def test_a_value_that_cannot_be_encoded_is_refused_without_being_repeated(text: str) -> None:
    name, _, value = text.partition("=")
    key = parse_key(text)
    with pytest.raises(ElementError) as caught:
        check_key(key)
    assert name in caught.value.problem
    assert len(value) == 1 or value not in str(caught.value).replace("Rows", "", 1)


def test_an_identifier_survives_every_encoding() -> None:
    texts = {
        "PatientName": "Müller*",
        "Rows": "5\\6",
        "RequestAttributesSequence[2].Rows": "3",
        "RequestAttributesSequence[0].PatientName": "Zoë",
        "RequestAttributesSequence[0].RecommendedDisplayFrameRate": "7",
        "(0009,0010)": "ACME",
        "(0009,1001)": "not hex",
        "FrameIncrementPointer": "(0018,1063)",
        "InstanceNumber": "007",
        "StudyDate": "20200101-",
        "SOPInstanceUID": "1.2\\1.3",
        "DopplerCorrectionAngle": "0.1",
        "PatientID": "",
    }
    dataset = to_dataset(Key(path, value) for path, value in texts.items())
    assert dataset.SpecificCharacterSet == "ISO_IR 192"
    for implicit, little in ((True, True), (False, True), (False, False)):
        encoded = encode(dataset, implicit, little)
        assert encoded is not None
        again = decode(BytesIO(encoded), implicit, little)
        assert {path: read(again, path) for path in texts} == texts
        assert read(again, "RequestAttributesSequence") == ""
        assert read(again, "RequestAttributesSequence[7].Rows") == ""


def test_an_ascii_identifier_declares_no_character_set() -> None:
    assert "SpecificCharacterSet" not in to_dataset([Key("PatientID", "1")])


def test_the_configured_character_set_is_declared_and_must_know_the_characters() -> None:
    assert to_dataset([Key("PatientID", "Zoë")], "ISO_IR 100").SpecificCharacterSet == "ISO_IR 100"
    own = [Key("SpecificCharacterSet", "ISO_IR 101"), Key("PatientID", "Ł")]
    assert to_dataset(own, "ISO_IR 100").SpecificCharacterSet == "ISO_IR 101"
    with pytest.raises(ElementError, match="characters"):
        to_dataset([Key("PatientID", "山田")], "ISO_IR 100")


def test_a_later_key_replaces_an_earlier_one() -> None:
    dataset = to_dataset([Key("PatientID", "1"), Key("PatientID", "2")])
    assert dataset.PatientID == "2"


def test_a_whole_sequence_is_asked_for_as_one_empty_item_or_none() -> None:
    assert len(to_dataset([parse_key("RequestAttributesSequence")])[0x00400275].value) == 0
    assert len(to_dataset([parse_key("RequestAttributesSequence[0]=")])[0x00400275].value) == 1


def raw(*elements: tuple[int, bytes]) -> Dataset:
    """Encode elements in Implicit VR Little Endian and read them as from a network."""
    parts = [
        (tag >> 16).to_bytes(2, "little")
        + (tag & 0xFFFF).to_bytes(2, "little")
        + len(value).to_bytes(4, "little")
        + value
        for tag, value in elements
    ]
    return decode(BytesIO(b"".join(parts)), True, True)


@pytest.mark.parametrize(
    ("charset", "fallback", "value", "text"),
    [
        (b"ISO_IR 100", None, b"M\xfcller ", "Müller"),
        (b"ISO-IR 100", None, b"M\xfcller", "Müller"),
        (b"ISO_IR 192", None, "Zoë".encode(), "Zoë"),
        (b"", None, "Zoë".encode(), "Zoë"),
        (b"", None, b"M\xfcller", "M\\xfcller"),
        (b"", "ISO_IR 100", b"M\xfcller", "Müller"),
        (b"NONSENSE", None, b"M\xfcller", "M\\xfcller"),
        (b"ISO_IR 192", None, b"M\xfcller", "M\\xfcller"),
        (b"\\ISO 2022 IR 87", None, b"\x1b$B;3ED\x1b(B^x", "山田^x"),
        (b"", None, b" A\\B \0", "A\\B"),
    ],
)
def test_text_is_decoded_by_its_character_set_or_kept_reversibly(
    charset: bytes, fallback: str | None, value: bytes, text: str
) -> None:
    answer = raw((0x00080005, charset), (0x00100010, value))
    assert read(answer, "PatientName", fallback) == text


def test_numbers_that_are_not_numbers_are_shown_as_they_were_sent() -> None:
    answer = raw((0x00200013, b"12.x "), (0x00280010, b"\x01\x02\x03"), (0x00180050, b"thick"))
    assert read(answer, "InstanceNumber") == "12.x"
    assert read(answer, "Rows") == "010203"
    assert read(answer, "SliceThickness") == "thick"
    assert read(answer, "Columns") == ""


@given(
    st.sampled_from(sorted(python_encoding)),
    st.lists(
        st.tuples(
            st.sampled_from([0x00100010, 0x00200013, 0x00280010, 0x00091001, 0x00400275]),
            st.binary(max_size=40),
        ),
        max_size=4,
    ),
)
def test_reading_never_raises_on_malformed_values(
    charset: str, elements: list[tuple[int, bytes]]
) -> None:
    answer = raw((0x00080005, charset.encode()), *sorted(elements))
    for path in ("PatientName", "InstanceNumber", "Rows", "(0009,1001)"):
        assert read(answer, path).encode().decode() == read(answer, path)
    assert read(answer, "RequestAttributesSequence[0].PatientID") == ""


def test_a_data_set_made_in_memory_is_read_too() -> None:
    dataset = Dataset()
    dataset.PatientName = "Doe^Jane"
    dataset.ImageType = ["ORIGINAL", "PRIMARY"]
    dataset.InstanceNumber = 4
    dataset[0x00091001] = DataElement(0x00091001, "UN", b"\x01\xff")
    assert read(dataset, "PatientName") == "Doe^Jane"
    assert read(dataset, "ImageType") == "ORIGINAL\\PRIMARY"
    assert read(dataset, "InstanceNumber") == "4"
    assert read(dataset, "(0009,1001)") == "01FF"
