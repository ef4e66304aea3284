"""Answers of archives that misbehave, by the command line (faults F09-F14, S07)."""

import csv
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from pydicom.dataset import Dataset

from tests.conftest import OrthancFactory
from tests.support.extraction import Job, within
from tests.support.fake_archive import Asked, FakeArchive, Final, Pending, Script, Step
from tests.support.instances import Spec, dataset, to_bytes
from tests.support.ports import free_port

YEAR = [f"2024{month:02}{day:02}" for month in range(1, 13) for day in range(1, 29)]
ASKED = ["QueryRetrieveLevel=STUDY", "PatientName", "StudyDate", "StudyInstanceUID"]


def study(number: int, **more: object) -> Dataset:
    found = Dataset()
    found.QueryRetrieveLevel = "STUDY"
    found.StudyInstanceUID = f"1.2.826.{number}"
    found.StudyDate = YEAR[number % len(YEAR)]
    found.StudyTime = f"{number % 24:02}1500"
    found.PatientID = "P1"
    for keyword, value in more.items():
        setattr(found, keyword, value)
    return found


def job(folder: Path, archive: object, elements: Sequence[str], **more: object) -> Job:
    return Job(folder, archive, free_port(), "c-find", elements, **more)  # type: ignore[arg-type]


def sends(*matches: Dataset | bytes) -> Script:
    return Script([[*(Pending(match=one) for one in matches), Final()]])


def capped(studies: list[Dataset], limit: int, status: int = 0) -> Callable[[Asked], list[Step]]:
    """Answer as an archive with a limit does: dates and times are heeded."""

    def within_range(value: str, asked: str) -> bool:
        low, _, high = asked.partition("-")
        return not asked or low <= value <= (high or ("9" if "-" in asked else low))

    def respond(asked: Asked) -> list[Step]:
        dates = str(asked.identifier.get("StudyDate", ""))
        times = str(asked.identifier.get("StudyTime", ""))
        found = [
            one
            for one in studies
            if within_range(one.StudyDate, dates) and within_range(one.StudyTime, times)
        ]
        held_back = len(found) > limit
        answers: list[Step] = [Pending(match=one) for one in found[:limit]]
        return [*answers, Final(status if held_back else 0)]

    return respond


@pytest.mark.parametrize("status", [0x0000, 0xA700])
@pytest.mark.parametrize("limit", [100, 500])
def test_an_archive_with_a_limit_gives_all_it_has_in_parts(
    tmp_path: Path, limit: int, status: int
) -> None:
    """F12: more studies than the limit, each once in the CSV; the guest keeps to its pauses."""
    studies = [study(number) for number in range(limit * 2 + 7)]
    with FakeArchive(Script(capped(studies, limit, status))) as archive:
        elements = ["QueryRetrieveLevel=STUDY", "StudyDate=2024-01-01-2024-12-31"]
        one = job(tmp_path, archive, [*elements, "StudyInstanceUID"])
        one.change("pacs", max_matches=limit)
        ended = one.run()
        assert ended.code == 0, ended.text
        assert 3 <= len(archive.asked) < 40
        assert archive.associations == 1
    found = [row["StudyInstanceUID"] for row in one.results()]
    assert sorted(found) == sorted(each.StudyInstanceUID for each in studies)
    assert "is not written as DICOM writes dates" in ended.err


def test_a_limit_that_shows_by_repetition_takes_back_what_was_believed(tmp_path: Path) -> None:
    """F12: three rows with exactly 100 studies each, without dates to cut by."""
    studies = [study(number) for number in range(150)]
    rows = [["PatientID"], *([f"P{number}"] for number in range(4))]
    answers: Callable[[Asked], list[Step]] = lambda asked: [  # noqa: E731
        *(Pending(match=one) for one in _of(studies[:100], asked)), Final()
    ]  # fmt: skip
    with FakeArchive(Script(answers)) as archive:
        one = job(tmp_path, archive, ["QueryRetrieveLevel=STUDY", "StudyInstanceUID"], rows=rows)
        ended = one.run()
        assert ended.code == 1, ended.text
        status = one.command("status")
    assert "4  truncated" in status.out
    assert "has more matches than it sent" in status.out
    assert "max_matches" in status.out


