"""What the archive holds, as patients, studies, series and instances; answers queries. Pure."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby

from pydicom import DataElement, Dataset, Sequence

from pydicombatch.core.matching import STEERING
from pydicombatch.demo.matching import is_universal, matches, texts
from pydicombatch.select.levels import LEVELS, UNIQUE_KEYS

_NAMING = (*UNIQUE_KEYS.values(), "AccessionNumber")  # one of them must have a value in a retrieve

_OWN = {  # level -> what an entity of this level has beyond those above it
    "PATIENT": (
        "SpecificCharacterSet",
        "PatientName",
        "PatientID",
        "IssuerOfPatientID",
        "PatientBirthDate",
        "PatientSex",
        "PatientComments",
    ),
    "STUDY": (
        "StudyInstanceUID",
        "StudyDate",
        "StudyTime",
        "AccessionNumber",
        "StudyID",
        "StudyDescription",
        "ReferringPhysicianName",
        "PatientAge",
        "PatientSize",
        "PatientWeight",
        "InstitutionName",
    ),
    "SERIES": (
        "SeriesInstanceUID",
        "Modality",
        "SeriesNumber",
        "SeriesDate",
        "SeriesTime",
        "SeriesDescription",
        "BodyPartExamined",
        "ProtocolName",
        "Manufacturer",
        "ManufacturerModelName",
        "StationName",
        "RequestAttributesSequence",
        "FrameOfReferenceUID",
        "PatientPosition",
    ),
}


class UnanswerableError(Exception):
    """The identifier does not fit the information model (status 0xA900)."""


@dataclass(frozen=True, slots=True)
class Entity:
    """A patient, a study, a series or an instance."""

    attributes: Dataset
    instances: tuple[Dataset, ...]


class Catalogue:
    """All instances of the archive, grouped by level."""

    def __init__(self, instances: Iterable[Dataset]) -> None:
        self._entities: dict[str, list[Entity]] = {level: [] for level in UNIQUE_KEYS}
        for level, entity in _entities(tuple(UNIQUE_KEYS), instances, Dataset()):
            self._entities[level].append(entity)

    def find(self, model: str, keys: Dataset) -> list[Entity]:
        """Return what matches an identifier, patient by patient.

        Parameters
        ----------
        model
            `patient` or `study`, the root of the query.
        keys
            The identifier. Keys of levels above are not insisted on (a relational query).

        Raises
        ------
        UnanswerableError
            If the level is missing or is none of the model.
        """
        return [one for one in self._entities[_level(model, keys)] if matches(keys, one.attributes)]

    def select(self, model: str, keys: Dataset) -> tuple[Dataset, ...]:
        """Return the instances that a C-MOVE or C-GET asks for.

        Raises
        ------
        UnanswerableError
            If the level is none of the model, or nothing in the identifier restricts the answer:
            an empty key would mean the whole archive.
        """
        found = self.find(model, keys)
        if not any(_names_something(keys, keyword) for keyword in _NAMING):
            raise UnanswerableError("no unique key has a value")
        return tuple(instance for entity in found for instance in entity.instances)


def answer(keys: Dataset, entity: Entity, aet: str) -> tuple[Dataset, bool]:
    """Make the identifier of a C-FIND response, and tell whether every key could be answered.

    A key that the entity does not know is returned empty, which the pending status 0xFF01 says
    (PS3.4 C.4.1.1.4).
    """
    response, complete = Dataset(), True
    for key in keys:
        known = key.tag in entity.attributes
        complete &= known or key.keyword in STEERING
        response[key.tag] = (
            _restricted(key, entity.attributes[key.tag])
            if known
            else DataElement(key.tag, key.VR, Sequence() if key.VR == "SQ" else None)
        )
    response.QueryRetrieveLevel = keys.QueryRetrieveLevel
    response.SpecificCharacterSet = entity.attributes.SpecificCharacterSet
    response.RetrieveAETitle = aet
    response.InstanceAvailability = "ONLINE"
    return response, complete


def _restricted(key: DataElement, element: DataElement) -> DataElement:
    """Return of a sequence only what the item of keys asks for, all when it asks for nothing."""
    if key.VR != "SQ" or not key.value or not len(key.value[0]):
        return element
    items = [_picked(item, key.value[0]) for item in element.value]
    return DataElement(element.tag, "SQ", Sequence(items))


def _picked(item: Dataset, keys: Dataset) -> Dataset:
    picked = Dataset()
    for key in keys:
        if key.tag in item:
            picked[key.tag] = _restricted(key, item[key.tag])
    return picked


def _level(model: str, keys: Dataset) -> str:
    level = str(keys.get("QueryRetrieveLevel", "")).strip()
    if level not in LEVELS[model]:
        raise UnanswerableError(f"no level of the {model} root")
    return level


def _names_something(keys: Dataset, keyword: str) -> bool:
    if keyword not in keys:
        return False
    values = texts(keys[keyword])
    return not is_universal(keys[keyword].VR, values) and not {"*", "?"} & set("".join(values))


def _entities(
    levels: tuple[str, ...], instances: Iterable[Dataset], counted: Dataset
) -> Iterator[tuple[str, Entity]]:
    """Walk down from patients to instances; `counted` are the counters of the entities above."""
    level, below = levels[0], levels[1:]
    for group in _groups(instances, UNIQUE_KEYS[level]):
        counters = Dataset()
        counters.update(counted)
        counters.update(_counters(level, group))
        yield level, Entity(_attributes(level, group[0], counters), group)
        if below:
            yield from _entities(below, group, counters)


def _groups(instances: Iterable[Dataset], keyword: str) -> Iterator[tuple[Dataset, ...]]:
    def key(ds: Dataset) -> str:
        return str(ds[keyword].value)

    for _, group in groupby(sorted(instances, key=key), key=key):
        yield tuple(sorted(group, key=_place))


def _counters(level: str, group: tuple[Dataset, ...]) -> Dataset:
    ds = Dataset()
    if level == "PATIENT":
        ds.NumberOfPatientRelatedStudies = len(_values(group, "StudyInstanceUID"))
        ds.NumberOfPatientRelatedSeries = len(_values(group, "SeriesInstanceUID"))
        ds.NumberOfPatientRelatedInstances = len(group)
    elif level == "STUDY":
        ds.ModalitiesInStudy = _values(group, "Modality")
        ds.SOPClassesInStudy = _values(group, "SOPClassUID")
        ds.NumberOfStudyRelatedSeries = len(_values(group, "SeriesInstanceUID"))
        ds.NumberOfStudyRelatedInstances = len(group)
    elif level == "SERIES":
        ds.NumberOfSeriesRelatedInstances = len(group)
    return ds


def _attributes(level: str, one: Dataset, counters: Dataset) -> Dataset:
    """Take what an entity of this level has; an instance has all of its own but the pixels."""
    ds = Dataset()
    if level == "IMAGE":
        ds.update({element.tag: element for element in one if element.keyword != "PixelData"})
    else:
        levels = tuple(_OWN)[: tuple(_OWN).index(level) + 1]
        known = (keyword for each in levels for keyword in _OWN[each])
        ds.update({one[keyword].tag: one[keyword] for keyword in known if keyword in one})
    ds.update(counters)
    return ds


def _values(group: Iterable[Dataset], keyword: str) -> list[str]:
    return sorted({str(ds[keyword].value) for ds in group})


def _place(ds: Dataset) -> tuple[str, str, int]:
    return (str(ds.StudyDate), str(ds.SeriesInstanceUID), int(ds.InstanceNumber))
