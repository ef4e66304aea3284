"""Values that no anonymized place may show, and where to look for them."""

from pydicom import Dataset

from tests.support.extraction import Job
from tests.support.instances import Spec, dataset

CANARY = "QZXCANARY"


def planted(spec: Spec, patient_id: str) -> Dataset:
    """Make an instance whose identifying elements all hold a canary, in sequences and private."""
    ds = dataset(spec)
    ds.PatientID = patient_id
    ds.PatientName = f"{CANARY}^Name"
    ds.PatientBirthDate = "19871203"
    ds.AccessionNumber = CANARY
    ds.StudyDescription = ds.SeriesDescription = f"{CANARY} description"
    ds.InstitutionName = ds.ReferringPhysicianName = ds.OperatorsName = CANARY
    item = Dataset()
    item.PatientName = CANARY
    item.PatientID = CANARY
    ds.OtherPatientIDsSequence = [item]
    block = ds.private_block(0x0011, CANARY, create=True)
    block.add_new(0x01, "LO", CANARY)
    return ds


def identified_outside(job: Job, printed: str) -> list[str]:
    """Return where an identifier shows: output with its names, output of the program, run log.

    UIDs of the originals count, too. The CSV of results is identified by nature.
    """
    secrets = [CANARY, "0000010", "19871203", "1.2.826.0.1.3680043.10.1338"]
    found = [f"printed: {secret}" for secret in secrets if secret in printed]
    state = job.out.with_name(f"{job.out.name}.identified")
    places = [*job.out.rglob("*"), state / "run.log"]
    for path in places:
        found += [f"name: {path}" for secret in secrets if secret in path.name]
        if path.is_file() and not path.name.startswith("results"):
            content = path.read_bytes()
            found += [f"content: {path}" for secret in secrets if _holds(content, secret)]
    return found


def _holds(content: bytes, secret: str) -> bool:
    return secret.encode() in content or secret.encode("utf-16-le") in content
