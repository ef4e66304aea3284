import fcntl
import os
from contextlib import chdir
from pathlib import Path

import pytest

from pydicombatch.app import outside
from pydicombatch.app.processing import mount_of
from pydicombatch.config.outline import settings
from pydicombatch.config.types import Kind
from pydicombatch.core.errors import ConfigError
from pydicombatch.ledger.lock import StateLock, holder
from tests.support.extraction import within

BASE = """\
pacs: {{hostname: "${{PACS_HOST}}", port: 104, aet: ARCHIVE}}
local: {{port: 4006, aet: SAMPLE_AE}}
request: {{type: {kind}, elements_batch_file: batch.csv}}
output: {{directory: {output}}}
"""
ENVIRON = {"PACS_HOST": "pacs.example.org"}
READ = {
    "pacs.tls.ca", "pacs.tls.cert", "pacs.tls.key", "local.tls.ca", "local.tls.cert",
    "local.tls.key", "request.elements_batch_file", "anonymization.script",
    "anonymization.lookup_table", "anonymization.pixel_script", "anonymization.key_file",
    "notify.email.ca", "notify.webhook.ca",
}  # fmt: skip


def write(folder: Path, *, kind: str = "c-move", output: str = "out", more: str = "") -> Path:
    path = folder / "config.yml"
    path.write_text(BASE.format(kind=kind, output=output) + more)
    return path


def paths(path: Path) -> list[tuple[str, str]]:
    with chdir(path.parent):
        return list(outside.paths(Path(path.name), ENVIRON))


def test_a_run_reads_its_inputs_and_writes_in_its_output_and_nothing_has_to_be_there(
    tmp_path: Path,
) -> None:
    path = write(tmp_path)
    path.write_text(path.read_text().replace("ARCHIVE}", "ARCHIVE, tls: {ca: ca.pem}}"))
    assert paths(path) == [
        ("read", str(path)),
        ("read", str(tmp_path / "ca.pem")),
        ("read", str(tmp_path / "batch.csv")),
        ("write", str(tmp_path / "out")),
    ]


def test_a_place_outside_of_the_output_is_told_too(tmp_path: Path) -> None:
    more = f"state: {{directory: {tmp_path / 's'}}}\n"
    path = write(tmp_path, output=f"out, library_file: {tmp_path / 'lists' / 'a.csv'}", more=more)
    written = [value for kind, value in paths(path) if kind == "write"]
    assert written == [str(tmp_path / name) for name in ("out", "s", "lists")]


def test_the_files_of_an_anonymization_that_is_off_are_not_read(tmp_path: Path) -> None:
    off = "anonymization: {enabled: false, script: s.script, lookup_table: t.properties}\n"
    assert not any("s.script" in value for _, value in paths(write(tmp_path, more=off)))
    on = paths(write(tmp_path, more=off.replace("false", "true")))
    assert ("read", str(tmp_path / "s.script")) in on
    assert ("write", str(tmp_path / "out.identified")) in on


def test_every_setting_that_is_a_path_is_read_or_written() -> None:
    """A new one belongs into `DIRECTORIES` or `FILES` if a run writes there, else here."""
    named = {
        one.key
        for one in settings()
        if "path" in {each.name for each in one.field.metadata if isinstance(each, Kind)}
        or "Path" in str(one.field.annotation)
    }
    assert named == READ | outside.DIRECTORIES | outside.FILES


def test_the_variables_are_those_that_the_file_names(tmp_path: Path) -> None:
    path = write(tmp_path, output='"${TREE}/$${NOT}/${PACS_HOST}"')
    assert list(outside.variables(path)) == [("variable", "PACS_HOST"), ("variable", "TREE")]


@pytest.mark.parametrize(("kind", "expected"), [("c-move", [("port", "4006")]), ("c-find", [])])
def test_only_what_is_stored_here_needs_a_port(
    tmp_path: Path, kind: str, expected: list[tuple[str, str]]
) -> None:
    assert list(outside.port(write(tmp_path, kind=kind), ENVIRON)) == expected


def test_a_path_that_would_break_the_lines_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be printed"):
        paths(write(tmp_path, output='"a\\nwrite\\t/etc"'))


def test_the_command_prints_nothing_else(tmp_path: Path) -> None:
    path = write(tmp_path, kind="c-find", output=str(tmp_path / "out"))
    path.write_text(path.read_text().replace("${PACS_HOST}", "pacs.example.org"))
    ended = within("check", "--paths", "--port", str(path))
    assert ended.code == 0
    assert ended.err == ""
    assert ended.out.splitlines() == [
        f"read\t{path}",
        f"read\t{Path('batch.csv').absolute()}",
        f"write\t{tmp_path / 'out'}",
    ]


def test_a_way_up_is_not_part_of_a_path(tmp_path: Path) -> None:
    more = "anonymization: {enabled: true, profile: basic, mapping_file: keys/map.csv}\n"
    path = write(tmp_path, output="out, database_file: ../lists/rows.csv", more=more)
    written = [value for kind, value in paths(path) if kind == "write"]
    assert written == [str(tmp_path / one) for one in ("out", "out.identified", "lists", "keys")]


def test_a_mount_is_told_apart_from_its_file_system(tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    assert mount_of(tmp_path) == mount_of(tmp_path / "below")
    assert mount_of(tmp_path)[1].startswith("mnt_id:")
    assert mount_of(tmp_path, tmp_path / "nothing") == (tmp_path.stat().st_dev, "")
    assert mount_of(Path("/proc")) != mount_of(tmp_path)


def test_a_wrong_configuration_prints_no_path(tmp_path: Path) -> None:
    path = write(tmp_path)
    ended = within("check", "--paths", str(path))
    assert (ended.code, ended.out) == (2, "")
    assert "PACS_HOST, which is not set" in ended.err


def test_who_holds_an_extraction_is_seen_without_touching_its_lock(tmp_path: Path) -> None:
    assert holder(tmp_path) == 0
    lock = StateLock(tmp_path)
    assert holder(tmp_path) == os.getpid()
    lock.release()
    assert holder(tmp_path) == 0
    descriptor = os.open(tmp_path / "lock", os.O_RDWR)
    (tmp_path / "lock").write_text("4711")  # held, but by another than it says
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    assert holder(tmp_path) == 0
    os.close(descriptor)
    assert holder(tmp_path, tmp_path / "nothing") == 0


def test_no_run_is_no_life(tmp_path: Path) -> None:
    path = write(tmp_path, output=str(tmp_path / "out"))
    path.write_text(path.read_text().replace("${PACS_HOST}", "pacs.example.org"))
    ended = within("check", "--alive", str(path))
    assert ended.code == 1
    assert "No run of this extraction goes on" in ended.out
