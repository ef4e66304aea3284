"""C-MOVE from a real Orthanc, anonymized before anything is stored."""

import os
import signal
import sqlite3
import stat
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest
from pydicom import dcmread

from tests.conftest import OrthancFactory
from tests.support.canaries import (
    SECRETS,
    SPECS,
    files,
    identified_outside,
    loaded,
    move_job,
    original,
    state,
)
from tests.support.extraction import AET, ROOT, Ended, Job, command
from tests.support.instances import Spec, dataset, encoded
from tests.support.orthanc import OrthancServer
from tests.support.ports import free_port
from tests.support.written import write_csv

CONFIG = Path(__file__).parents[2] / "config"
SAMPLE = {
    "script": str(CONFIG / "sample-dicom-anonymizer.script"),
    "lookup_table": str(CONFIG / "sample-lookup-table.properties"),
}
BASIC = {"profile": "basic"}
LOCAL = free_port()
ULTRASOUND = "1.2.840.10008.5.1.4.1.1.6.1"


@pytest.fixture(scope="module")
def orthanc(start_orthanc: OrthancFactory) -> OrthancServer:
    return loaded(start_orthanc([(AET, LOCAL)]))


@pytest.fixture
def job(orthanc: OrthancServer, tmp_path: Path) -> Job:
    return move_job(tmp_path, orthanc, LOCAL)


def anonymizing(job: Job, **section: object) -> Ended:
    job.change("anonymization", enabled=True, **section)
    return job.run()


def spooled(job: Job) -> list[Path]:
    return list((state(job) / "spool").iterdir())


@pytest.mark.parametrize("decompress", [False, True])
@pytest.mark.parametrize("how", [SAMPLE, BASIC], ids=["script", "basic"])
def test_only_anonymized_instances_reach_the_output(
    job: Job, how: dict[str, object], decompress: bool
) -> None:
    job.change("output", decompress=decompress)
    done = anonymizing(job, **how)
    assert done.code == 0, done.text
    assert "Anonymization ENABLED" in done.out
    assert identified_outside(job, done.text) == []
    stored = files(job)
    assert len(stored) == len(SPECS)
    for path in stored:
        ds = dcmread(path)
        assert ds.PatientIdentityRemoved == "YES"
        parts = (str(ds.PatientID), ds.StudyInstanceUID, ds.SeriesInstanceUID)
        assert path.relative_to(job.out).parts[:3] == parts
        assert path.name == f"{ds.SOPInstanceUID}.dcm"
        assert ds.file_meta.MediaStorageSOPInstanceUID == ds.SOPInstanceUID
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert ds.pixel_array.any()
        if decompress:
            assert ds.file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.1"
    assert spooled(job) == []
    assert list((state(job) / "decompressed").iterdir()) == []
    assert {row["Outcome"] for row in job.results()} == {"complete"}
    assert [row["Stored"] for row in job.results()] == ["8"] * 3
    assert job.command("verify").code == 0


def test_nothing_identified_lies_outside_the_state_directory_in_any_file(job: Job) -> None:
    """S10."""
    temporary = job.folder / "tmp"
    temporary.mkdir()
    job.change("output", decompress=True)
    job.change("anonymization", enabled=True, **BASIC)
    environ = {"TMPDIR": str(temporary), "PYTHONPATH": str(ROOT)}
    done = command("run", str(job.config), cwd=job.folder, environ=environ)
    assert done.code == 0, done.text
    printed = done.text
    for name in ("status", "verify", "purge"):
        again = command(name, str(job.config), cwd=job.folder, environ=environ)
        assert again.code == 0, again.text
        printed += again.text
    assert identified_outside(job, printed) == []
    by_nature = {job.batch, job.results_file.resolve()}  # they name the rows
    seen = 0
    for path in job.folder.rglob("*"):
        if path.is_file() and path not in by_nature and not path.is_relative_to(state(job)):
            seen += 1
            content = path.read_bytes()
            assert not any(secret.encode() in content for secret in SECRETS), path
            assert not any(secret in str(path) for secret in SECRETS)
    assert seen == len(SPECS) + 1  # the images and the configuration
    log = (state(job) / "run.log").read_text()
    assert not any(secret in log for secret in SECRETS)
    assert list(temporary.iterdir()) == []


def ultrasound(orthanc: OrthancServer, job: Job) -> Spec:
    """Ask for two images of a modality that usually has text burned in; one is compressed."""
    spec = Spec(patient=9, modality="US", sop_class=ULTRASOUND)
    for number, encoding in ((1, "explicit"), (2, "jpeg-lossless")):
        orthanc.load([encoded(original(replace(spec, instance=number)), encoding)])
    write_csv(job.batch, [["StudyInstanceUID"], [spec.study_uid]])
    return spec


