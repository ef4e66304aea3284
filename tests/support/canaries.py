"""Values that no anonymized place may show, and where to look for them."""

from pathlib import Path

from pydicom import Dataset

from tests.support.extraction import Job
from tests.support.instances import Spec, dataset, encoded, specs
from tests.support.orthanc import OrthancServer

CANARY = "QZXCANARY"
SECRETS = (CANARY, "0000010", "19871203", "1.2.826.0.1.3680043.10.1338")  # of all originals


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
    found = [f"printed: {secret}" for secret in SECRETS if secret in printed]
    places = [*job.out.rglob("*"), state(job) / "run.log"]
    for path in places:
        found += [f"name: {path}" for secret in SECRETS if secret in path.name]
        if path.is_file() and not path.name.startswith("results"):
            content = path.read_bytes()
            found += [f"content: {path}" for secret in SECRETS if _holds(content, secret)]
    return found


def _holds(content: bytes, secret: str) -> bool:
    return secret.encode() in content or secret.encode("utf-16-le") in content


SPECS = tuple(specs(patients=3, studies=1, series=2, instances=4))


def original(spec: Spec) -> Dataset:
    """One of the three patients of the sample lookup table, with canaries all over."""
    return planted(spec, f"0000010{spec.patient}")


def loaded(server: OrthancServer) -> OrthancServer:
    """Load all instances; the first of each series is compressed."""
    for spec in SPECS:
        server.load(
            [encoded(original(spec), "jpeg-lossless" if spec.instance == 1 else "explicit")]
        )
    return server


def move_job(folder: Path, server: OrthancServer, local_port: int) -> Job:
    """Make a C-MOVE of all studies, with the CSV of results outside the output directory."""
    rows = [["StudyInstanceUID"], *([study] for study in sorted({s.study_uid for s in SPECS}))]
    output = {
        "directory": str(folder / "out"),
        "database_file": "../results.csv",
        "directory_structure": "PatientID/StudyInstanceUID/SeriesInstanceUID",
    }
    elements = ["QueryRetrieveLevel=STUDY"]
    return Job(folder, server, local_port, "c-move", elements, rows, output=output)


def state(job: Job) -> Path:
    """Where the state of a job lies that anonymizes."""
    return job.out.with_name(f"{job.out.name}.identified")


def files(job: Job) -> list[Path]:
    """All files of the output directory."""
    return sorted(path for path in job.out.rglob("*") if path.is_file())
