"""The export of elements, from files on disk to a table that pandas reads."""

import os
import signal
import stat
import subprocess
import sys
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pandas as pd
import psutil
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import UID

from pydicombatch import Extraction
from pydicombatch.app.exporting import DEFAULT, export
from tests.support.extraction import ROOT, Ended, command
from tests.support.instances import ENCODINGS, Spec, dataset, encoded, specs
from tests.support.tree import make
from tests.support.written import rows_of

# A path into a sequence is read by pydicom: there is time to kill it
SLOW = ("--element", "ProcedureCodeSequence[0].CodeMeaning")
SECRET = "Müller^Zoë"
ODD = replace(Spec(instance=9), patient_name="Yamada^Tarou=山田^太郎")


def run(config: Path, *options: str) -> Ended:
    return command("export", str(config), *options, cwd=config.parent)


def read(path: Path) -> pd.DataFrame:
    if path.suffix == ".parquet":
        return pd.read_parquet(path)
    return pd.read_csv(path, dtype=str)


@pytest.mark.parametrize("name", ["instances.csv", "instances.parquet"])
def test_every_instance_has_a_row_with_the_values_that_pydicom_reads(
    tmp_path: Path, name: str
) -> None:
    config, files = make(tmp_path, specs(2, 1, 2, 3, patient_name=SECRET))
    ended = run(config, "--output", name)
    assert ended.code == 0, ended.text
    assert ended.out == f"12 instances written to {name}\n"
    table = read(tmp_path / name)
    assert list(table.columns) == ["path", *DEFAULT]
    assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600
    assert list(table.path) == [str(one.relative_to(tmp_path / "images")) for one in files]
    for _, row in table.iterrows():
        ds = dcmread(tmp_path / "images" / row.path)
        assert row.SOPInstanceUID == ds.SOPInstanceUID
        assert row.ImageOrientationPatient == r"1.0\0.0\0.0\0.0\1.0\0.0"
        assert (row.Modality, row.Rows, row.PatientSex) == ("CT", str(ds.Rows), "O")
        assert pd.isna(row.KVP), "an element that is not there"


def test_chosen_elements_may_be_paths_into_sequences_and_tags(tmp_path: Path) -> None:
    config, _ = make(tmp_path, [ODD])
    names = ("PatientName", "ProcedureCodeSequence[0].CodeMeaning", "(0008,0060)", "PatientName")
    ended = run(
        config, "--output", "x.csv", *[word for one in names for word in ("--element", one)]
    )
    assert ended.code == 0, ended.text
    (row,) = rows_of(tmp_path / "x.csv")
    assert row == {
        "path": row["path"],
        "SOPInstanceUID": ODD.sop_uid,
        "PatientName": ODD.patient_name,
        "ProcedureCodeSequence[0].CodeMeaning": "Computed tomography",
        "Modality": "CT",
    }


@pytest.mark.parametrize("encoding", sorted(set(ENCODINGS) - {"jpeg-baseline"}))
def test_both_ways_of_reading_say_the_same_of_every_transfer_syntax(
    tmp_path: Path, encoding: str
) -> None:
    config, _ = make(tmp_path, [ODD], lambda spec: encoded(dataset(spec), encoding))
    extraction = Extraction.from_file(config)
    names = [one for one in (*DEFAULT, "PatientName", "SmallestImagePixelValue") if one != "Rows"]
    export(
        extraction.config, tmp_path / "slow.csv", names
    )  # the last has two value representations
    export(extraction.config, tmp_path / "fast.csv", names[:-1])
    slow, fast = read(tmp_path / "slow.csv"), read(tmp_path / "fast.csv")
    assert fast.PatientName[0] == ODD.patient_name
    pd.testing.assert_frame_equal(slow.drop(columns=names[-1]), fast)


def test_files_that_are_gone_or_changed_have_no_row_are_counted_and_named_on_request(
    tmp_path: Path,
) -> None:
    config, files = make(tmp_path, specs(instances=5))
    files[1].unlink()
    files[3].write_bytes(files[3].read_bytes() + b"\0\0")
    files[4].write_bytes(bytes(files[4].stat().st_size))  # the same size, but no instance
    ended = run(config, "--output", "x.csv")
    assert ended.code == 1
    assert ended.out.splitlines() == [
        "2 instances written to x.csv",
        "2 files with other content than was stored",
        "1 files not there any more",
        "`--list` names them.",
    ]
    named = run(config, "--output", "x.csv", "--list").out
    for finding, path in (("missing", files[1]), ("changed", files[3]), ("changed", files[4])):
        assert f"{finding}: {path.relative_to(tmp_path / 'images')}\n" in named
    assert len(read(tmp_path / "x.csv")) == 2


