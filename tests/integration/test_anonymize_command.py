"""`pydicombatch anonymize` as an operator runs it."""

import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest
from pydicom import dcmread

from tests.support.extraction import ROOT, Ended, command
from tests.support.instances import SECONDARY_CAPTURE, Spec, dataset, file, specs, to_bytes
from tests.support.written import everything_written

CANARY = "QZXCANARY"
SCRIPT = """<script>
<e en="T" t="00100010" n="PatientName">@param(@NAME)</e>
<e en="T" t="00100020" n="PatientID">@lookup(this,ptid)</e>
<e en="T" t="00101001" n="OtherPatientNames">@remove()</e>
<r en="T" t="privategroups">Private groups</r>
<p t="NAME">Nobody</p>
</script>"""


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """A folder with two patients, in folders of their own, and a text."""
    folder = tmp_path / "in"
    for spec in specs(patients=2, instances=3):
        one = folder / f"patient{spec.patient}" / f"{spec.instance}.dcm"
        one.parent.mkdir(parents=True, exist_ok=True)
        ds = dataset(spec)
        ds.PatientName = f"{CANARY}^{spec.patient}"
        one.write_bytes(to_bytes(ds))
    (folder / "notes.txt").write_text("not an image")
    return folder


@pytest.fixture
def script(tmp_path: Path) -> list[str]:
    (tmp_path / "s.script").write_text(SCRIPT)
    (tmp_path / "t.properties").write_text("ptid/P00001=S1\nptid/P00002=S2\n")
    return ["--script", "s.script", "--lookup-table", "t.properties"]


def anonymize(folder: Path, *arguments: str) -> Ended:
    return command("anonymize", *arguments, cwd=folder)


def test_a_folder_is_mirrored_for_its_owner_alone(
    tmp_path: Path, images: Path, script: list[str]
) -> None:
    before = {path: path.read_bytes() for path in images.rglob("*") if path.is_file()}
    done = anonymize(tmp_path, "in", "--output", "out", *script)
    assert done.code == 0, done.text
    assert "left out: notes.txt: The file is not DICOM" in done.out
    assert "6 of 7 files anonymized, 1 left out" in done.out
    out = {path.relative_to(tmp_path / "out"): path for path in (tmp_path / "out").rglob("*.dcm")}
    assert {str(path) for path in out} == {
        f"patient{patient}/{number}.dcm" for patient in (1, 2) for number in (1, 2, 3)
    }
    for path in out.values():
        ds = dcmread(path)
        assert (ds.PatientName, ds.PatientID) == ("Nobody", f"S{path.parent.name[-1]}")
        assert CANARY.encode() not in path.read_bytes()
    for path, mode in everything_written(tmp_path / "out"):
        assert mode == (0o700 if path.is_dir() else 0o600)
        assert path.is_dir() or path.suffix == ".dcm"
    assert before == {path: path.read_bytes() for path in images.rglob("*") if path.is_file()}


def test_what_is_quarantined_is_named_with_its_reason_and_not_written(
    tmp_path: Path, images: Path, script: list[str]
) -> None:
    (tmp_path / "t.properties").write_text("ptid/P00001=S1\n")
    done = anonymize(tmp_path, "in", "--output", "out", *script)
    assert done.code == 1
    reason = "A value is missing in the lookup table"
    for number in (1, 2, 3):
        assert f"quarantined: patient2/{number}.dcm: {reason}" in done.out
    assert not (tmp_path / "out" / "patient2").exists()
    assert len(list((tmp_path / "out").rglob("*.dcm"))) == 3
    assert CANARY not in done.text
    assert "P00002" not in done.text


def test_parameters_and_elements_of_the_call_replace_those_of_the_script(
    tmp_path: Path, images: Path, script: list[str]
) -> None:
    one = "in/patient1/1.dcm"
    more = ["--set", "NAME=A=B", "--element", "0010,0020=fixed", "--mode", "compatible"]
    done = anonymize(tmp_path, one, "--output", "out", *script, *more)
    assert done.code == 0, done.text
    ds = dcmread(tmp_path / "out" / "1.dcm")
    assert (ds.PatientName, ds.PatientID) == ("A=B", "fixed")