def test_images_that_usually_show_text_are_quarantined_unless_it_is_allowed(
    orthanc: OrthancServer, job: Job
) -> None:
    ultrasound(orthanc, job)
    done = anonymizing(job, **BASIC)
    assert done.code == 1, done.text
    assert files(job) == []
    with closing(sqlite3.connect(state(job) / "ledger.sqlite")) as db:
        reasons = db.execute("SELECT DISTINCT reason FROM quarantine").fetchall()
    assert reasons == [("Images of this SOP class usually have text burned in",)]
    assert identified_outside(job, done.text) == []
    job.change("anonymization", pixel_risk="allow")
    assert job.run("--accept-changes").code == 0
    assert len(files(job)) == 2


def test_a_pixel_script_blanks_its_regions_before_anything_is_stored(
    orthanc: OrthancServer, job: Job
) -> None:
    spec = ultrasound(orthanc, job)
    rules = job.folder / "pixels.txt"
    rules.write_text('{ Modality.equals("US") }\n(0, 0, 7, 3)\n')
    done = anonymizing(job, **BASIC, pixel_script=str(rules))
    assert done.code == 0, done.text
    assert identified_outside(job, done.text) == []
    before = dataset(spec).pixel_array
    stored = [dcmread(path) for path in files(job)]
    assert len(stored) == 2
    for ds in stored:
        assert ds.BurnedInAnnotation == "NO"
        assert ds.file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.1"
        assert not ds.pixel_array[:4, :8].any()
    (first,) = [ds for ds in stored if ds.InstanceNumber == 1]
    outside = np.ones(before.shape, dtype=bool)
    outside[:4, :8] = False
    assert before[:4, :8].any()
    assert (first.pixel_array[outside] == before[outside]).all()


def test_an_instance_that_comes_twice_is_stored_once_although_the_script_writes_the_time(
    job: Job,
) -> None:
    script = job.folder / "clock.script"
    text = Path(SAMPLE["script"]).read_text()
    script.write_text(text.replace("Sample script of", "@date(.) @time(.)"))
    rows = [["QueryRetrieveLevel", "StudyInstanceUID", "SeriesInstanceUID"]]
    for one in sorted({(spec.study_uid, spec.series_uid) for spec in SPECS}):
        rows += [["SERIES", *one]]
    rows += [["STUDY", study, ""] for study in sorted({spec.study_uid for spec in SPECS})]
    write_csv(job.batch, rows)
    done = anonymizing(job, script=str(script), lookup_table=SAMPLE["lookup_table"])
    assert done.code == 0, done.text
    assert len(files(job)) == len(SPECS)
    assert list((state(job) / "quarantine").iterdir()) == []
    assert {row["Outcome"] for row in job.results()} == {"complete"}
    assert job.command("verify").code == 0


def test_a_script_is_applied_to_what_the_profile_left(job: Job) -> None:
    script = job.folder / "after.script"
    method = "@always()@param(@NAME) of @contents(PatientID)"
    script.write_text(
        '<script><p t="NAME">Copy</p>'
        f'<e en="T" t="00120063" n="DeidentificationMethod">{method}</e></script>'
    )
    done = anonymizing(job, **BASIC, script=str(script))
    assert done.code == 0, done.text
    assert identified_outside(job, done.text) == []
    for path in files(job):
        ds = dcmread(path)
        assert ds.DeidentificationMethod == f"Copy of {ds.PatientID}"


def test_a_second_run_finds_nothing_left_and_a_restart_recognises_every_file(job: Job) -> None:
    assert anonymizing(job, **BASIC).code == 0
    before = {path: path.read_bytes() for path in files(job)}
    assert job.run().code == 0
    done = job.run("--restart")
    assert done.code == 0, done.text
    assert {path: path.read_bytes() for path in files(job)} == before
    job.change("anonymization", options=["retain_uids"])
    done = job.run()
    assert done.code == 2
    assert "options" in done.err


def test_a_run_killed_at_any_moment_goes_on_without_a_leak_or_a_loss(job: Job) -> None:
    job.change("anonymization", enabled=True, **BASIC)
    for pause in (1.5, 2.2, 2.8):
        with job.start() as running:
            running.says("Starting local storage", 30)
            time.sleep(pause - 1.4)
            workers = psutil.Process(running.pid).children(recursive=True)
            os.kill(running.pid, signal.SIGKILL)  # the parent alone: the workers must end too
            _, alive = psutil.wait_procs(workers, timeout=10)
            assert alive == []
        assert identified_outside(job, running.text) == []
    done = job.run()
    assert done.code == 0, done.text
    assert identified_outside(job, done.text) == []
    uids = [dcmread(path).SOPInstanceUID for path in files(job)]
    assert len(uids) == len(set(uids)) == len(SPECS)
    assert spooled(job) == []