def test_a_wrong_name_or_element_is_one_sentence_and_nothing_is_written(tmp_path: Path) -> None:
    config, _ = make(tmp_path, specs())
    for options, sentence in (
        (("--output", "x.xlsx"), "The name of the table ends in neither .csv nor .parquet."),
        (("--output", "x.csv", "--element", "PatientNam"), "'PatientNam' is not a DICOM keyword"),
        (("--output", "no/x.csv"), "The table cannot be written (FileNotFoundError)."),
    ):
        ended = run(config, *options)
        assert ended.code in {2, 3}
        assert ended.err.startswith(sentence)
        assert ended.err.count("\n") == 1
    assert {one.name for one in tmp_path.iterdir()} == {"config.yml", "images"}


def test_parquet_without_pyarrow_is_refused_with_what_to_install(tmp_path: Path) -> None:
    config, _ = make(tmp_path, specs())
    (tmp_path / "shadow" / "pyarrow").mkdir(parents=True)
    hidden = "raise ImportError('not installed')"
    (tmp_path / "shadow" / "pyarrow" / "__init__.py").write_text(hidden, encoding="utf-8")
    ended = command(
        "export",
        str(config),
        "--output",
        "x.parquet",
        cwd=tmp_path,
        environ={"PYTHONPATH": f"{tmp_path / 'shadow'}{os.pathsep}{ROOT}"},
    )
    assert ended.code == 2
    assert ended.err == (
        "Parquet needs pyarrow, which is not installed. Install it with "
        "`pip install 'pydicombatch[parquet]'`, or choose a name in .csv.\n"
    )


def test_an_export_that_was_killed_goes_on_where_it_was(tmp_path: Path) -> None:
    config, files = make(tmp_path, specs(5, 1, 5, 50))
    assert len(files) == 1250
    folder = tmp_path / "images" / ".pydicombatch" / "export"
    started = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "pydicombatch",
            "export",
            str(config),
            *SLOW,
            "--output",
            "first.csv",
        ],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    children = _kill_after_two_parts(started, folder)
    finished = {one.name for one in folder.glob("*.jsonl")}
    assert 2 <= len(finished) < 5
    assert not (tmp_path / "first.csv").exists()
    assert (tmp_path / ".first.csv.part").exists()
    psutil.wait_procs(children, timeout=20)
    assert not [one for one in children if one.is_running()], "processes are left behind"
    ended = run(config, *SLOW, "--output", "x.parquet")
    assert ended.code == 0, ended.text
    assert ended.out.splitlines()[0] == f"{250 * len(finished)} instances had been read before"
    table = read(tmp_path / "x.parquet")
    assert sorted(table.SOPInstanceUID) == sorted({one.stem for one in files})
    assert [one.name for one in folder.iterdir() if one.name != "lock"] == []
    assert not list(tmp_path.glob(".*.part")), "the unfinished table of the killed one"


def _kill_after_two_parts(started: "subprocess.Popen[bytes]", folder: Path) -> list[psutil.Process]:
    deadline = time.monotonic() + 60
    while len(list(folder.glob("*.jsonl"))) < 2 and time.monotonic() < deadline:
        time.sleep(0.005)
    children = psutil.Process(started.pid).children(recursive=True)
    started.send_signal(signal.SIGKILL)
    started.wait()
    assert len(children) >= 2
    return children


def test_a_part_of_other_files_is_never_taken_for_this_one(tmp_path: Path) -> None:
    config, files = make(tmp_path, specs(instances=2))
    extraction = Extraction.from_file(config)
    export(extraction.config, tmp_path / "one.csv")
    with closing(extraction.ledger()) as ledger:
        before = list(ledger.instances())
    files[0].unlink()
    done = export(extraction.config, tmp_path / "two.csv")
    assert (done.rows, done.resumed, done.findings["missing"]) == (1, 0, 1)
    assert len(before) == 2


def test_the_values_are_the_stored_ones_whatever_the_archive_called_the_instance(
    tmp_path: Path,
) -> None:
    def anonymized(spec: Spec) -> bytes:
        ds: Dataset = dataset(spec)
        ds.PatientID, ds.SOPInstanceUID = "PSEUDONYM", UID("2.25.7")
        ds.file_meta.MediaStorageSOPInstanceUID = UID("2.25.7")
        return encoded(ds, "explicit")

    config, _ = make(tmp_path, specs(), anonymized)
    export(Extraction.from_file(config).config, tmp_path / "x.csv")
    (row,) = rows_of(tmp_path / "x.csv")
    assert (row["SOPInstanceUID"], row["PatientID"]) == ("2.25.7", "PSEUDONYM")


def test_purge_removes_what_an_interrupted_export_has_read(tmp_path: Path) -> None:
    config, _ = make(tmp_path, specs())
    extraction = Extraction.from_file(config)
    export(extraction.config, tmp_path / "x.csv")
    left = extraction.config.state_directory / "export" / "part.jsonl"
    left.write_text("identified", encoding="utf-8")
    table = tmp_path / ".x.csv.part"
    table.write_text("identified", encoding="utf-8")
    (left.parent / "table").write_text(str(table), encoding="utf-8")
    assert command("purge", str(config), cwd=tmp_path).code == 0
    assert not left.exists()
    assert not table.exists()
    assert (tmp_path / "x.csv").exists(), "that is somebody's"
