from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pydicombatch.core.model import Answer, Key, Outcome, Request, RequestType, Tally, Verdict
from pydicombatch.core.records import Holding
from pydicombatch.runner import drill, judge
from pydicombatch.runner.accounts import Evidence
from pydicombatch.runner.census import Census, Proof, at_least, is_doubtful, proof
from pydicombatch.runner.drill import Place

counts = st.none() | st.integers(0, 12)
tallies = st.builds(Tally, st.none(), counts, counts, counts)
uids = st.frozensets(st.sampled_from([f"1.2.{n}" for n in range(12)]))
verdicts = st.sampled_from([Verdict.DONE, Verdict.RETRY, Verdict.GIVE_UP])


def request(*keys: tuple[str, str], model: str = "study") -> Request:
    pairs = tuple(Key(path, value) for path, value in keys)
    return Request("identity", 1, RequestType.MOVE, model, pairs)


STUDY = request(("QueryRetrieveLevel", "STUDY"), ("StudyInstanceUID", "1.2"), ("PatientID", ""))


def shown(query: Request | None) -> list[tuple[str, str]]:
    assert query is not None
    assert query.type is RequestType.FIND
    return [(key.path, key.value) for key in query.keys]


# --- doubt


@given(tallies, st.integers(0, 12), st.integers(0, 12), counts)
def test_f02_no_disagreement_goes_unnoticed(
    tally: Tally, came: int, held: int, related: int | None
) -> None:
    if is_doubtful(tally, Evidence(came, came), held, related):
        return
    told = [count for count in (tally.sent, related) if count is not None]
    assert told
    assert not tally.failed
    assert tally.sent in {None, came}
    assert related in {None, held}


@given(tallies, st.integers(0, 12), counts)
def test_a_listing_must_explain_all_that_is_known(
    tally: Tally, held: int, related: int | None
) -> None:
    least = at_least(tally, held, related)
    assert least >= held
    assert least >= (related or 0)
    assert least >= (tally.sent or 0)


@pytest.mark.parametrize(
    ("tally", "census", "evidence"),
    [
        (Tally(), Census(), Proof.NONE),
        (Tally(completed=1), Census(), Proof.COUNTERS),
        (Tally(completed=1), Census(related=1), Proof.RELATED),
        (Tally(), Census(1, frozenset({"1.2"})), Proof.INSTANCES),
    ],
)
def test_the_strongest_evidence_is_named(tally: Tally, census: Census, evidence: Proof) -> None:
    assert proof(tally, census) is evidence


# --- verdicts by the list


@given(verdicts, tallies, uids, uids, uids)
def test_f02_complete_means_that_every_listed_instance_is_stored(
    verdict: Verdict,
    tally: Tally,
    listed: frozenset[str],
    stored: frozenset[str],
    aside: frozenset[str],
) -> None:
    answer = Answer(0, verdict, "reason", "remedy", tally)
    holding = Holding(1, stored, aside - stored)
    found = judge.retrieve(answer, Evidence(), holding, Census(None, listed))
    outcome = found.result.outcome
    if outcome is Outcome.COMPLETE:
        assert listed <= stored
        assert stored
        assert not found.again
    if listed - holding.all:
        assert outcome in {Outcome.PARTIAL, Outcome.FAILED}
        assert set(found.result.missing) == listed - holding.all
        assert found.again is (verdict is not Verdict.GIVE_UP)
    assert found.result.evidence == "instances"
    assert found.result.expected == len(listed)


def test_what_failed_beyond_the_list_is_not_forgotten() -> None:
    answer = Answer(0xB000, Verdict.RETRY, "2 failed", "", Tally(completed=2, failed=2))
    both = frozenset({"1.2", "1.3"})
    found = judge.retrieve(answer, Evidence(2, 2), Holding(1, both), Census(None, both))
    assert (found.result.outcome, found.again) == (Outcome.PARTIAL, True)


