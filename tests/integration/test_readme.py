"""The examples of the documentation, run as a reader would run them."""

import os
import re
import shutil
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from pydicombatch.config.reference import describe
from pydicombatch.demo.archive import DemoArchive
from pydicombatch.demo.patients import synthetic_instances
from tests.conftest import DcmqrscpFactory, OrthancFactory
from tests.support.instances import to_bytes
from tests.support.markdown import (
    ANONYMIZATION,
    CONTRIBUTING,
    FIND,
    README,
    REPORT,
    ROOT,
    SELECT,
    Block,
    blocks,
    difference,
    matches,
    section,
    table,
)
from tests.support.ports import LOOPBACK, free_port
from tests.support.storage import StorageServer

INSTANCES = synthetic_instances()
ARCHIVE_PORT, LOCAL_PORT = 4242, 4006  # as they stand in the README
CONDA = """#!/bin/sh
[ "$1 $2 $3" != "env create --file" ] || exec test -f "$4"
[ "$1 $2 $3 $4" = "run --no-capture-output --name pydicom-batch" ] && shift 4 && exec "$@"
"""
ONCE = "retry: {attempts: 1, wait: 0}\n"


@dataclass(frozen=True)
class Reader:
    """Somebody who follows the documentation in a folder of their own."""

    folder: Path
    archive_port: int
    local_port: int

    def write(self, block: Block) -> None:
        """Write an example file, with the ports that are free on this machine."""
        text = block.text.replace(f"port: {ARCHIVE_PORT}", f"port: {self.archive_port}")
        text = text.replace(f"port: {LOCAL_PORT}", f"port: {self.local_port}")
        (self.folder / block.argument).write_text(text, encoding="utf-8")

    def run(self, command: str) -> tuple[int, str]:
        """Run a command line; return its exit code and all it printed, with the README's ports."""
        done = subprocess.run(
            ["bash", "-c", command],
            cwd=self.folder,
            env={**os.environ, "PATH": f"{tools(self.folder)}:{os.environ['PATH']}"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=240,
        )
        text = re.sub(rf"\b{self.archive_port}\b", str(ARCHIVE_PORT), done.stdout)
        return done.returncode, re.sub(rf"\b{self.local_port}\b", str(LOCAL_PORT), text)

    def vary(self, name: str, *changes: tuple[str, str]) -> str:
        """Write a variant of `move.yml` with an output folder of its own; return its name."""
        text = (self.folder / "move.yml").read_text(encoding="utf-8")
        for old, new in (("directory: images", f"directory: {name}"), *changes):
            assert text.count(old) == 1, old
            text = text.replace(old, new)
        (self.folder / f"{name}.yml").write_text(text + ONCE, encoding="utf-8")
        return f"{name}.yml"


def tools(folder: Path) -> Path:
    """A folder with the commands of an installed environment, whatever this one is called."""
    place = folder / ".tools"
    place.mkdir(exist_ok=True)
    for name, arguments in (("pydicombatch", " -m pydicombatch"), ("python", "")):
        script = place / name
        script.write_text(
            f'#!/bin/sh\nPYTHONPATH="{ROOT}" exec "{sys.executable}"{arguments} "$@"\n'
        )
        script.chmod(0o755)
    return place


@pytest.fixture(scope="module")
def reader(start_orthanc: OrthancFactory, tmp_path_factory: pytest.TempPathFactory) -> Reader:
    """Someone who has followed the example to its end."""
    port = free_port()
    orthanc = start_orthanc([("SAMPLE_AE", port)])
    orthanc.load(to_bytes(one) for one in INSTANCES)
    someone = Reader(tmp_path_factory.mktemp("reader"), orthanc.port, port)
    for block in [*blocks(README), *blocks(ANONYMIZATION), *blocks(SELECT)]:
        if block.kind == "file":
            someone.write(block)
    for block in blocks(README):
        if (block.kind, block.argument) == ("run", "archive"):
            follow(someone, block)
    return someone


def follow(someone: Reader, block: Block) -> None:
    for command, shown in block.commands:
        code, printed = someone.run(command)
        assert code == 0, f"{command}: {printed}"
        lack = difference("\n".join(shown).strip("\n").splitlines(), printed.splitlines())
        assert lack == "", f"{command} printed\n{printed}\nand not where it should: {lack}"


def test_the_demo_prints_what_the_first_screen_shows(tmp_path: Path) -> None:
    (block,) = [one for one in blocks(README) if one.argument == "demo"]
    ((command, (installing, *shown)),) = block.commands
    assert (command, installing.split()[0]) == ("bin/demo", "Installing")
    code, printed = Reader(tmp_path, ARCHIVE_PORT, LOCAL_PORT).run("pydicombatch demo")
    assert code == 0
    assert difference(shown, printed.splitlines()) == "", printed


def test_the_example_leaves_what_is_shown(reader: Reader) -> None:
    contents = [one for one in blocks(README) if one.kind == "content"]
    assert len(contents) == 2
    for block in contents:
        real = sorted((reader.folder / block.argument).read_text("utf-8").splitlines())
        shown = sorted(block.text.splitlines())
        assert len(real) == len(shown)
        assert all(map(matches, shown, real)), real


def test_the_examples_of_anonymization_do_what_they_show(reader: Reader) -> None:
    for block in blocks(ANONYMIZATION):
        if (block.kind, block.argument) == ("run", "archive"):
            follow(reader, block)
    anonymous = sorted((reader.folder / "anonymous").rglob("*.dcm"))
    assert len(anonymous) == 24
    # one key: files that are anonymized alone become the same as in the run
    again = {one.read_bytes() for one in (reader.folder / "anonymized").rglob("*.dcm")}
    assert {one.read_bytes() for one in anonymous} == again


def test_the_examples_of_select_do_what_they_show(reader: Reader) -> None:
    for block in blocks(SELECT):
        if (block.kind, block.argument) == ("run", "archive"):
            follow(reader, block)
    stored = len(list((reader.folder / "selected").rglob("*.dcm")))
    assert 0 < stored < 24  # one of the three series that the plan lists


def test_the_anonymizer_does_as_a_library_what_the_example_says(reader: Reader) -> None:
    (block,) = [one for one in blocks(ANONYMIZATION) if one.argument == "anonymizer"]
    (reader.folder / "anonymizer.py").write_text(block.text, encoding="utf-8")
    shutil.copy(ROOT / "config" / "sample-dicom-anonymizer.script", reader.folder / "sample.script")
    (reader.folder / "sample.properties").write_text("ptid/DEMO-0001=S-1\n")
    code, printed = reader.run("python anonymizer.py")
    assert code == 0, printed
    assert printed.split() == ["S-1"] * 24


def test_every_place_of_the_table_is_there_after_a_run(reader: Reader) -> None:
    rows = [row[0] for row in table(section(README, "What a run leaves"), "where")]
    named = {one for cell in rows for one in re.findall(r"`(\.pydicombatch[\w./]*)`", cell)}
    state = reader.folder / "images" / ".pydicombatch"
    found = {f".pydicombatch/{one.name}" for one in state.iterdir()} | {".pydicombatch"}
    assert found == named
    assert list((state / "spool").rglob("*.dcm")) == []


def test_what_a_run_leaves_is_for_its_owner_alone(reader: Reader) -> None:
    for one in (reader.folder / "images").rglob("*"):
        assert one.stat().st_mode & 0o077 == 0, one.name


def test_the_library_does_what_the_example_says(reader: Reader, tmp_path: Path) -> None:
    (block,) = [one for one in blocks(README) if one.argument == "library"]
    for name in ("move.yml", "studies.csv"):
        shutil.copy(reader.folder / name, tmp_path)
    (tmp_path / "example.py").write_text(block.text, encoding="utf-8")
    code, printed = Reader(tmp_path, reader.archive_port, reader.local_port).run(
        "python example.py"
    )
    assert code == 0, printed
    lines = printed.splitlines()
    assert lines[-1] == "0 24 images/database.csv"
    assert sum(line.startswith("InstanceStored(") for line in lines) == 24


def test_the_page_about_queries_shows_what_is_printed(reader: Reader) -> None:
    several = blocks(FIND)
    for block in several:
        if block.kind == "file":
            reader.write(block)
        elif (block.kind, block.argument) == ("run", "archive"):
            follow(reader, block)
    (library,) = [one for one in several if one.argument == "library"]
    (reader.folder / "question.py").write_text(library.text, encoding="utf-8")
    code, printed = reader.run("python question.py")
    assert (code, printed) == (
        0,
        "20240115\n['PatientID', 'StudyDate', 'StudyInstanceUID'] 2\n",
    )


@pytest.mark.parametrize("document", [FIND, REPORT], ids=lambda one: one.stem)
def test_commands_that_are_only_shown_work_with_the_archive_of_this_machine(
    reader: Reader, document: Path
) -> None:
    commands = [
        command
        for block in blocks(document)
        if (block.kind, block.language) == ("shown", "console")
        for command, _ in block.commands
    ]
    assert commands
    for command in commands:
        here = command.replace("pacs.example.org --port 104", f"{LOOPBACK} --port {ARCHIVE_PORT}")
        here = here.replace(str(ARCHIVE_PORT), str(reader.archive_port))
        code, printed = reader.run(here.replace("--aet ARCHIVE", "--aet ORTHANC"))
        assert code == 0, printed
        assert "20240115" in printed or "24 instances written" in printed


def test_the_commands_for_conda_name_what_is_there(reader: Reader) -> None:
    """Conda itself is not on every machine: a stand-in makes nothing and runs what it is given."""
    (commands,) = [
        block.commands
        for block in blocks(README)
        if block.kind == "shown" and "conda" in block.text
    ]
    stand_in = tools(reader.folder) / "conda"
    stand_in.write_text(CONDA, encoding="utf-8")
    stand_in.chmod(0o755)
    shutil.copy(ROOT / "environment.yaml", reader.folder)
    for command, _ in commands:
        code, printed = reader.run(command.replace("CONFIG", "move.yml"))
        assert code == 0, printed
    assert "complete, over all runs" in printed


def test_contributors_can_renew_the_reference(tmp_path: Path) -> None:
    (block,) = [one for one in blocks(CONTRIBUTING) if one.argument == "reference"]
    ((command, _),) = block.commands
    code, printed = Reader(tmp_path, ARCHIVE_PORT, LOCAL_PORT).run(command)
    assert (code, printed.strip()) == (0, describe().strip())


def test_a_batch_file_without_a_row_does_not_count_that_row_any_more(reader: Reader) -> None:
    config = reader.vary("fewer", ("studies.csv", "fewer.csv"))
    lines = (reader.folder / "studies.csv").read_text("utf-8").splitlines()
    (reader.folder / "fewer.csv").write_text("\n".join(lines), "utf-8")
    assert reader.run(f"pydicombatch {config} --limit 1")[0] == 0
    (reader.folder / "fewer.csv").write_text("\n".join([lines[0], lines[2]]), "utf-8")
    code, printed = reader.run(f"pydicombatch {config}")
    assert code == 0
    assert "1 of 1" not in printed
    assert "  complete, over all runs         1\n" in printed


def symptom(start: str) -> str:
    """Return the message that the table of troubleshooting quotes."""
    rows = table(section(README, "Troubleshooting"), "symptom")
    quotes = [str(quote) for row in rows for quote in re.findall(r"“(.*?)”", row[0])]
    (found,) = [one for one in quotes if start in one]
    return found


def says(printed: str, quote: str) -> bool:
    pattern = ".*".join(map(re.escape, quote.split("…")))
    return any(re.search(pattern, line) for line in printed.splitlines())


@pytest.mark.parametrize(
    ("quote", "name", "change", "options", "code"),
    [
        ("unable to process", "unregistered", ("aet: SAMPLE_AE", "aet: NOBODY"), "", 1),
        ("does not offer", "psonly", ("model: study", "model: psonly"), "", 3),
        ("No listener", "nobody", ("port: {archive}", "port: {free}"), "", 3),
        ("outside its window", "closed", ("enabled: false", "enabled: true"), "", None),
        ("only a wildcard", "blank", ("studies.csv", "blank.csv"), "", 2),
    ],
)
def test_a_symptom_shows_as_the_table_says(
    reader: Reader, quote: str, name: str, change: tuple[str, str], options: str, code: int | None
) -> None:
    (reader.folder / "blank.csv").write_text("StudyInstanceUID,PatientID\n*,DEMO-0001\n")
    ports = {"archive": reader.archive_port, "free": free_port()}
    old, new = (text.format(**ports) for text in change)
    config = reader.vary(name, (old, new))
    if code is None:  # a run that waits until it is interrupted
        never = ("start_time: 19:00", "start_time: 03:00"), ("end_time: 07:00", "end_time: 03:01")
        config = reader.vary(name, (old, new), *never)
        ended, printed = reader.run(f"timeout --signal=TERM 10 pydicombatch {config}")
        assert ended == 124
    else:
        ended, printed = reader.run(f"pydicombatch run {config} {options}")
        assert ended == code, printed
    assert says(printed, symptom(quote)), printed


def test_a_window_that_is_closed_ends_a_run_that_shall_not_wait(reader: Reader) -> None:
    hours = ("start_time: 19:00", "start_time: 03:00"), ("end_time: 07:00", "end_time: 03:01")
    config = reader.vary("ended", ("enabled: false", "enabled: true"), *hours)
    assert reader.run(f"pydicombatch {config} --stop-at-window-end")[0] == 4


def test_a_port_in_use_shows_as_the_table_says(reader: Reader) -> None:
    config = reader.vary("taken")
    with socket.create_server(("", reader.local_port)):
        for command in ("run", "check"):
            code, printed = reader.run(f"pydicombatch {command} {config}")
            assert code == 2
            assert says(printed, symptom("in use by another program")), printed


def test_a_change_of_the_configuration_shows_as_the_table_says(reader: Reader) -> None:
    first = reader.vary("changed")
    assert reader.run(f"pydicombatch {first} --limit 1")[0] == 0
    second = reader.vary("changed", ("filename: SOPInstanceUID", "filename: InstanceNumber"))
    code, printed = reader.run(f"pydicombatch {second}")
    assert code == 2
    assert says(printed, symptom("What decides the result")), printed
    assert reader.run(f"pydicombatch {second} --accept-changes")[0] == 0


def test_a_move_destination_that_is_unknown_or_another_program_shows_as_the_table_says(
    reader: Reader,
) -> None:
    with DemoArchive(INSTANCES) as archive, StorageServer("SAMPLE_AE") as other:
        there = (
            (f"port: {reader.archive_port}", f"port: {archive.port}"),
            ("aet: ORTHANC", f"aet: {archive.aet}"),
        )
        code, printed = reader.run(f"pydicombatch {reader.vary('unknown', *there)}")
        assert code == 3
        assert says(printed, symptom("does not know move destination")), printed
        archive.register("SAMPLE_AE", LOOPBACK, other.port)
        code, printed = reader.run(f"pydicombatch {reader.vary('elsewhere', *there)}")
        assert code == 1
        assert says(printed, symptom("that the archive lists")), printed
        assert other.uids()


def test_a_port_that_an_archive_cannot_reach_shows_as_the_table_says(
    reader: Reader, start_dcmqrscp: DcmqrscpFactory
) -> None:
    archive = start_dcmqrscp([("SAMPLE_AE", free_port())])
    archive.load(to_bytes(one) for one in INSTANCES if one.Modality == "CT")
    there = (
        (f"port: {reader.archive_port}", f"port: {archive.port}"),
        ("aet: ORTHANC", f"aet: {archive.aet}"),
    )
    code, printed = reader.run(f"pydicombatch {reader.vary('unreachable', *there)}")
    assert code == 1
    assert says(printed, symptom("The archive cannot send")), printed


def test_a_configuration_whose_anonymizer_script_is_none_is_refused(reader: Reader) -> None:
    config = reader.vary("scriptless", ("output:", ANONYMIZED))
    code, printed = reader.run(f"pydicombatch {config}")
    assert code == 2
    assert "choose.py" in printed
    assert not (reader.folder / "scriptless").exists()


ANONYMIZED = "anonymization: {enabled: true, script: choose.py}\noutput:"
