"""One query, answers reviewed; cut into smaller ones where the archive holds matches back."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import date
from hashlib import blake2b

from pydicombatch.core.errors import TransientError
from pydicombatch.core.log import EventLog
from pydicombatch.core.model import Answer, Key, Match, Outcome, Request, Verdict
from pydicombatch.core.ports import Archive
from pydicombatch.core.records import Result
from pydicombatch.runner import judge
from pydicombatch.runner.answers import LEVEL, Reviewer
from pydicombatch.runner.inventory import Turn
from pydicombatch.runner.judge import Judgement
from pydicombatch.runner.match_limits import MatchLimits, is_limit
from pydicombatch.runner.splitting import Span, halves, spans
from pydicombatch.select.levels import UNIQUE_KEYS

log = EventLog(__name__)
NARROW = "Narrow the query, for instance by a range of StudyDate, which is then cut by itself"
REPEATED = "Several queries had as many matches, which looks like a limit of the archive's"
LIMIT = "; set pacs.max_matches if this is not the archive's limit (0: it has none)"


@dataclass(frozen=True)
class Means:
    """What all queries of a run share."""

    reviewer: Reviewer = field(default_factory=Reviewer)
    limits: MatchLimits = field(default_factory=MatchLimits)
    pause: Callable[[int], None] = lambda _: None  # after so many tries of a part
    attempts: int = 1  # of a part of a query


@dataclass(frozen=True, slots=True)
class _Reply:
    """What came of one C-FIND."""

    answer: Answer
    received: int  # matches, left out or not
    admitted: int  # matches that were asked for
    held_back: bool  # whether there may be more
    names: tuple[str, ...]  # of those that were asked for, when the query may have to be cut


class Query:
    """One request of a run.

    Parameters
    ----------
    means
        What all queries share.
    archive
        Where it is sent.
    request
        What is asked.
    keep
        Takes every match that belongs into the results, each once.
    turn
        Waits until one more part may leave, by all the rules that hold for a request; raises when
        nothing may leave any more.
    """

    def __init__(
        self,
        means: Means,
        archive: Archive,
        request: Request,
        keep: Callable[[Match], None],
        turn: Turn = lambda _: None,
    ) -> None:
        self._turn = turn
        self._means = means
        self._archive = archive
        self._request = request
        self._keep = keep
        self._level = request.value(LEVEL).upper()
        self._spans = spans(request.keys)
        self._keys = self._with_unique_key() if self._spans else request.keys
        self._seen: dict[str | bytes, bool] = {}  # match -> whether a query by time has shown it
        self._by_day: set[str] = set()  # matches of days that were cut by time
        self._count = 0
        self._left_out = 0
        self._lack = ""

    def carry_out(self, today: date) -> Judgement:
        """Send the query, and its parts if it must be cut; judge what came."""
        whole = self._ask(self._keys)
        if not whole.held_back:
            return self._judged(whole.answer)
        parts = self._spans if len(self._spans) > 1 else self._first_cut(whole, today)
        if not parts:
            return self._truncated(whole)
        failed = self._divide(parts, today)
        if failed is not None:
            return self._judged(failed.answer)
        done = Answer(0x0000, Verdict.DONE)
        if not self._lack and not all(self._seen[name] for name in self._by_day):
            self._lack = "The archive holds back matches of a day, some of which have no StudyTime"
        return self._lacking(done, self._lack) if self._lack else self._judged(done)

    def _first_cut(self, whole: _Reply, today: date) -> tuple[Span, ...]:
        return self._cut(self._spans[0], whole, today) if self._spans else ()

    def _divide(self, parts: Iterable[Span], today: date) -> _Reply | None:
        """Ask for every part, the earliest first; return a reply that ends it all."""
        waiting = list(reversed(tuple(parts)))
        while waiting:
            span = waiting.pop()
            reply = self._ask_patiently(span)
            if reply.held_back:
                waiting.extend(reversed(self._cut(span, reply, today)))
            elif reply.answer.verdict is not Verdict.DONE:
                return reply
        return None

    def _cut(self, span: Span, reply: _Reply, today: date) -> tuple[Span, ...]:
        """Cut a part that was held back once more, unless that is of no use."""
        smaller = halves(span, today)
        if reply.received and not reply.admitted:
            self._lack = (
                "The archive holds matches back, and does not heed the dates that are asked"
            )
        elif not smaller:
            self._lack = "The archive holds back matches of one day, or even of one minute"
        else:
            if smaller[0].timed and not span.timed:
                self._by_day.update(reply.names)
            return smaller
        return ()

    def _ask_patiently(self, span: Span) -> _Reply:
        """Ask for a part; what may pass is tried again, so that one failure costs one part."""
        for tries in range(1, self._means.attempts):
            reply = self._try(span, tries)
            if reply is not None and not self._may_pass(reply):
                return reply
            self._means.pause(tries)
        self._turn(self._archive)
        return self._ask(span.keys(self._keys), timed=span.timed)

    def _try(self, span: Span, tries: int) -> _Reply | None:
        self._turn(self._archive)
        try:
            return self._ask(span.keys(self._keys), timed=span.timed)
        except TransientError as exc:  # an archive that is down is waited for by the next turn
            log.warning("query.part", error=type(exc).__name__, attempt=tries)
        return None

    @staticmethod
    def _may_pass(reply: _Reply) -> bool:
        return not reply.held_back and reply.answer.verdict is Verdict.RETRY

    def _ask(self, keys: tuple[Key, ...], *, timed: bool = False) -> _Reply:
        received = admitted = 0
        names: list[str] = []

        def on_match(match: Match) -> None:
            nonlocal received, admitted
            received += 1
            if self._means.reviewer.admits(keys, match):
                admitted += 1
                names.extend(self._take(match, timed=timed))

        answer = self._archive.find(replace(self._request, keys=keys), on_match)
        self._left_out += received - admitted
        held_back = self._means.limits.held_back(self._level, answer, received)
        return _Reply(answer, received, admitted, held_back, tuple(names))

    def _take(self, match: Match, *, timed: bool) -> tuple[str, ...]:
        """Hand a match on unless it was shown before; name it if the query may have to be cut."""
        own = dict(match.values).get(self._own_key(), "")
        name = (own or repr(match.values)) if self._spans else ""
        # without its unique key, an equal row may be of another entity
        seen: str | bytes = name or (_digest(match) if own else b"")
        if not (seen and seen in self._seen):
            self._count += 1
            self._keep(replace(match, values=match.values[: len(self._request.keys)], items=()))
        if seen:
            self._seen[seen] = timed or self._seen.get(seen, False)
        return (name,) if name else ()

    def _with_unique_key(self) -> tuple[Key, ...]:
        """Ask for the unique key too, which tells the matches of two parts apart."""
        own, keys = self._own_key(), self._request.keys
        if not own or any(key.path == own for key in keys):
            return keys
        return (*keys, Key(own))

    def _own_key(self) -> str:
        return UNIQUE_KEYS.get(self._level, "")

    def _judged(self, answer: Answer) -> Judgement:
        judged = judge.query(answer, self._count)
        if judged.result.outcome is not Outcome.EMPTY or not self._left_out:
            return judged
        reason = f"All {self._left_out} answers were left out: they were not asked for"
        remedy = "See the warnings of the run; request.mismatches: keep shows such answers"
        return replace(judged, result=replace(judged.result, reason=reason, remedy=remedy))

    def _truncated(self, reply: _Reply) -> Judgement:
        """Judge a query that was held back and has no range of dates to cut."""
        if self._lack:
            return self._lacking(reply.answer, self._lack)
        if is_limit(reply.answer) and not reply.received:
            return judge.query(reply.answer, 0)
        if is_limit(reply.answer):
            problem = f"The archive broke off after {reply.received} matches"
        else:
            problem = f"The archive sent {reply.received} matches, which looks like a limit of its"
        judged = self._lacking(reply.answer, problem)
        return replace(judged, again=reply.answer.verdict is Verdict.RETRY)

    def _lacking(self, answer: Answer, problem: str) -> Judgement:
        remedy = NARROW + ("" if is_limit(answer) else LIMIT)
        result = Result(Outcome.TRUNCATED, answer, matches=self._count)
        return Judgement(replace(result, reason=problem, remedy=remedy))


def _digest(match: Match) -> bytes:
    return blake2b(repr(match.values).encode("utf-8", "replace"), digest_size=16).digest()