def workers_of(pid: int) -> Iterator[int]:
    for child in psutil.Process(pid).children(recursive=True):
        yield child.pid


def test_workers_that_are_killed_are_replaced(job: Job) -> None:
    job.change("anonymization", enabled=True, **BASIC)
    killed = 0
    with job.start() as running:
        while running.is_running and killed < 3:
            for pid in list(workers_of(running.pid)) if running.is_running else []:
                os.kill(pid, signal.SIGKILL)
                killed += 1
                time.sleep(0.3)
        done = running.wait()
    assert killed
    assert done.code in {0, 1, 3}, done.text
    assert identified_outside(job, done.text) == []
    if done.code:
        assert job.run().code in {0, 1}
    held = len(files(job)) + len(list((state(job) / "quarantine").iterdir()))
    assert held == len(SPECS)


def test_what_cannot_be_anonymized_is_quarantined_and_named_by_line_alone(job: Job) -> None:
    """S10."""
    table = job.folder / "table.properties"
    text = (CONFIG / "sample-lookup-table.properties").read_text()
    table.write_text(text.replace("ptid/00000102", "ptid/other"))
    script = SAMPLE["script"]
    done = anonymizing(job, script=script, lookup_table=str(table), quarantine_limit=100)
    assert done.code == 1, done.text
    assert identified_outside(job, done.text) == []
    assert len(files(job)) == 16
    quarantined = list((state(job) / "quarantine").iterdir())
    assert len(quarantined) == 8
    assert {stat.S_IMODE(path.stat().st_mode) for path in quarantined} == {0o600}
    assert spooled(job) == []
    outcomes = sorted(row["Outcome"] for row in job.results())
    assert outcomes == ["complete", "complete", "quarantined"]
    assert "8 instances were quarantined" in job.command("status").out
    with closing(sqlite3.connect(state(job) / "ledger.sqlite")) as db:
        reasons = {row[0] for row in db.execute("SELECT reason FROM quarantine")}
    assert reasons == {"A value is missing in the lookup table"}
    table.write_text(text)
    assert job.run("--accept-changes").code == 0
    assert len(files(job)) == 24


def test_a_run_that_quarantines_too_much_stops_early_and_says_why(job: Job) -> None:
    table = job.folder / "table.properties"
    table.write_text("ptid/nobody=x\n")
    done = anonymizing(job, script=SAMPLE["script"], lookup_table=str(table))
    assert done.code == 3, done.text
    assert "instances were quarantined (" in done.err
    assert "A value is missing in the lookup table" in done.err
    assert "anonymization.quarantine_limit" in done.err
    assert files(job) == []
    assert identified_outside(job, done.text) == []


def test_two_originals_never_become_one_instance(job: Job) -> None:
    script = job.folder / "one.script"
    script.write_text(
        Path(SAMPLE["script"]).read_text().replace("@hashuid(@UIDROOT,this)", "1.2.3.4", 1)
    )
    more = {"lookup_table": SAMPLE["lookup_table"], "quarantine_limit": 100}
    done = anonymizing(job, script=str(script), **more)
    assert done.code == 1, done.text
    (only,) = files(job)
    assert dcmread(only).SOPInstanceUID == "1.2.3.4"
    assert len(list((state(job) / "quarantine").iterdir())) == len(SPECS) - 1
    content = only.read_bytes()
    assert job.run().code == 1
    assert files(job) == [only]
    assert only.read_bytes() == content


@pytest.mark.parametrize(
    ("section", "words"),
    [
        ({"script": "missing.script"}, "does not exist"),
        ({"script": "empty.script"}, "changes nothing"),
        ({"script": "bad.script"}, "bad.script:"),
        ({"profile": "basic", "key_file": "weak.key"}, "shorter than 16 bytes"),
    ],
)
def test_a_run_that_could_not_anonymize_is_refused_before_anything_is_sent(
    job: Job, section: dict[str, str], words: str
) -> None:
    (job.folder / "empty.script").write_text("<script></script>")
    bad = '<script>\n<e en="T" t="00100010" n="PatientName">@nothing()</e></script>'
    (job.folder / "bad.script").write_text(bad)
    (job.folder / "weak.key").write_text("short")
    (job.folder / "weak.key").chmod(0o600)
    done = anonymizing(job, **section)
    assert done.code == 2, done.text
    assert words in done.err
    assert "Anonymization ENABLED" not in done.text
    assert files(job) == []


def test_images_that_would_go_elsewhere_identified_are_not_asked_for(job: Job) -> None:
    job.change("request", destination="OTHER")
    done = anonymizing(job, **BASIC)
    assert done.code == 2
    assert "request.destination sends images elsewhere" in done.err