def test_a_profile_with_a_key_file_gives_the_same_result_in_every_call(
    tmp_path: Path, images: Path
) -> None:
    key = tmp_path / "key"
    key.write_text("a key of this test, long enough")
    key.chmod(0o600)
    for number in (1, 2):
        more = ["--profile", "basic", "--key-file", "key", "--option", "retain_long_modified_dates"]
        done = anonymize(tmp_path, "in", "--output", f"out{number}", *more)
        assert done.code == 0, done.text
    first = sorted((tmp_path / "out1").rglob("*.dcm"))
    second = sorted((tmp_path / "out2").rglob("*.dcm"))
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]
    assert len({dcmread(path).PatientID for path in first}) == 2
    assert all(dcmread(path).PatientIdentityRemoved == "YES" for path in first)
    key.chmod(0o640)
    more = ["--profile", "basic", "--key-file", "key"]
    assert anonymize(tmp_path, "in", "--output", "out3", *more).code == 2


def test_burned_in_text_is_set_aside_unless_a_pixel_script_covers_it(tmp_path: Path) -> None:
    spec = Spec(bits=8, sop_class=SECONDARY_CAPTURE, modality="OT")
    (tmp_path / "sc.dcm").write_bytes(file(spec, "jpeg-lossless"))
    (tmp_path / "p.script").write_text('{ Modality.equals("OT") } (0, 0, 8, 16)')
    basic = ["--profile", "basic"]
    done = anonymize(tmp_path, "sc.dcm", "--output", "out", *basic)
    assert (done.code, (tmp_path / "out" / "sc.dcm").exists()) == (1, False)
    pixel = ["--pixel-script", "p.script", "--decompress"]
    done = anonymize(tmp_path, "sc.dcm", "--output", "out", *basic, *pixel)
    assert done.code == 0, done.text
    array = dcmread(tmp_path / "out" / "sc.dcm").pixel_array
    assert not array[:, :8].any()
    assert array[:, 8:].any()
    assert anonymize(tmp_path, "sc.dcm", "--output", "x", *basic, "--pixel-risk", "allow").code == 0
    done = anonymize(tmp_path, "sc.dcm", "--output", "test", *basic, *pixel, "--pixel-test")
    assert done.code == 0, done.text
    assert (dcmread(tmp_path / "test" / "sc.dcm").pixel_array != array).any()


@pytest.mark.parametrize(
    "text",
    ["", "<script>", '<script><e en="T" t="00100010" n="PatientName">@nothing()</e></script>'],
)
def test_a_bad_script_ends_with_2_and_writes_nothing(
    tmp_path: Path, images: Path, text: str
) -> None:
    (tmp_path / "bad.script").write_text(text)
    done = anonymize(tmp_path, "in", "--output", "out", "--script", "bad.script")
    assert done.code == 2
    assert "bad.script" in done.err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ["in", "--output", "out"],
        ["in", "--output", "in", "--profile", "basic"],
        ["in/patient1/1.dcm", "--output", "in/patient1", "--profile", "basic"],
        ["in/patient1", "in/patient2", "--output", "out", "--profile", "basic"],
        ["nothing", "--output", "out", "--profile", "basic"],
        ["in", "--output", "out", "--option", "retain_uids"],
        ["in", "--output", "out", "--profile", "basic", "--set", "NAME"],
        ["in", "--output", "out", "--profile", "other"],
        ["--output", "out", "--profile", "basic"],
    ],
)
def test_a_call_that_cannot_be_meant_ends_with_2_and_touches_nothing(
    tmp_path: Path, images: Path, arguments: list[str]
) -> None:
    before = {path: path.read_bytes() for path in images.rglob("*") if path.is_file()}
    done = anonymize(tmp_path, *arguments)
    assert done.code == 2, done.text
    assert before == {path: path.read_bytes() for path in images.rglob("*") if path.is_file()}
    assert not (tmp_path / "out").exists()


def test_links_to_inputs_in_the_output_are_refused(tmp_path: Path, images: Path) -> None:
    (tmp_path / "out" / "patient1").mkdir(parents=True)
    (tmp_path / "out" / "patient1" / "1.dcm").hardlink_to(images / "patient1" / "1.dcm")
    assert anonymize(tmp_path, "in", "--output", "out", "--profile", "basic").code == 2


def test_an_output_below_the_input_is_not_taken_for_input(tmp_path: Path, images: Path) -> None:
    for _ in range(2):
        done = anonymize(images, ".", "--output", "anonymized", "--profile", "basic")
        assert done.code == 0, done.text
        assert "6 of 7 files" in done.out


