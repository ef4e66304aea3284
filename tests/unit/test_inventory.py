"""Counts of a retrieve: asked for in their turn, and not again when a selection was told them."""

from collections.abc import Callable
from dataclasses import dataclass, field

from pydicombatch.core.errors import RequestError
from pydicombatch.core.model import Answer, Key, Match, Request, RequestType
from pydicombatch.core.ports import Archive
from pydicombatch.runner.inventory import IN_VAIN, Habits, Inventory
from tests.support.fakes import DONE, FakeArchive

SERIES = (
    Key("QueryRetrieveLevel", "SERIES"),
    Key("StudyInstanceUID", "1.2"),
    Key("SeriesInstanceUID", "1.2.3"),
)


@dataclass
class Counting(FakeArchive):
    """Says how many instances a series has, if it says anything."""

    count: str = "7"
    refuses: bool = False
    asked: list[Request] = field(default_factory=list)

    def find(self, request: Request, on_match: Callable[[Match], None]) -> Answer:
        self.asked.append(request)
        if self.refuses:
            raise RequestError("It refuses", "Ask why")
        told = {"NumberOfSeriesRelatedInstances": self.count}
        on_match(Match(tuple((k.path, told.get(k.path, k.value)) for k in request.keys)))
        return DONE


def inventory(
    archive: Counting, told: int | None = None, habits: Habits | None = None
) -> tuple[Inventory, list[Archive]]:
    turns: list[Archive] = []
    request = Request("identity", 1, RequestType.MOVE, "study", SERIES)
    return Inventory(archive, request, habits or Habits(), turns.append, told), turns


def test_a_count_is_one_query_that_waits_for_its_turn() -> None:
    archive = Counting()
    made, turns = inventory(archive)
    assert made.related() == 7
    assert (len(archive.asked), turns) == (1, [archive])


def test_what_a_selection_was_told_is_not_asked_for_unless_it_would_be_all_there_is() -> None:
    archive = Counting()
    made, turns = inventory(archive, told=9)
    assert made.related() == 9
    assert (archive.asked, turns) == ([], [])
    assert made.related(again=True) == 7
    assert len(archive.asked) == len(turns) == 1


def test_an_archive_that_does_not_count_is_asked_no_more() -> None:
    for archive in (Counting(count=""), Counting(refuses=True)):
        habits = Habits()
        for _ in range(IN_VAIN + 2):
            made, _ = inventory(archive, habits=habits)
            assert made.related() is None
        assert len(archive.asked) == IN_VAIN