def test_an_output_with_identified_images_is_not_mixed_with_anonymized_ones(job: Job) -> None:
    assert job.run().code == 0
    done = anonymizing(job, **BASIC)
    assert done.code == 2
    assert "without anonymization" in done.err


def test_one_key_gives_one_set_of_pseudonyms_in_two_extractions(job: Job, tmp_path: Path) -> None:
    key = tmp_path / "project.key"
    key.write_text("a key of this test, long enough")
    key.chmod(0o600)
    mapping = tmp_path / "map.csv"
    assert anonymizing(job, **BASIC, key_file=str(key), mapping_file=str(mapping)).code == 0
    first = {path.relative_to(job.out) for path in files(job)}
    assert stat.S_IMODE(mapping.stat().st_mode) == 0o600
    assert len(mapping.read_text().splitlines()) == 4
    for name, same in (("again", True), ("other", False)):
        job.change("output", directory=str(tmp_path / name))
        if not same:
            job.sections["project"] = "other"
            job.write()
        assert job.run().code == 0
        assert ({path.relative_to(job.out) for path in files(job)} == first) is same


def test_a_sample_shows_what_would_happen_and_leaves_nothing(job: Job) -> None:
    job.change("anonymization", enabled=True, **BASIC, options=["retain_patient_chars"])
    done = job.command("check", "--sample", "10")
    assert done.code == 0, done.text
    assert "10 instances were retrieved, anonymized and thrown away" in done.out
    assert identified_outside(job, done.text) == []
    rows = {line[45:].strip(): line[:45].split() for line in done.out.splitlines()}
    assert rows["(0010,0020) PatientID"] == ["10"]
    words = {name: line for line in done.out.splitlines() for name in [line[45:].strip()]}
    assert words["(0008,0060) Modality"].startswith("       10")  # kept
    assert words["(0010,0020) PatientID"].startswith(" " * 16 + "10")  # changed
    assert words["(0010,1002) OtherPatientIDsSequence"].startswith(" " * 25 + "10")  # removed
    assert words["(0008,0050) AccessionNumber"].startswith(" " * 34 + "10")  # emptied
    assert words["(0012,0062) PatientIdentityRemoved"].startswith(" " * 43 + "10")  # added
    assert not (state(job) / "sample").exists()
    assert files(job) == []


def test_a_sample_names_why_instances_would_be_quarantined(job: Job) -> None:
    (job.folder / "empty.properties").write_text("ptid/nobody=x\n")
    table = str(job.folder / "empty.properties")
    job.change("anonymization", enabled=True, script=SAMPLE["script"], lookup_table=table)
    done = job.command("check", "--sample", "3")
    assert done.code == 1, done.text
    assert "FAIL  3 would be quarantined: A value is missing in the lookup table" in done.out
    job.change("anonymization", enabled=False)
    done = job.command("check", "--sample", "3")
    assert done.code == 2
    assert "nothing would be anonymized" in done.err


def test_check_warns_about_scripts_that_leave_a_doubt(job: Job) -> None:
    script = job.folder / "names.script"
    script.write_text('<script><e en="T" t="00100010" n="PatientName">x</e></script>')
    job.change("anonymization", enabled=True, script=str(script))
    done = job.command("check")
    assert done.code == 0, done.text
    assert "Warning: " in done.err
    assert "Sequences that the script does not name stay" in done.err


def test_purging_ends_the_life_of_identified_data(job: Job) -> None:
    table = job.folder / "table.properties"
    table.write_text("ptid/nobody=x\n")
    assert anonymizing(job, script=SAMPLE["script"], lookup_table=str(table)).code == 3
    held = [p for p in state(job).rglob("*.dcm") if p.is_file()]
    assert held
    done = job.command("purge")
    assert done.code == 0
    assert "quarantined instances" in done.out
    assert [p for p in state(job).rglob("*.dcm") if p.is_file()] == []
    assert job.command("purge", "--all").code == 0
    assert {path.name for path in state(job).rglob("*") if path.is_file()} == {"lock"}


def test_quarantined_instances_are_removed_after_their_days(job: Job) -> None:
    table = job.folder / "table.properties"
    table.write_text("ptid/nobody=x\n")
    job.change("retention", quarantine_days=0)
    more = {"script": SAMPLE["script"], "lookup_table": str(table), "quarantine_limit": 100}
    assert anonymizing(job, **more).code == 1
    first = {path.stat().st_ino for path in (state(job) / "quarantine").iterdir()}
    assert len(first) == len(SPECS)
    job.run("--skip-failed")
    assert list((state(job) / "quarantine").iterdir()) == []