def _of(studies: list[Dataset], asked: Asked) -> list[Dataset]:
    for one in studies:
        one.PatientID = asked.identifier.PatientID
    return studies


def test_rows_that_were_not_asked_for_are_left_out_and_told(tmp_path: Path) -> None:
    """F11: another patient, another level, another date; one warning a kind."""
    script = sends(
        study(1),
        study(2, PatientID="P2"),
        study(3, PatientID="P3"),
        study(4, QueryRetrieveLevel="SERIES"),
        study(5, PatientID="p1"),
    )
    with FakeArchive(script) as archive:
        one = job(tmp_path, archive, [*ASKED, "PatientID=P1"])
        ended = one.run()
        assert ended.code == 0, ended.text
        left = [row["StudyInstanceUID"] for row in one.results()]
        one.change("request", mismatches="keep")
        kept = one.run("--restart")
    assert left == ["1.2.826.1", "1.2.826.5"]
    assert "2 of 5 answers with another value of PatientID" in ended.err
    assert "another level" in ended.err
    assert len(one.results()) == 5
    assert "kept" in kept.err


def test_a_patient_by_another_name_of_the_same_study_level_never_appears_silently(
    tmp_path: Path,
) -> None:
    """F11: an archive that ignores the key altogether."""
    with FakeArchive(sends(*(study(n, PatientID=f"X{n}") for n in range(6)))) as archive:
        one = job(tmp_path, archive, [*ASKED, "PatientID=P1"])
        ended = one.run()
    assert one.results() == []
    assert "the archive seems to ignore PatientID" in ended.err
    assert "1" in ended.out.split("empty, over all runs")[1]


def test_odd_values_survive_as_they_came(tmp_path: Path) -> None:
    """F09, F10, F14: missing, padded, too long, of another kind, twice."""
    matches = [
        study(1, StudyInstanceUID="1.02.3"),
        study(2, StudyInstanceUID="1.2.3" + ".4" * 40),
        study(3, StudyInstanceUID=""),
        study(4, StudyDate="2024.01.15"),
        study(5, PatientName='Doe^"John"\r\nX,;'),
        study(6),
        study(6),
    ]
    with FakeArchive(sends(*matches)) as archive:
        one = job(tmp_path, archive, ASKED)
        ended = one.run()
        assert ended.code == 0, ended.text
    rows = one.results()
    assert [row["StudyInstanceUID"] for row in rows] == [
        "1.02.3", "1.2.3" + ".4" * 40, "", "1.2.826.4", "1.2.826.5", "1.2.826.6",
    ]  # fmt: skip
    assert rows[3]["StudyDate"] == "2024.01.15"
    assert rows[4]["PatientName"] == 'Doe^"John"\r\nX,;'
    assert "no UID by the standard" in ended.err
    assert "without StudyInstanceUID" in ended.err


def encoded(name: bytes, charset: bytes | None) -> bytes:
    """Make an answer in Implicit VR with a name in these bytes."""
    parts = [(0x0008, 0x0052, b"STUDY "), (0x0010, 0x0010, name)]
    if charset is not None:
        parts.insert(0, (0x0008, 0x0005, charset))
    whole = b""
    for group, element, value in parts:
        padded = value + b" " * (len(value) % 2)
        whole += group.to_bytes(2, "little") + element.to_bytes(2, "little")
        whole += len(padded).to_bytes(4, "little") + padded
    return whole


TEXTS = [
    ("GB18030", "王^小东", "gb18030", "GB18030"),
    ("GB18030", "王^小东", "gb18030", None),
    ("ISO_IR 192", "王^小东", "utf-8", None),
    ("ISO_IR 100", "Müller^Jürgen", "latin-1", None),
    ("ISO_IR 192", "Müller^Jürgen", "latin-1", "ISO_IR 100"),
    ("ISO_IR 13", "ﾔﾏﾀﾞ^ﾀﾛｳ", "shift-jis", None),
]


