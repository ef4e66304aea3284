"""Which level an element belongs to, and which key names an entity (PS3.4 C.6.1, C.6.2)."""

UNIQUE_KEYS = {  # level -> its unique key, outermost first
    "PATIENT": "PatientID",
    "STUDY": "StudyInstanceUID",
    "SERIES": "SeriesInstanceUID",
    "IMAGE": "SOPInstanceUID",
}
LEVELS = {  # PS3.4 C.6.1, C.6.2, C.6.3
    "patient": ("PATIENT", "STUDY", "SERIES", "IMAGE"),
    "study": ("STUDY", "SERIES", "IMAGE"),
    "psonly": ("PATIENT", "STUDY"),
}
DEPTH = {level: depth for depth, level in enumerate(UNIQUE_KEYS)}
NO_KEYS = frozenset({"QueryRetrieveLevel", "SpecificCharacterSet"})

# Elements that an archive need not know, but that can be counted: at which level, of what below
# (PS3.4 C.3.4.1.2 and C.3.4.2.2).
COUNTS = {
    "NumberOfPatientRelatedStudies": ("PATIENT", "STUDY"),
    "NumberOfPatientRelatedSeries": ("PATIENT", "SERIES"),
    "NumberOfPatientRelatedInstances": ("PATIENT", "IMAGE"),
    "NumberOfStudyRelatedSeries": ("STUDY", "SERIES"),
    "NumberOfStudyRelatedInstances": ("STUDY", "IMAGE"),
    "NumberOfSeriesRelatedInstances": ("SERIES", "IMAGE"),
}
# The same for lists of the values that occur below.
COLLECTED = {
    "ModalitiesInStudy": ("STUDY", "SERIES", "Modality"),
    "SOPClassesInStudy": ("STUDY", "IMAGE", "SOPClassUID"),
}
INSTANCES = {
    "PATIENT": "NumberOfPatientRelatedInstances",
    "STUDY": "NumberOfStudyRelatedInstances",
    "SERIES": "NumberOfSeriesRelatedInstances",
}
MODALITIES = {"STUDY": "ModalitiesInStudy", "SERIES": "Modality"}

_ELEMENTS = {
    "PATIENT": """
        PatientID PatientName IssuerOfPatientID IssuerOfPatientIDQualifiersSequence
        PatientBirthDate PatientBirthTime PatientSex OtherPatientIDs OtherPatientIDsSequence
        OtherPatientNames EthnicGroup PatientComments PatientBirthName PatientMotherBirthName
        PatientSpeciesDescription PatientBreedDescription ResponsiblePerson
        """,
    "STUDY": """
        StudyInstanceUID StudyDate StudyTime AccessionNumber IssuerOfAccessionNumberSequence
        StudyID StudyDescription ReferringPhysicianName NameOfPhysiciansReadingStudy
        PhysiciansOfRecord ProcedureCodeSequence PatientAge PatientSize PatientWeight Occupation
        AdditionalPatientHistory AdmittingDiagnosesDescription InstitutionName
        InstitutionalDepartmentName ReasonForVisit RequestingPhysician RequestingService
        RequestedProcedureDescription StudyStatusID StudyPriorityID OtherStudyNumbers
        """,
    "SERIES": """
        SeriesInstanceUID Modality SeriesNumber SeriesDescription SeriesDate SeriesTime
        BodyPartExamined ProtocolName Laterality PerformingPhysicianName OperatorsName
        PerformedProcedureStepStartDate PerformedProcedureStepStartTime
        PerformedProcedureStepID PerformedProcedureStepDescription RequestAttributesSequence
        SeriesDescriptionCodeSequence Manufacturer ManufacturerModelName StationName
        DeviceSerialNumber SoftwareVersions PatientPosition FrameOfReferenceUID
        """,
}
_LEVEL = {name: level for level, names in _ELEMENTS.items() for name in names.split()}
_LEVEL |= {name: level for name, (level, _) in COUNTS.items()}
_LEVEL |= {name: level for name, (level, *_) in COLLECTED.items()}


def level_of(path: str, model: str) -> str:
    """Return the level at which an element is asked for.

    Parameters
    ----------
    path
        Canonical path; of an element in a sequence the sequence decides.
    model
        Information model: Study Root has the elements of the patient at its STUDY level
        (PS3.4 C.6.2.1).

    Returns
    -------
    str
        What the table does not know can differ from instance to instance: IMAGE, or the lowest
        level of the model.
    """
    name = path.partition(".")[0].partition("[")[0]
    level = _LEVEL.get(name, "IMAGE")
    levels = LEVELS[model]
    if level in levels:
        return level
    return levels[0] if DEPTH[level] < DEPTH[levels[0]] else levels[-1]


def is_derived(path: str) -> bool:
    """Tell whether a value can be counted when an archive does not give it."""
    return path in COUNTS or path in COLLECTED


def is_one_value(value: str) -> bool:
    r"""Tell whether a key names one thing: not empty, no wildcard, no list."""
    return bool(value.strip()) and not {"*", "?", "\\"} & set(value)
