from collections import Counter

import pytest
from pydicom import Dataset

from pydicombatch.demo.catalogue import Catalogue, UnanswerableError, answer
from pydicombatch.demo.patients import synthetic_instances

INSTANCES = synthetic_instances()
CATALOGUE = Catalogue(INSTANCES)


def identifier(level: str, **values: object) -> Dataset:
    ds = Dataset()
    ds.QueryRetrieveLevel = level
    for keyword, value in values.items():
        setattr(ds, keyword, value)
    return ds


def found(model: str, keys: Dataset) -> list[Dataset]:
    return [answer(keys, one, "ARCHIVE")[0] for one in CATALOGUE.find(model, keys)]


@pytest.mark.parametrize(
    ("level", "count"), [("PATIENT", 5), ("STUDY", 7), ("SERIES", 9), ("IMAGE", 54)]
)
def test_a_query_without_values_finds_everything_of_its_level(level: str, count: int) -> None:
    assert len(CATALOGUE.find("patient", identifier(level))) == count


def test_the_counters_are_those_of_the_instances() -> None:
    held = Counter(str(ds.SeriesInstanceUID) for ds in INSTANCES)
    keys = identifier("SERIES", SeriesInstanceUID="", NumberOfSeriesRelatedInstances=None)
    answers = found("study", keys)
    assert {ds.SeriesInstanceUID: ds.NumberOfSeriesRelatedInstances for ds in answers} == held


def test_a_study_counts_its_series_modalities_and_classes() -> None:
    keys = identifier(
        "STUDY",
        AccessionNumber="DEMO-A0001",
        ModalitiesInStudy="",
        SOPClassesInStudy="",
        NumberOfStudyRelatedSeries=None,
        NumberOfStudyRelatedInstances=None,
        NumberOfPatientRelatedStudies=None,
    )
    (ds,) = found("study", keys)
    assert ds.ModalitiesInStudy == "CT"
    assert ds.SOPClassesInStudy == "1.2.840.10008.5.1.4.1.1.2"
    assert (ds.NumberOfStudyRelatedSeries, ds.NumberOfStudyRelatedInstances) == (2, 18)
    assert ds.NumberOfPatientRelatedStudies == 2


def test_an_answer_holds_what_was_asked_and_no_patient_data_beyond_it() -> None:
    (ds,) = found("patient", identifier("PATIENT", PatientID="DEMO-0003", PatientName=""))
    assert str(ds.PatientName) == "Prüfkörper^Zoé"
    assert set(ds.dir()) == {
        "InstanceAvailability",
        "PatientID",
        "PatientName",
        "QueryRetrieveLevel",
        "RetrieveAETitle",
        "SpecificCharacterSet",
    }


def test_a_key_below_the_level_comes_back_empty_and_says_so() -> None:
    keys = identifier("STUDY", AccessionNumber="DEMO-A0001", SOPInstanceUID="1.2.3")
    (entity,) = CATALOGUE.find("study", keys)
    response, complete = answer(keys, entity, "ARCHIVE")
    assert not complete
    assert not response.SOPInstanceUID


def test_of_a_sequence_only_the_elements_asked_for_come_back() -> None:
    item = Dataset()
    item.RequestedProcedureID = "RP-DEMO-A0003"
    keys = identifier("SERIES", RequestAttributesSequence=[item], SeriesNumber="2")
    (ds,) = found("study", keys)
    assert ds.RequestAttributesSequence[0].dir() == ["RequestedProcedureID"]


def test_every_key_restricts() -> None:
    keys = identifier("SERIES", Modality="CT", StudyDate="20240101-20240131", PatientSex="F")
    assert len(CATALOGUE.find("study", keys)) == 2


@pytest.mark.parametrize(
    ("model", "level"), [("study", "PATIENT"), ("study", "INSTANCE"), ("patient", "")]
)
def test_a_level_the_model_does_not_have_is_refused(model: str, level: str) -> None:
    with pytest.raises(UnanswerableError):
        CATALOGUE.find(model, identifier(level))


@pytest.mark.parametrize(
    "values",
    [{}, {"PatientID": ""}, {"PatientID": "*"}, {"PatientID": "DEMO*"}, {"Modality": "CT"}],
)
def test_a_retrieve_that_would_mean_everything_is_refused(values: dict[str, str]) -> None:
    with pytest.raises(UnanswerableError):
        CATALOGUE.select("patient", identifier("PATIENT", **values))


@pytest.mark.parametrize("keyword", ["PatientID", "StudyInstanceUID", "SeriesInstanceUID"])
def test_a_retrieve_selects_all_below_the_entity_it_names(keyword: str) -> None:
    level = {"PatientID": "PATIENT", "StudyInstanceUID": "STUDY"}.get(keyword, "SERIES")
    for value in {ds[keyword].value for ds in INSTANCES}:
        selected = CATALOGUE.select("patient", identifier(level, **{keyword: value}))
        wanted = {ds.SOPInstanceUID for ds in INSTANCES if ds[keyword].value == value}
        assert {ds.SOPInstanceUID for ds in selected} == wanted


def test_a_list_of_instances_selects_them_and_no_other() -> None:
    uids = [ds.SOPInstanceUID for ds in INSTANCES[3:9]]
    selected = CATALOGUE.select("study", identifier("IMAGE", SOPInstanceUID=uids))
    assert {ds.SOPInstanceUID for ds in selected} == set(uids)


def test_what_is_not_there_selects_nothing() -> None:
    assert CATALOGUE.select("study", identifier("STUDY", StudyInstanceUID="1.2.3")) == ()


def test_pixels_never_travel_in_an_answer() -> None:
    keys = identifier("IMAGE", SOPInstanceUID=INSTANCES[0].SOPInstanceUID, PixelData=None)
    (ds,) = found("study", keys)
    assert not ds.PixelData