@pytest.mark.parametrize(("configured", "name", "encoding", "declared"), TEXTS)
def test_text_is_decoded_by_what_is_declared_or_configured(
    tmp_path: Path, configured: str, name: str, encoding: str, declared: str | None
) -> None:
    """F13: GBK, Shift-JIS, Latin 1, UTF-8, declared and not."""
    sent = encoded(name.encode(encoding), declared.encode() if declared else None)
    with FakeArchive(sends(sent)) as archive:
        one = job(tmp_path, archive, ["QueryRetrieveLevel=STUDY", "PatientName"])
        one.change("pacs", charset=configured)
        assert one.run().code == 0
    assert [row["PatientName"] for row in one.results()] == [name]


def test_bytes_that_are_no_text_are_kept_reversibly_in_valid_utf_8(tmp_path: Path) -> None:
    """F13."""
    raw = "Mäder^王".encode("gb18030")
    with FakeArchive(sends(encoded(raw, b"ISO_IR 192"), encoded(b"A\0B", None))) as archive:
        one = job(tmp_path, archive, ["QueryRetrieveLevel=STUDY", "PatientName"])
        ended = one.run()
        assert ended.code == 0
    one.results_file.read_bytes().decode("utf-8", "strict")
    first, second = (row["PatientName"] for row in one.results())
    assert first.isascii()
    assert first.encode().decode("unicode_escape").encode("latin-1") == raw
    assert second == r"A\x00B"
    assert "character set does not know" in ended.err


@pytest.mark.parametrize(
    ("charset", "name"),
    [
        ("ISO 2022 IR 6\\ISO 2022 IR 87", "Yamada^Tarou=山田^太郎"),
        ("ISO_IR 192", "王^小东"),
        ("ISO_IR 126", "Διονυσιος"),
        ("GB18030", "王^小东"),
    ],
)
def test_a_name_in_any_script_can_be_asked_for(tmp_path: Path, charset: str, name: str) -> None:
    """The identifier says in which character set it is, and its text comes out as it was meant."""
    with FakeArchive(Script([[Final()]])) as archive:
        one = job(
            tmp_path, archive, ["QueryRetrieveLevel=PATIENT"], rows=[["PatientName"], [name]],
            request={"model": "patient"},
        )  # fmt: skip
        one.change("pacs", charset=charset)
        ended = one.run()
        assert ended.code == 0, ended.text
        (asked,) = archive.asked
    declared = asked.identifier.SpecificCharacterSet
    assert "\\".join([declared] if isinstance(declared, str) else declared) == charset
    assert str(asked.identifier.PatientName) == name


def test_text_that_the_character_set_does_not_know_is_an_error_of_its_row(tmp_path: Path) -> None:
    rows = [["PatientName"], ["Muller"], ["山田"]]
    with FakeArchive(Script()) as archive:
        one = job(tmp_path, archive, ["QueryRetrieveLevel=PATIENT"], rows=rows)
        one.change("pacs", charset="ISO_IR 100")
        ended = within("run", str(one.config))
        assert not archive.asked
    assert ended.code == 2
    assert "batch.csv:3: PatientName" in ended.text
    assert "pacs.charset" in ended.text
    assert "山田" not in ended.text


def test_names_beyond_latin_are_found_in_a_real_orthanc(
    tmp_path: Path, start_orthanc: OrthancFactory
) -> None:
    """F13: Orthanc matches in any script, but answers in Latin 1; the row must not be lost."""
    ds = dataset(Spec())
    ds.SpecificCharacterSet, ds.PatientName = "ISO_IR 192", "Yamada^Tarou=山田^太郎"
    other = dataset(Spec(patient=2, patient_name="Other^Name"))
    server = start_orthanc()
    server.load([to_bytes(ds), to_bytes(other)])
    one = job(
        tmp_path, server, ["QueryRetrieveLevel=PATIENT", "PatientID"],
        rows=[["PatientName"], ["*山田*"]], request={"model": "patient"},
    )  # fmt: skip
    ended = one.run()
    assert ended.code == 0, ended.text
    (row,) = one.results()
    assert row["PatientID"] == ds.PatientID
    assert row["PatientName"].startswith("Yamada^Tarou")
    assert "could be compared" in ended.err


