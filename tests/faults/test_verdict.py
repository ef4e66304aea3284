"""F02 to F09: an archive that miscounts, forgets, repeats itself or says nothing at all.

The verdict comes from the SOP Instance UIDs that are stored, held against what the archive says
elsewhere; what is missing is asked for again by its UIDs, and only that.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from pydicom.dataset import Dataset

from tests.support.extraction import AET, Job
from tests.support.fake_archive import (
    Abort,
    FakeArchive,
    Final,
    Pending,
    Script,
    Sleep,
    Step,
    Store,
)
from tests.support.holding import answering, sending
from tests.support.instances import Spec, dataset
from tests.support.ports import free_port

LOCAL_PORT = free_port()
TEN = [dataset(Spec(series=1 + n // 5, instance=1 + n % 5)) for n in range(10)]
STUDY = Spec().study_uid
LEVEL = ["QueryRetrieveLevel=STUDY"]
TIMEOUTS = {"quiet": 1, "grace": 5, "response": 5}


def job(folder: Path, archive: FakeArchive, **more: Any) -> Job:
    sections: dict[str, Any] = {"pacs": {"timeouts": TIMEOUTS}, "retry": {"attempts": 1}, **more}
    rows = [["StudyInstanceUID"], [STUDY]]
    return Job(folder, archive, LOCAL_PORT, "c-move", LEVEL, rows, **sections)


def script(*answers: Sequence[Step], **more: Any) -> Script:
    return Script(answers, destinations={AET: LOCAL_PORT}, **more)


def status(done: Job) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(done.command("status", "--json").out)
    return found


def evidence(done: Job) -> list[str]:
    return [name for name, lines in status(done)["evidence"].items() if lines]


def uids(instances: Sequence[Dataset]) -> set[str]:
    return {str(one.SOPInstanceUID) for one in instances}


def repaired(archive: FakeArchive) -> set[str]:
    """Return the UIDs asked for at the IMAGE level; every such request names nothing else."""
    asked: set[str] = set()
    whole = [one for one in archive.asked if one.identifier.QueryRetrieveLevel == "STUDY"]
    assert whole == archive.asked[: len(whole)]
    assert len(whole) <= 1
    for one in archive.asked[len(whole) :]:
        assert one.identifier.QueryRetrieveLevel == "IMAGE"
        assert one.identifier.StudyInstanceUID == STUDY
        value = one.identifier.SOPInstanceUID
        asked |= {value} if isinstance(value, str) else set(value)
    return asked


def outcome(done: Job) -> tuple[str, str, str]:
    (row,) = done.results()
    return row["Outcome"], row["Expected"], row["Stored"]


def counts(completed: int | None) -> Final:
    return Final(completed=completed, failed=0 if completed is not None else None)


# --- counts that agree


def test_f02_counts_that_agree_are_enough_and_cost_one_query(tmp_path: Path) -> None:
    with FakeArchive(script(sending(TEN), queries=answering(TEN))) as archive:
        done = job(tmp_path, archive)
        assert done.run().code == 0
    assert outcome(done) == ("complete", "10", "10")
    assert evidence(done) == ["related"]
    (query,) = archive.queried
    assert (query.identifier.QueryRetrieveLevel, query.identifier.StudyInstanceUID) == (
        "STUDY", STUDY,
    )  # fmt: skip


def test_f02_where_nothing_can_be_asked_the_counters_are_the_evidence(tmp_path: Path) -> None:
    with FakeArchive(script(sending(TEN))) as archive:
        done = job(tmp_path, archive)
        assert done.run().code == 0
    assert outcome(done) == ("complete", "10", "10")
    assert evidence(done) == ["counters"]


def test_f02_an_archive_that_offers_no_queries_still_serves(tmp_path: Path) -> None:
    moves = [
        "1.2.840.10008.1.1", "1.2.840.10008.5.1.4.1.2.2.2", "1.2.840.10008.5.1.4.1.2.1.2",
    ]  # fmt: skip
    with FakeArchive(script(sending(TEN), contexts=moves)) as archive:
        done = job(tmp_path, archive)
        assert done.run().code == 0
    assert evidence(done) == ["counters"]
    assert archive.associations <= 2


def test_verify_instances_lists_them_whatever_the_counts_say(tmp_path: Path) -> None:
    with FakeArchive(script(sending(TEN), queries=answering(TEN))) as archive:
        done = job(tmp_path, archive)
        done.sections["verify"] = "instances"
        done.write()
        assert done.run().code == 0
    assert evidence(done) == ["instances"]
    assert [one.identifier.QueryRetrieveLevel for one in archive.queried] == ["IMAGE"]


# --- counts that lie


@pytest.mark.parametrize("at_once", [True, False], ids=["at once", "series by series"])
@pytest.mark.parametrize("counted", [10, 9, 4, None], ids=str)
def test_f02_what_was_not_sent_is_asked_for_by_its_uids_and_only_that(
    tmp_path: Path, counted: int | None, at_once: bool
) -> None:
    """F02: it says 10, 9 or 4, or nothing, and sends nine of ten; the list knows better."""
    first = sending(TEN[:9], counts(counted))
    again = sending(TEN[9:])
    queries = answering(TEN, at_once=at_once)
    with FakeArchive(script(first, again, queries=queries)) as archive:
        done = job(tmp_path, archive)
        ended = done.run()
    assert ended.code == 0, ended.text
    assert outcome(done) == ("complete", "10", "10")
    assert set(done.stored()) == uids(TEN)
    assert repaired(archive) == uids(TEN[9:])
    assert evidence(done) == ["instances"]


def test_f02_without_counters_and_lists_the_related_counts_are_held_against(tmp_path: Path) -> None:
    queries = answering(TEN, lists=False)
    with FakeArchive(script(sending(TEN[:9], counts(None)), queries=queries)) as archive:
        done = job(tmp_path, archive)
        assert done.run().code == 1
    assert outcome(done) == ("partial", "10", "9")
    (why,) = status(done)["unfinished"]
    assert why["reason"] == "The archive counts 10 instances of this request, 9 have come"
    assert why["evidence"] == "related"


def test_f02_what_never_comes_is_partial_and_named(tmp_path: Path) -> None:
    first, nothing = sending(TEN[:8], counts(10)), [counts(0)]
    with FakeArchive(script(first, nothing, queries=answering(TEN))) as archive:
        done = job(tmp_path, archive, retry={"attempts": 3, "wait": 0.1})
        assert done.run().code == 1
        assert repaired(archive) == uids(TEN[8:])
    assert outcome(done) == ("partial", "10", "8")
    (why,) = status(done)["unfinished"]
    assert (why["evidence"], why["missing"], why["attempts"]) == ("instances", 2, 3)
    file = tmp_path / "missing.csv"
    assert done.command("status", "--missing-csv", str(file)).code == 0
    named = [line.split(",") for line in file.read_text().splitlines()]
    assert named[0] == ["Line", "SOPInstanceUID"]
    assert {tuple(one) for one in named[1:]} == {("2", uid) for uid in uids(TEN[8:])}
    with FakeArchive(script(sending(TEN[8:]), queries=answering(TEN))) as archive:
        done.change("pacs", port=archive.port)
        assert done.run().code == 0
        assert repaired(archive) == uids(TEN[8:])
    assert outcome(done) == ("complete", "10", "10")
    assert status(done)["unfinished"] == []


def test_f02_more_than_was_counted_is_complete(tmp_path: Path) -> None:
    """F02: it sends ten and says nine; a sub-operation count that began anew says five."""
    for number, said in enumerate((9, 5)):
        with FakeArchive(script(sending(TEN, counts(said)), queries=answering(TEN))) as archive:
            done = job(tmp_path / str(number), archive)
            assert done.run().code == 0
            assert len(archive.asked) == 1
        assert outcome(done) == ("complete", "10", "10")
        assert evidence(done) == ["instances"]


def test_f02_a_success_with_nothing_is_not_believed(tmp_path: Path) -> None:
    """F02: counters 0, nothing sent, and yet it counts and lists ten instances."""
    script_ = script([counts(0)], sending(TEN), queries=answering(TEN))
    with FakeArchive(script_) as archive:
        done = job(tmp_path, archive, retry={"attempts": 2, "wait": 0.1})
        ended = done.run()
    assert ended.code == 0, ended.text
    assert outcome(done) == ("complete", "10", "10")


def test_f02_a_success_that_says_nothing_at_all_is_a_failure(tmp_path: Path) -> None:
    with FakeArchive(script([counts(None)])) as archive:
        done = job(tmp_path, archive)
        assert done.run().code == 1
    assert outcome(done)[0] == "failed"
    assert status(done)["unfinished"][0]["reason"].endswith("does not say how much there is")


def test_f02_nothing_found_and_nothing_counted_is_empty(tmp_path: Path) -> None:
    with FakeArchive(script([counts(0)], queries=answering([]))) as archive:
        done = job(tmp_path, archive)
        assert done.run().code == 0
    assert outcome(done)[0] == "empty"
    assert evidence(done) == ["related"]


def test_f02_where_no_instances_can_be_retrieved_the_whole_is_asked_for_again(
    tmp_path: Path,
) -> None:
    """F02: the archive refuses a retrieve at the IMAGE level."""
    refused: list[Step] = [Final(0xA900)]
    answers = [sending(TEN[:9], counts(10)), refused, sending(TEN)]
    with FakeArchive(script(*answers, queries=answering(TEN))) as archive:
        done = job(tmp_path, archive, retry={"attempts": 2, "wait": 0.1})
        assert done.run().code == 0
    assert [one.identifier.QueryRetrieveLevel for one in archive.asked] == [
        "STUDY", "IMAGE", "STUDY",
    ]  # fmt: skip
    assert outcome(done) == ("complete", "10", "10")


# --- late, twice, by another way


def test_f03_what_comes_after_the_final_response_counts(tmp_path: Path) -> None:
    late = [*sending(TEN[:5], counts(10)), Sleep(0.5), *(Store(one) for one in TEN[5:])]
    with FakeArchive(script(late, queries=answering(TEN))) as archive:
        done = job(tmp_path, archive, pacs={"timeouts": {**TIMEOUTS, "quiet": 4}})
        assert done.run().code == 0
        assert len(archive.asked) == 1
    assert outcome(done) == ("complete", "10", "10")


def test_f04_without_a_final_response_all_that_came_is_enough(tmp_path: Path) -> None:
    steps: list[Step] = [*(Store(one) for one in TEN), Sleep(3), Abort()]
    with FakeArchive(script(steps, queries=answering(TEN))) as archive:
        done = job(tmp_path, archive, pacs={"timeouts": {**TIMEOUTS, "response": 1.5}})
        assert done.run().code == 0
        assert len(archive.asked) == 1
    assert outcome(done) == ("complete", "10", "10")
    assert "request.unanswered" in done.log()


def test_f05_pendings_do_not_put_off_the_overall_deadline(tmp_path: Path) -> None:
    steps: list[Step] = [step for _ in range(40) for step in (Pending(remaining=1), Sleep(0.2))]
    with FakeArchive(script([*steps, Abort()])) as archive:
        done = job(tmp_path, archive, pacs={"timeouts": {**TIMEOUTS, "total": "2s"}})
        ended = done.run()
    assert ended.code == 1
    (why,) = status(done)["unfinished"]
    assert why["reason"] == "The archive did not end the request within 2 s"


def test_f08_arrivals_are_known_whoever_brings_them(tmp_path: Path) -> None:
    """F08: over other associations, under other titles, without Move Originator."""
    steps: list[Step] = [
        Store(TEN[0], originator_aet=AET, calling_aet="FEEDER7"),
        Store(TEN[1], originator_message_id=0, calling_aet="FEEDER7"),
        Store(TEN[2], originator_aet="SOMEBODY", calling_aet="FEEDER8"),
        Store(TEN[3], originator_aet=AET, originator_message_id=60_000),
        *(Store(one, originator_message_id=0) for one in TEN[4:]),
        counts(10),
    ]
    with FakeArchive(script(steps, queries=answering(TEN))) as archive:
        done = job(tmp_path, archive)
        assert done.run().code == 0
        assert len(archive.asked) == 1
    assert outcome(done) == ("complete", "10", "10")
    assert evidence(done) == ["related"]


def test_f09_the_same_instance_twice_does_not_stand_for_another(tmp_path: Path) -> None:
    """F09: ten C-STOREs and ten counted, but one instance came twice and one not at all."""
    first: list[Step] = [*(Store(one) for one in TEN[:9]), Store(TEN[0]), counts(10)]
    with FakeArchive(script(first, sending(TEN[9:]), queries=answering(TEN))) as archive:
        done = job(tmp_path, archive)
        assert done.run().code == 0
        assert repaired(archive) == uids(TEN[9:])
    assert outcome(done) == ("complete", "10", "10")
    assert len(done.stored()) == 10


def test_f09_everything_twice_is_stored_once(tmp_path: Path) -> None:
    twice: list[Step] = [Store(one) for one in TEN for _ in range(2)]
    with FakeArchive(script([*twice, counts(20)], queries=answering(TEN))) as archive:
        done = job(tmp_path, archive)
        assert done.run().code == 0
        assert len(archive.asked) == 1
    assert outcome(done) == ("complete", "10", "10")


# --- failures


@pytest.mark.parametrize("code", [0xB000, 0xA702, 0xA701, 0xC001])
def test_f06_after_a_failure_only_what_is_missing_is_asked_for(tmp_path: Path, code: int) -> None:
    broken = sending(TEN[:6], Final(code, completed=6, failed=4))
    with FakeArchive(script(broken, sending(TEN[6:]), queries=answering(TEN))) as archive:
        done = job(tmp_path, archive, retry={"attempts": 2, "wait": 0.1})
        ended = done.run()
        assert ended.code == 0, ended.text
        assert repaired(archive) == uids(TEN[6:])
    assert outcome(done) == ("complete", "10", "10")


def test_f01_after_a_lost_association_only_what_is_missing_is_asked_for(tmp_path: Path) -> None:
    cut: list[Step] = [*(Store(one) for one in TEN[:6]), Abort()]
    with FakeArchive(script(cut, sending(TEN[6:]), queries=answering(TEN))) as archive:
        done = job(tmp_path, archive, retry={"attempts": 2, "wait": 0.1})
        assert done.run().code == 0
        assert repaired(archive) == uids(TEN[6:])
    assert outcome(done) == ("complete", "10", "10")