def test_what_is_no_instance_is_left_out_and_a_pipe_is_not_waited_for(
    tmp_path: Path, images: Path
) -> None:
    (images / "DICOMDIR").write_bytes(file(Spec()))
    os.mkfifo(images / "pipe.dcm")
    (images / "empty.dcm").touch()
    done = anonymize(tmp_path, "in", "--output", "out", "--profile", "basic")
    assert done.code == 0, done.text
    assert "4 left out" in done.out
    done = anonymize(tmp_path, "in/notes.txt", "--output", "out", "--profile", "basic")
    assert done.code == 1


@pytest.mark.parametrize("target", ["nowhere", "elsewhere"])
def test_links_that_are_not_followed_are_named_and_not_taken_for_done(
    tmp_path: Path, images: Path, target: str
) -> None:
    (tmp_path / "elsewhere").mkdir()
    (images / "away").symlink_to(tmp_path / target)
    done = anonymize(tmp_path, "in", "--output", "out", "--profile", "basic")
    assert done.code == 1, done.text
    assert "left out: away: It is a link" in done.out
    assert len(list((tmp_path / "out").rglob("*.dcm"))) == 6


def test_a_damaged_image_is_quarantined_and_the_others_go_on(tmp_path: Path, images: Path) -> None:
    one = images / "patient1" / "1.dcm"
    one.write_bytes(one.read_bytes()[:-20])
    done = anonymize(tmp_path, "in", "--output", "out", "--profile", "basic")
    assert done.code == 1
    assert "quarantined: patient1/1.dcm: " in done.out
    assert len(list((tmp_path / "out").rglob("*.dcm"))) == 5


def test_identifiers_are_mapped_into_a_private_file_when_asked_for(
    tmp_path: Path, images: Path
) -> None:
    more = ["--profile", "basic", "--mapping-file", "map.csv"]
    assert anonymize(tmp_path, "in", "--output", "out", *more).code == 0
    text = (tmp_path / "map.csv").read_text()
    assert len(text.splitlines()) == 3
    assert "P00001" in text
    assert stat.S_IMODE((tmp_path / "map.csv").stat().st_mode) == 0o600


def test_ctrl_c_ends_it_with_whole_files_alone_and_no_process_left(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for number in range(400):
        (folder / f"{number}.dcm").write_bytes(file(Spec(instance=number + 1, rows=256)))
    call = [sys.executable, "-m", "pydicombatch", "anonymize", "in", "--output", "out"]
    root = str(Path(__file__).parents[2])
    process = subprocess.Popen(
        [*call, "--profile", "basic"], cwd=tmp_path, env={**os.environ, "PYTHONPATH": root}
    )
    deadline = time.monotonic() + 30
    while not list((tmp_path / "out").glob("*.dcm")) and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    assert process.wait(30) == 130
    left = list((tmp_path / "out").rglob("*"))
    assert 0 < len(left) < 400
    assert all(dcmread(path).PatientIdentityRemoved == "YES" for path in left)


def test_a_killed_call_leaves_whole_files_alone_and_the_next_one_removes_its_rest(
    tmp_path: Path, images: Path
) -> None:
    out = tmp_path / "out"
    for number in range(60):
        ds = dataset(Spec(instance=number + 10, rows=512, columns=512))
        ds.PatientName = CANARY
        (images / f"{number}.dcm").write_bytes(to_bytes(ds))
    call = ["anonymize", "in", "--output", "out", "--profile", "basic"]
    process = subprocess.Popen(
        [sys.executable, "-m", "pydicombatch", *call],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    while process.poll() is None and not list(out.glob("*.dcm")):
        time.sleep(0.01)
    process.kill()
    process.wait()
    done = [path for path in out.rglob("*.dcm") if path.parent == out]
    assert all(dcmread(path).PatientIdentityRemoved == "YES" for path in done)
    assert all(
        CANARY.encode() not in path.read_bytes() for path in out.rglob("*") if path.is_file()
    )
    assert len(list(out.glob(".pydicombatch-work-*"))) == 1
    assert anonymize(tmp_path, *call[1:]).code == 0
    assert list(out.glob(".pydicombatch-work-*")) == []
    assert len(list(out.rglob("*.dcm"))) == 66