def test_cells_are_safe_for_spreadsheets_when_asked_for_and_faithful_otherwise(
    tmp_path: Path,
) -> None:
    """S07."""
    match = study(1, PatientName="=cmd|' /C calc'!A0", PatientID="00012345")
    with FakeArchive(sends(match)) as archive:
        one = job(tmp_path, archive, [*ASKED, "PatientID"])
        assert one.run().code == 0
        assert one.results()[0]["PatientName"] == match.PatientName
        one.change("output", excel_safe=True)
        assert one.run().code == 0
        (safe,) = one.results()
        assert safe["PatientName"] == "'" + str(match.PatientName)
        assert safe["PatientID"] == "'00012345"
        assert safe["StudyDate"] == YEAR[1]
        every = tmp_path / "every.csv"
        one.command("status", "--csv", str(every))
        one.change("output", excel_safe=False)
        assert one.run().code == 0
    assert one.results()[0]["PatientID"] == "00012345"
    with every.open(newline="", encoding="utf-8") as file:
        assert len(list(csv.reader(file))) == 2


def test_status_answers_while_a_run_holds_the_ledger(tmp_path: Path) -> None:
    """`status` neither waits for the run nor disturbs it."""
    go_on = threading.Event()

    def respond(asked: Asked) -> list[Step]:
        if len(archive.asked) > 1:
            go_on.wait(60)
        return [Pending(match=study(len(archive.asked))), Final()]

    rows = [["PatientName"], ["A*"], ["B*"], ["C*"]]
    with FakeArchive(Script(respond)) as archive:
        one = job(tmp_path, archive, ["QueryRetrieveLevel=STUDY"], rows=rows)
        with one.start() as running:
            while len(archive.asked) < 2:
                pass
            before = sorted(path.name for path in one.state.iterdir())
            status = one.command("status", "--json")
            assert sorted(path.name for path in one.state.iterdir()) == before
            go_on.set()
            assert running.wait().code == 0
    assert status.code == 0, status.text
    assert '"pending": 2' in status.out


def test_options_may_stand_in_front_of_the_configuration(tmp_path: Path) -> None:
    with FakeArchive(Script([[Final(0xA900)], [Final()]])) as archive:
        one = job(tmp_path, archive, ["QueryRetrieveLevel=STUDY", "StudyInstanceUID"])
        assert one.run().code == 1
        ended = within("--only-failed", str(one.config))
        assert ended.code == 0, ended.text
        assert len(archive.asked) == 2
    assert within("--version").code == 0
    assert within("--help").out.startswith("Usage")


def test_a_batch_that_has_not_changed_is_not_loaded_again_and_one_that_has_is(
    tmp_path: Path,
) -> None:
    with FakeArchive(Script([[Final()]])) as archive:
        rows = [["StudyDate", "PatientID"], ["2024-01-02", "P1"]]
        one = job(tmp_path, archive, ["QueryRetrieveLevel=STUDY"], rows=rows)
        first, second = one.run(), one.run()
        assert "not written as DICOM" in first.err
        assert "not written as DICOM" in second.err  # the warning is remembered
        assert len(archive.asked) == 1
        one.batch.write_text("StudyDate,PatientID\n20240102,P1\n20240103,P2\n")
        third = one.run()
        assert "not written as DICOM" not in third.err
        assert len(archive.asked) == 2
        one.batch.write_text("StudyDate,PatientID\n01/02/2024,P2\n")
        assert one.run().code == 2
