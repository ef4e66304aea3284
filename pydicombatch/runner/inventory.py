"""Asks the archive what a request should bring, and learns what it does not tell."""

import threading
from collections.abc import Callable

from pydicombatch.core.errors import FatalError, RequestError, TransientError, Unreachable
from pydicombatch.core.log import EventLog
from pydicombatch.core.model import Answer, Match, Request, Verdict
from pydicombatch.core.ports import Archive
from pydicombatch.runner import drill
from pydicombatch.runner.drill import Listing, Place
from pydicombatch.select.levels import UNIQUE_KEYS

log = EventLog(__name__)
IN_VAIN = 3  # queries for counts that brought none, until a run asks for no more of them
Turn = Callable[[Archive], None]
Rows = list[dict[str, str]]


class Habits:
    """What an archive has shown in this run that it does not do; shared by all threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._uncounted = 0
        self.needs_series = False  # it lists instances only series by series
        self.moves_no_instances = False  # it refuses a retrieve at the IMAGE level

    @property
    def counts(self) -> bool:
        """Whether it is worth a query to ask for NumberOf…RelatedInstances."""
        return self._uncounted < IN_VAIN

    def counted(self, *, told: bool) -> None:
        """Remember whether a query for counts brought any."""
        with self._lock:
            self._uncounted = 0 if told else self._uncounted + 1


class Inventory:
    """Queries about one request; each takes its turn as every other request does.

    Parameters
    ----------
    archive
        The session of this thread.
    request
        The retrieve.
    habits
        What is known of the archive.
    turn
        Waits until one more request may leave; raises what says that none may.
    told
        Instances of the request, if the archive has counted them for us just now.
    """

    def __init__(
        self,
        archive: Archive,
        request: Request,
        habits: Habits,
        turn: Turn,
        told: int | None = None,
    ) -> None:
        self._archive = archive
        self._request = request
        self._habits = habits
        self._turn = turn
        self._told = told

    def related(self, *, again: bool = False) -> int | None:
        """Return how many instances the archive counts for the request; None: it does not tell.

        What a selection has just been told is not asked for `again` unless that is wanted.

        Raises
        ------
        Held
            If no query may leave now.
        """
        query = drill.counting(self._request) if self._habits.counts else None
        if query is None:
            return None
        if self._told is not None and not again:
            return self._told
        rows = self._ask(query, tries=1)
        found = None if rows is None else drill.counted(self._request, rows)
        self._habits.counted(told=found is not None)
        return found

    def instances(self, at_least: int) -> Listing | None:
        """Return the instances of the request; None when the archive does not list them.

        Parameters
        ----------
        at_least
            How many there should be by all that is known; a listing of fewer is asked for again
            series by series.

        Raises
        ------
        Held
            If no query may leave now.
        """
        found = None if self._habits.needs_series else self._at_once()
        if drill.is_enough(found, at_least):
            return found
        whole = self._by_series()
        if whole and not found:
            self._habits.needs_series = True
        best = max((one for one in (found, whole) if one), key=len, default=found or whole)
        return best if best is None or not drill.may_be_cut(best, at_least) else None

    def _at_once(self) -> dict[str, Place] | None:
        query = drill.relational(self._request)
        rows = self._ask(query)
        if rows is None:
            return None
        return drill.listing(query, rows, drill.asked_for(self._request)) or _nothing(rows)

    def _by_series(self) -> dict[str, Place] | None:
        level = drill.level_of(self._request)
        if not level or level == drill.IMAGE:
            return None
        query = drill.entities(self._request)
        rows = self._ask(query)
        if rows is None:
            return None
        inside = drill.asked_for(self._request)
        return self._below(level, _places(query, rows, inside, UNIQUE_KEYS[level]))

    def _below(self, level: str, places: list[Place]) -> dict[str, Place] | None:
        """Go down from these entities to their instances; None as soon as one is not told."""
        child = drill.BELOW[level]
        found: dict[str, Place] = {}
        for place in places:
            query = drill.children(self._request, child, place)
            rows = self._ask(query)
            if rows is None:
                return None
            if child == drill.IMAGE:
                found |= drill.listing(query, rows, place)
                continue
            deeper = self._below(child, _places(query, rows, place, UNIQUE_KEYS[child]))
            if deeper is None:
                return None
            found |= deeper
        return found

    def _ask(self, query: Request, tries: int = 2) -> Rows | None:
        """Send a query in its turn; None when the archive refuses or breaks off."""
        for _ in range(tries):
            self._turn(self._archive)
            rows: Rows = []
            try:
                answer = self._send(query, rows)
            except Unreachable:
                raise
            except TransientError as exc:  # some abort at what they do not know
                log.warning("query.lost", error=type(exc).__name__)
                continue
            except (RequestError, FatalError) as exc:  # not offered: others tell more
                log.warning("query.refused", error=type(exc).__name__)
                return None
            if answer.verdict is Verdict.DONE:
                return rows
            log.warning("query.refused", status=f"0x{answer.status:04X}")
            return None
        return None

    def _send(self, query: Request, rows: Rows) -> Answer:
        def on_match(match: Match) -> None:
            rows.append(dict(match.values))

        return self._archive.find(query, on_match)


def _nothing(rows: Rows) -> dict[str, Place] | None:
    """Tell an answer without matches from one whose matches name no instance."""
    return None if rows else {}


def _places(query: Request, rows: Rows, inside: Place, unique: str) -> list[Place]:
    """Return the distinct places of matches that say which entity they are."""
    known = [row for row in rows if row.get(unique, "").strip(" \0") and drill.belongs(query, row)]
    return list(dict.fromkeys(drill.place_of(row, inside) for row in known))
