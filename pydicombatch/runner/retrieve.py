"""One attempt to retrieve to ourselves, with what makes sure that every instance has come."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from pydicombatch.core.attribution import expectation
from pydicombatch.core.errors import RequestError, TransientError, Unreachable
from pydicombatch.core.log import EventLog
from pydicombatch.core.model import Answer, Request, Tally, Verdict
from pydicombatch.core.ports import Archive, Receiver
from pydicombatch.core.records import Holding, Pending
from pydicombatch.runner import drill, judge
from pydicombatch.runner.accounts import Evidence
from pydicombatch.runner.census import Census, at_least, is_doubtful
from pydicombatch.runner.drill import Listing
from pydicombatch.runner.gate import NoTurnError
from pydicombatch.runner.inventory import Inventory
from pydicombatch.runner.judge import Judgement

if TYPE_CHECKING:
    from pydicombatch.runner.executors import Surroundings

log = EventLog(__name__)
Send = Callable[[Request, int], Answer]  # with a message id of its own
ALL_HERE = Answer(0x0000, Verdict.DONE)  # of the query that listed them: no retrieve was needed
GRAVITY = (Verdict.DONE, Verdict.RETRY, Verdict.GIVE_UP, Verdict.STOP)


class Retrieval:
    """One attempt; what an earlier one has brought is not asked for again.

    Parameters
    ----------
    around, receiver, archive
        What executors share, our storage SCP, and the session of this thread.
    pending
        The row.
    send
        Sends one retrieve and returns its final response.
    """

    def __init__(
        self,
        around: "Surroundings",
        receiver: Receiver,
        archive: Archive,
        pending: Pending,
        send: Send,
    ) -> None:
        self._around = around
        self._receiver = receiver
        self._archive = archive
        self._id = pending.id
        self._send = send
        self._request = around.request(pending)
        self._granted = True  # the gate has let one request through already
        self._ids: list[int] = []
        self._is_spent = False  # the message id has been used
        self._evidence = Evidence()
        about = archive, self._request, around.habits, self._take_turn
        inventory = Inventory(*about, told=pending.instances)
        self._inventory = inventory

    def carry_out(self) -> tuple[int, Judgement]:
        """Ask, wait for what comes, and judge it; return the attempt's number and the verdict."""
        around = self._around
        before = around.ledger.holding(self._id)
        expected = expectation(self._id, around.message_ids.take(), self._request)
        self._ids.append(expected.message_id)
        self._expected = expected
        try:
            now = around.clock.now()
            attempt = around.ledger.start_attempt(around.run, self._id, now, expected)
            self._attempt = attempt
            return attempt, self._guarded(before)
        finally:
            around.accounts.close(self._id, 0)
            self._receiver.settle(self._id)
            for number in self._ids:
                around.message_ids.give_back(number)

    def _guarded(self, before: Holding) -> Judgement:
        """Carry it out; what says that nothing can be sent now is passed on."""
        listed: Listing | None = None
        try:
            listed = self._listed_before(before)
            return self._retrieved(before, listed)
        except Unreachable:
            self._interrupt("The archive could not be reached")
            raise
        except NoTurnError:
            self._interrupt("Nothing more may be sent for now")
            raise
        except (TransientError, RequestError) as exc:
            self._close(0)  # what has arrived is still being stored
            return self._broken(exc, listed)

    def _listed_before(self, before: Holding) -> Listing | None:
        """Return what an earlier attempt should have brought, if it has brought something."""
        if not before.attempts or not before.stored:
            return None
        return self._inventory.instances(len(before.all)) or None

    def _retrieved(self, before: Holding, listed: Listing | None) -> Judgement:
        asked = [self._request]
        if listed is not None:
            missing = _lacking(listed, before.stored)  # what was quarantined may do better now
            if not missing:
                return judge.retrieve(ALL_HERE, Evidence(), before, Census(None, frozenset(listed)))
            if len(missing) < len(listed) and not self._around.habits.moves_no_instances:
                asked = drill.repairs(self._request, missing)
        answer = self._sent(asked)
        holding = self._around.ledger.holding(self._id)
        if answer.verdict is not Verdict.DONE or listed is not None:
            census = Census(None, None if listed is None else frozenset(listed))
            return judge.retrieve(answer, self._evidence, holding, census)
        return self._settled(answer, holding)

    def _settled(self, answer: Answer, holding: Holding) -> Judgement:
        """Hold a success against what the archive says elsewhere; fetch at once what it forgot."""
        related, listed = self._census(answer.tally, holding)
        missing = _lacking(listed or {}, holding.all)
        if missing:  # unless it is still on its way
            self._around.accounts.open(self._id)
            self._close(None)
            holding = self._around.ledger.holding(self._id)
            missing = _lacking(listed or {}, holding.all)
        census = Census(related, None if listed is None else frozenset(listed))
        if missing and holding.all and not self._around.habits.moves_no_instances:
            again = self._sent(drill.repairs(self._request, missing))
            answer = again if again.verdict is Verdict.STOP else answer
            holding = self._around.ledger.holding(self._id)
        return judge.retrieve(answer, self._evidence, holding, census)

    def _census(self, tally: Tally, holding: Holding) -> tuple[int | None, Listing | None]:
        held, related = len(holding.all), None
        if not self._around.verify_instances:
            with suppress(NoTurnError):  # a stop lets what has come in full be complete
                # without counters of its own the count of the selection is all there would be
                alone = tally.sent is None
                related = self._inventory.related(again=alone) if not tally.failed else None
            if not is_doubtful(tally, self._evidence, held, related):
                return related, None
        listed = self._inventory.instances(at_least(tally, held, related))
        if not listed and held:
            return related, None  # it lists nothing of what it has sent: that tells nothing
        return related, listed

    def _sent(self, asked: list[Request]) -> Answer:
        """Send requests one after the other, and wait for all that comes of them."""
        answers: list[Answer] = []
        self._around.accounts.open(self._id)
        for request in asked:
            self._take_turn(self._archive)
            answers.append(self._send_one(request))
            if answers[-1].verdict in {Verdict.GIVE_UP, Verdict.STOP}:
                break
        answer = _together(answers)
        # after a refusal of everything nothing more will come, so nobody waits for it
        self._close(0 if answer.verdict is Verdict.STOP else answer.tally.sent)
        if asked != [self._request] and answer.verdict is Verdict.GIVE_UP:
            self._around.habits.moves_no_instances = True
            return replace(answer, verdict=Verdict.RETRY)  # the request itself is sound
        return answer

    def _send_one(self, request: Request) -> Answer:
        """Send one retrieve once its instances are expected, each under an id of its own."""
        if self._is_spent:
            number = self._around.message_ids.take()
            self._ids.append(number)
            self._around.ledger.resent(self._attempt, number)
            self._expected = replace(self._expected, message_id=number)
        self._receiver.expect(self._expected)
        self._is_spent = True
        return self._send(request, self._expected.message_id)

    def _broken(self, error: TransientError | RequestError, listed: Listing | None) -> Judgement:
        """Judge an attempt without a final response; all may have come all the same."""
        holding = self._around.ledger.holding(self._id)
        if isinstance(error, TransientError) and self._evidence.stored:
            if listed is None:
                with suppress(NoTurnError, TransientError):
                    listed = self._inventory.instances(len(holding.all))
            if listed and not _lacking(listed, holding.all):
                log.info("request.unanswered", request=self._id, stored=len(holding.stored))
                census = Census(None, frozenset(listed))
                return judge.retrieve(ALL_HERE, self._evidence, holding, census)
        again = isinstance(error, TransientError)
        missing = tuple(_lacking(listed or {}, holding.all))
        return judge.failure(error, len(holding.stored), again=again, missing=missing)

    def _take_turn(self, archive: Archive) -> None:
        if not self._granted:
            self._around.turn(archive)
        self._granted = False

    def _close(self, wanted: int | None) -> None:
        """Wait for what is still on its way, and add it to what this attempt has brought."""
        self._receiver.hasten()
        more, so_far = self._around.accounts.close(self._id, wanted), self._evidence
        self._evidence = Evidence(
            so_far.arrived + more.arrived,
            so_far.stored + more.stored,
            so_far.quarantined + more.quarantined,
            so_far.cut_short or more.cut_short,
            so_far.times + more.times,
        )

    def _interrupt(self, reason: str) -> None:
        self._close(0)
        self._around.ledger.interrupt(self._attempt, self._around.clock.now(), reason)


def _lacking(listed: Listing, held: frozenset[str]) -> dict[str, drill.Place]:
    """Return the listed instances that are not held."""
    return {uid: place for uid, place in listed.items() if uid not in held}


def _together(answers: list[Answer]) -> Answer:
    """Make one answer of several: the gravest verdict, the sums of the counts."""
    gravest = max(answers, key=lambda one: GRAVITY.index(one.verdict))
    if len(answers) == 1:
        return gravest
    tallies = [one.tally for one in answers]
    failed = tuple(uid for one in answers for uid in one.failed_uids)
    return replace(gravest, tally=sum_of(tallies), failed_uids=failed)


def sum_of(tallies: list[Tally]) -> Tally:
    """Add counts up; one that any response left out is left out."""

    def add(name: str) -> int | None:
        counts = [getattr(one, name) for one in tallies]
        return None if None in counts else sum(counts)

    return Tally(*(add(name) for name in ("remaining", "completed", "failed", "warning")))
