"""What every synthetic instance has in common, module by module (PS3.3 C.7, C.12)."""

from dataclasses import dataclass
from uuid import UUID, uuid5

from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian

_ROOT = UUID("6b1f1c1e-6d0c-5b0e-9f43-7079646d6f31")  # ours; any fixed one does


@dataclass(frozen=True, slots=True)
class Patient:
    """Nobody."""

    patient_id: str
    name: str
    birth_date: str
    sex: str
    charset: str = "ISO_IR 192"


@dataclass(frozen=True, slots=True)
class Study:
    """One visit of nobody's."""

    instance_uid: str
    date: str
    time: str
    accession_number: str
    description: str
    study_id: str
    age: str


@dataclass(frozen=True, slots=True)
class Series:
    """One series of a visit."""

    instance_uid: str
    modality: str
    number: int
    description: str
    body_part: str


def uid(name: str) -> str:
    """Derive the UID that belongs to a name: always the same (PS3.5 B.2, UUID derived)."""
    return f"2.25.{uuid5(_ROOT, name).int}"


def composite(
    patient: Patient, study: Study, series: Series, number: int, sop_class_uid: str
) -> Dataset:
    """Fill the modules that all composite instances share; `number` counts from 1."""
    ds = Dataset()
    ds.SpecificCharacterSet = patient.charset
    ds.SOPClassUID = sop_class_uid
    ds.SOPInstanceUID = uid(f"{series.instance_uid} {number}")
    ds.InstanceCreationDate, ds.InstanceCreationTime = study.date, study.time
    _add_patient(ds, patient)
    _add_study(ds, study, patient)
    _add_series(ds, study, series)
    _add_equipment(ds)
    ds.InstanceNumber = str(number)
    ds.ContentDate, ds.ContentTime = study.date, study.time
    ds.AcquisitionDate, ds.AcquisitionTime = study.date, study.time
    ds.AcquisitionNumber = "1"
    ds.BurnedInAnnotation = "NO"
    ds.LossyImageCompression = "00"
    _add_file_meta(ds)
    return ds


def _add_patient(ds: Dataset, patient: Patient) -> None:
    ds.PatientName = patient.name
    ds.PatientID = patient.patient_id
    ds.IssuerOfPatientID = "PYDICOMBATCH DEMO"
    ds.PatientBirthDate = patient.birth_date
    ds.PatientSex = patient.sex
    ds.PatientComments = "Synthetic data, not a person"


def _add_study(ds: Dataset, study: Study, patient: Patient) -> None:
    ds.StudyInstanceUID = study.instance_uid
    ds.StudyDate, ds.StudyTime = study.date, study.time
    ds.ReferringPhysicianName = "Nobody^Doctor"
    ds.StudyID = study.study_id
    ds.AccessionNumber = study.accession_number
    ds.StudyDescription = study.description
    ds.PatientAge = study.age
    ds.PatientSize = "0.65" if patient.birth_date > "2020" else "1.72"
    ds.PatientWeight = "7.5" if patient.birth_date > "2020" else "70"


def _add_series(ds: Dataset, study: Study, series: Series) -> None:
    ds.Modality = series.modality
    ds.SeriesInstanceUID = series.instance_uid
    ds.SeriesNumber = str(series.number)
    ds.SeriesDate, ds.SeriesTime = study.date, study.time
    ds.SeriesDescription = series.description
    ds.ProtocolName = f"DEMO {series.modality}"
    ds.BodyPartExamined = series.body_part
    request = Dataset()
    request.RequestedProcedureID = f"RP-{study.accession_number}"
    request.ScheduledProcedureStepID = f"SPS-{series.number}"
    ds.RequestAttributesSequence = [request]


def _add_equipment(ds: Dataset) -> None:
    ds.Manufacturer = "pydicombatch"
    ds.ManufacturerModelName = "Synthetic"
    ds.InstitutionName = "Hospital of Nowhere"
    ds.StationName = "DEMO"
    ds.DeviceSerialNumber = "0"
    ds.SoftwareVersions = "1"


def _add_file_meta(ds: Dataset) -> None:
    meta = FileMetaDataset()
    meta.FileMetaInformationVersion = b"\x00\x01"
    meta.MediaStorageSOPClassUID = ds.SOPClassUID
    meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = UID(uid("implementation"))
    meta.ImplementationVersionName = "PYDICOMBATCH"
    ds.file_meta = meta