def test_a_higher_count_of_the_archive_is_what_is_expected() -> None:
    answer = Answer(0, Verdict.DONE, tally=Tally(completed=2))
    both = frozenset({"1.2", "1.3"})
    found = judge.retrieve(answer, Evidence(2, 2), Holding(1, both), Census(related=5))
    assert (found.result.outcome, found.result.expected) == (Outcome.PARTIAL, 5)


# --- queries


def test_counts_are_asked_for_at_the_level_of_the_request() -> None:
    assert shown(drill.counting(STUDY)) == [
        ("QueryRetrieveLevel", "STUDY"),
        ("StudyInstanceUID", "1.2"),
        ("NumberOfStudyRelatedInstances", ""),
    ]
    assert drill.counting(request(("QueryRetrieveLevel", "IMAGE"))) is None
    assert drill.counting(request(("StudyInstanceUID", "1.2"))) is None


def test_counts_are_added_up_over_distinct_entities() -> None:
    rows = [
        {"StudyInstanceUID": "1.2", "NumberOfStudyRelatedInstances": "3 "},
        {"StudyInstanceUID": "1.2", "NumberOfStudyRelatedInstances": "3"},
        {"StudyInstanceUID": "1.3", "NumberOfStudyRelatedInstances": "4"},
    ]
    assert drill.counted(STUDY, rows) == 7
    assert drill.counted(STUDY, []) == 0
    assert drill.counted(STUDY, [*rows, {"NumberOfStudyRelatedInstances": ""}]) is None


def test_all_instances_of_a_request_are_asked_for_at_once() -> None:
    assert shown(drill.relational(STUDY)) == [
        ("QueryRetrieveLevel", "IMAGE"),
        ("StudyInstanceUID", "1.2"),
        ("PatientID", ""),
        ("SeriesInstanceUID", ""),
        ("SOPInstanceUID", ""),
    ]


def test_below_an_entity_every_unique_key_above_has_one_value() -> None:
    place = Place("P1", "1.2", "1.2.3")
    assert shown(drill.children(STUDY, "IMAGE", place)) == [
        ("QueryRetrieveLevel", "IMAGE"),
        ("StudyInstanceUID", "1.2"),
        ("SeriesInstanceUID", "1.2.3"),
        ("SOPInstanceUID", ""),
    ]
    patient = replace(STUDY, model="patient")
    assert ("PatientID", "P1") in shown(drill.children(patient, "IMAGE", place))


def test_f11_a_match_of_another_study_is_no_instance_of_this_one() -> None:
    rows = [
        {"StudyInstanceUID": "1.2", "SOPInstanceUID": "1.2.1\0"},
        {"StudyInstanceUID": "1.9", "SOPInstanceUID": "1.9.1"},
        {"StudyInstanceUID": "1.2", "SOPInstanceUID": ""},
        {"SOPInstanceUID": "1.2.2 "},
    ]
    found = drill.listing(STUDY, rows, Place(study="1.2"))
    assert found == {"1.2.1": Place(study="1.2"), "1.2.2": Place(study="1.2")}


# --- repairs

places = st.builds(Place, st.just("P"), st.sampled_from(["1.1", "1.2"]), st.sampled_from("abc"))


@given(st.dictionaries(st.integers(0, 999).map(lambda n: f"1.2.3.{n}"), places, max_size=400))
def test_f02_every_missing_instance_is_asked_for_once_and_nothing_else(
    missing: dict[str, Place],
) -> None:
    asked: list[str] = []
    for one in drill.repairs(STUDY, missing):
        named = drill.values(one.value("SOPInstanceUID"))
        assert 1 <= len(named) <= drill.TOGETHER
        assert one.value("QueryRetrieveLevel") == "IMAGE"
        for uid in named:
            assert missing[uid].series == one.value("SeriesInstanceUID")
            assert missing[uid].study == one.value("StudyInstanceUID")
        asked += named
    assert sorted(asked) == sorted(missing)


def test_f12_a_round_listing_that_explains_too_little_may_be_cut_off() -> None:
    listing = {str(n): Place() for n in range(500)}
    assert drill.may_be_cut(listing, 501)
    assert not drill.may_be_cut(listing, 500)
    assert not drill.may_be_cut({"1": Place()}, 500)
