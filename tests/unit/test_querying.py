"""Queries against an archive that holds matches back, ignores keys or drops out (F01, F09-F12)."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pydicombatch.core.errors import TransientError
from pydicombatch.core.matching import Fit, fit
from pydicombatch.core.model import Answer, Key, Match, Outcome, Request, RequestType, Verdict
from pydicombatch.core.ports import Archive
from pydicombatch.runner.answers import Reviewer
from pydicombatch.runner.gate import NoTurnError
from pydicombatch.runner.inventory import Turn
from pydicombatch.runner.judge import Judgement
from pydicombatch.runner.match_limits import MatchLimits
from pydicombatch.runner.querying import Means, Query
from tests.support.fakes import DONE, FakeArchive

TODAY = date(2026, 11, 21)
FIRST = date(2024, 1, 1)


@dataclass(frozen=True)
class Study:
    uid: str
    day: date
    time: str = "101500"

    def value(self, path: str) -> str:
        known = {
            "QueryRetrieveLevel": "STUDY",
            "StudyInstanceUID": self.uid,
            "StudyDate": f"{self.day:%Y%m%d}",
            "StudyTime": self.time,
        }
        return known.get(path, "")


@dataclass
class Capped(FakeArchive):
    """Holds studies, sends so many of those that match at most."""

    studies: list[Study]
    limit: int
    status: int = 0x0000  # of an answer that was cut short
    ignores: frozenset[str] = frozenset()
    fails: Callable[[int], bool] = lambda _: False
    asked: list[dict[str, str]] = field(default_factory=list)

    def find(self, request: Request, on_match: Callable[[Match], None]) -> Answer:
        keys = {key.path: key.value for key in request.keys}
        self.asked.append(keys)
        if self.fails(len(self.asked)):
            raise TransientError("The connection was lost", "It is tried again")
        found = [one for one in self.studies if self._matches(one, keys)]
        for one in found[: self.limit]:
            on_match(Match(tuple((key.path, one.value(key.path)) for key in request.keys)))
        held_back = len(found) > self.limit and self.status
        return Answer(self.status, Verdict.RETRY, "Busy", "Wait") if held_back else DONE

    def _matches(self, study: Study, keys: dict[str, str]) -> bool:
        return all(
            fit(vr, keys.get(path, ""), study.value(path)) is Fit.MATCHES
            for path, vr in (("StudyDate", "DA"), ("StudyTime", "TM"))
            if path not in self.ignores
        )


class Rejecting(Capped):
    """Sends nothing at all where there is more than its limit."""

    def find(self, request: Request, on_match: Callable[[Match], None]) -> Answer:
        found: list[Match] = []
        answer = super().find(request, found.append)
        for match in found if answer is DONE else []:
            on_match(match)
        return answer


def query(
    archive: Archive,
    dates: str = "20240101-20241231",
    *more: Key,
    turn: Turn = lambda _: None,
    **means: object,
) -> tuple[Judgement, list[Match]]:
    found: list[Match] = []
    keys = (Key("QueryRetrieveLevel", "STUDY"), Key("StudyDate", dates), *more)
    request = Request("i", 1, RequestType.FIND, "study", keys)
    shared = Means(limits=MatchLimits(2), **means)  # type: ignore[arg-type]
    judgement = Query(shared, archive, request, found.append, turn).carry_out(TODAY)
    return judgement, found


def studies(*days: int, time: str = "101500") -> list[Study]:
    return [Study(f"1.{n}", FIRST + timedelta(days=day), time) for n, day in enumerate(days, 1)]


@given(st.lists(st.integers(0, 365), max_size=12), st.sampled_from([0x0000, 0xA700, 0xB001]))
@settings(max_examples=60, deadline=None)
def test_a_split_query_finds_what_an_archive_without_a_limit_would_have_sent(
    days: list[int], status: int
) -> None:
    """F12: at most 2 answers, times a minute apart so that every one can be told apart."""
    held = [
        Study(f"1.{n}", FIRST + timedelta(days=day), f"{n:02}3000") for n, day in enumerate(days)
    ]
    judgement, found = query(Capped(held, 2, status), "20240101-20250101")
    names = [dict(match.values)["StudyDate"] for match in found]
    assert sorted(names) == sorted(one.value("StudyDate") for one in held)
    assert judgement.result.outcome is (Outcome.COMPLETE if held else Outcome.EMPTY)
    assert judgement.result.matches == len(found)


def test_the_rows_have_the_columns_that_were_asked_for_and_no_more() -> None:
    archive = Capped(studies(1, 2, 3, 4), 2)
    _, found = query(archive)
    assert all("StudyInstanceUID" in keys for keys in archive.asked)
    assert {tuple(path for path, _ in match.values) for match in found} == {
        ("QueryRetrieveLevel", "StudyDate")
    }
    assert len(found) == 4


def test_a_minute_with_more_than_the_archive_sends_is_truncated() -> None:
    """F12: it keeps what came, and is not complete."""
    judgement, found = query(Capped(studies(5, 5, 5), 2))
    assert judgement.result.outcome is Outcome.TRUNCATED
    assert (judgement.result.matches, len(found)) == (2, 2)
    assert "one minute" in judgement.result.reason
    assert judgement.result.remedy
    assert not judgement.again


def test_a_day_whose_studies_have_no_time_is_truncated() -> None:
    """F12: what no query by time can show may be more than was seen."""
    judgement, found = query(Capped(studies(5, 5, 5, time=""), 2))
    assert judgement.result.outcome is Outcome.TRUNCATED
    assert len(found) == 2
    assert "StudyTime" in judgement.result.reason


def test_an_archive_that_ignores_dates_is_not_asked_for_every_minute_of_a_year() -> None:
    """F11, F12."""
    archive = Capped(studies(400, 401, 402), 2, ignores=frozenset({"StudyDate", "StudyTime"}))
    judgement, found = query(archive)
    assert judgement.result.outcome is Outcome.TRUNCATED
    assert not found
    assert len(archive.asked) == 1


def test_a_query_without_a_range_of_dates_is_truncated_as_it_is() -> None:
    """F12."""
    judgement, found = query(Capped(studies(1, 2, 3), 2), "")
    assert judgement.result.outcome is Outcome.TRUNCATED
    assert len(found) == 2
    assert "max_matches" in judgement.result.remedy


def test_out_of_resources_with_matches_is_tried_again_and_never_believed() -> None:
    """F06, F12."""
    judgement, found = query(Capped(studies(1, 2, 3), 2, 0xA700), "")
    assert judgement.result.outcome is Outcome.TRUNCATED
    assert judgement.again
    assert len(found) == 2


def test_out_of_resources_without_any_match_is_a_failure_for_the_moment() -> None:
    judgement, _ = query(Capped(studies(1), 0, 0xA700), "")
    assert judgement.result.outcome is Outcome.FAILED
    assert judgement.again


def test_out_of_resources_without_any_match_is_cured_by_smaller_ranges() -> None:
    """F12: some archives reject what is too much instead of cutting it short."""
    archive = Rejecting(studies(1, 100, 200), 1, 0xA700)
    judgement, found = query(archive)
    assert judgement.result.outcome is Outcome.COMPLETE
    assert len(found) == 3


def test_a_lost_connection_costs_one_part_and_not_the_whole_query() -> None:
    """F01."""
    archive = Capped(studies(*range(0, 300, 20)), 2, fails=lambda n: n % 3 == 2)
    judgement, found = query(archive, attempts=3)
    assert judgement.result.outcome is Outcome.COMPLETE
    assert len(found) == 15


def test_an_archive_that_stays_away_fails_the_query() -> None:
    archive = Capped(studies(1, 2, 3), 2, fails=lambda n: n > 1)
    with pytest.raises(TransientError):
        query(archive, attempts=3)
    assert len(archive.asked) == 4


def test_no_part_leaves_after_a_stop() -> None:
    """F31: every part waits for its turn, and there may be none any more."""
    archive = Capped(studies(1, 2, 3, 4, 5, 6), 2)

    def turn(_: Archive) -> None:
        if len(archive.asked) == 3:
            raise NoTurnError

    with pytest.raises(NoTurnError):
        query(archive, turn=turn)
    assert len(archive.asked) == 3


class Scripted(FakeArchive):
    """Sends these matches, whatever is asked."""

    def __init__(self, *matches: dict[str, str]) -> None:
        super().__init__(lambda request, archive: DONE)
        self.matches = matches

    def find(self, request: Request, on_match: Callable[[Match], None]) -> Answer:
        for one in self.matches:
            on_match(Match(tuple((key.path, one.get(key.path, "")) for key in request.keys)))
        return DONE


def test_a_row_that_comes_twice_is_one_row() -> None:
    """F09: unless nothing tells whether it is of another study."""
    twice = {"QueryRetrieveLevel": "STUDY", "StudyInstanceUID": "1.2", "PatientID": "P"}
    _, found = query(Scripted(twice, twice), "", Key("StudyInstanceUID"))
    assert len(found) == 1
    _, found = query(Scripted(twice, twice), "", Key("PatientID"))
    assert len(found) == 2


def test_nothing_but_answers_to_something_else_is_empty_and_says_so() -> None:
    """F11."""
    other = {"QueryRetrieveLevel": "STUDY", "PatientID": "P2"}
    reviewer = Reviewer()
    judgement, found = query(Scripted(other), "", Key("PatientID", "P1"), reviewer=reviewer)
    assert not found
    assert judgement.result.outcome is Outcome.EMPTY
    assert "not asked for" in judgement.result.reason
    assert "request.mismatches" in judgement.result.remedy
