"""Makes the objects of one run from a configuration and lets them work."""

import threading
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import timedelta
from random import random

from pydicombatch.app.anonymization import anonymizes
from pydicombatch.app.parts import (
    connect,
    listens,
    receiver_settings,
    results,
    schedule,
    stores_here,
)
from pydicombatch.app.processing import make_processor
from pydicombatch.config.models import Config
from pydicombatch.core.clock import Clock
from pydicombatch.core.log import EventLog
from pydicombatch.core.model import Identifiers
from pydicombatch.core.records import Pending
from pydicombatch.ledger.ledger import Ledger
from pydicombatch.plan.requests import Plan
from pydicombatch.process.characterised import CharacterisingProcessor
from pydicombatch.receive.process.parent import ProcessReceiver
from pydicombatch.receive.process.spawn import dismiss
from pydicombatch.receive.spool import Spool
from pydicombatch.runner.accounts import Accounts
from pydicombatch.runner.answers import Reviewer
from pydicombatch.runner.breaker import Breaker
from pydicombatch.runner.engine import Engine
from pydicombatch.runner.events import Doubted, Listening, Started
from pydicombatch.runner.executors import Selector, Surroundings
from pydicombatch.runner.gate import Gate
from pydicombatch.runner.intake import Intake
from pydicombatch.runner.match_limits import MatchLimits
from pydicombatch.runner.message_ids import MessageIds
from pydicombatch.runner.pace import Pace
from pydicombatch.runner.patience import Patience
from pydicombatch.runner.projector import Projector
from pydicombatch.runner.quarantine_limit import QuarantineLimit
from pydicombatch.runner.querying import LIMIT, NARROW, REPEATED, Means
from pydicombatch.runner.settling import Settings
from pydicombatch.runner.summary import Summary
from pydicombatch.runner.tally import RunTally
from pydicombatch.runner.throttle import RequestRate
from pydicombatch.runner.work import Work

log = EventLog(__name__)


@dataclass(frozen=True)
class Task:
    """What a run is to do."""

    config: Config
    plan: Plan
    ledger: Ledger
    clock: Clock
    number: int  # of the run
    requests: int  # how many to carry out
    limit: int | None
    ends_with_window: bool
    selector: Selector | None = None  # looks rows up before anything is retrieved
    only_plans: bool = False  # nothing is retrieved, and no result written


class Run:
    """The objects of one run.

    Parameters
    ----------
    task
        What to do.
    tally
        Hears every event.
    stop
        Set when nothing more may leave; may be set already.
    """

    def __init__(self, task: Task, tally: RunTally, stop: threading.Event) -> None:
        self._task = task
        self._tally = tally
        self._stop = stop
        self._accounts = Accounts(task.clock, task.config.pacs.timeouts.quiet)
        self._reviewer = Reviewer(
            keep=task.config.request.mismatches == "keep",
            tell=lambda one: tally(Doubted(one.problem, one.remedy)),
        )
        self._spool = Spool(task.config.state_directory / "spool")
        receives = stores_here(task.config) and not task.only_plans
        self._receiver = self._make_receiver() if receives else None
        self.engine = self._make_engine()

    def carry_out(self) -> Summary:
        """Finish what an earlier run left in the spool, then send requests until it ends."""
        task = self._task
        begun = task.clock.monotonic()
        with ExitStack() as stack:
            if not task.only_plans:
                file = results(task.config, task.plan, task.ledger)
                stack.enter_context(Projector(file, self.engine.fail))
            self._receive(stack)
            self._tally(Started(task.requests, task.ledger.counts().lines))
            ending = self.engine.run()
        log.info("run.ended", reason=ending.value, requests=self._tally.requests)
        return Summary(
            ending,
            task.ledger.counts(),
            self._tally.requests,
            self._tally.instances,
            self._tally.bytes,
            self._tally.kept,
            self._receiver.refused() if self._receiver else 0,
            task.clock.monotonic() - begun,
            task.config.results,
            task.config.state_directory,
            self.engine.error,
            self._reviewer.summary(),
        )

    def _receive(self, stack: ExitStack) -> None:
        """Start storing, with what lies in the spool first, then listen."""
        if self._receiver is None or not self._task.requests:
            dismiss()  # nothing will come
        if self._receiver is None:
            return
        self._spool.prepare()
        config = self._task.config
        processor, threads = make_processor(config, self._spool, self._task.ledger, stack)
        share = config.anonymization.quarantine_limit
        intake = Intake(
            CharacterisingProcessor(processor, config.output.directory),
            self._task.ledger,
            self._accounts,
            self._task.clock,
            threads,
            self._tally,
            self.engine.break_off,
            QuarantineLimit(share) if anonymizes(config) else None,
        )
        stack.callback(intake.close)
        for arrival in self._spool.leftovers():
            intake.announce(arrival)
        if self._task.requests:
            self._receiver.start(intake.announce)
            stack.callback(self._receiver.close)
            if listens(self._task.config):
                self._tally(Listening(self._task.config.local.port))

    def _make_receiver(self) -> ProcessReceiver:
        task = self._task
        settings = receiver_settings(task.config, self._spool.directory, task.number)
        return ProcessReceiver(settings, self._retained)

    def _retained(self, instance: Identifiers) -> tuple[int, ...]:
        late = timedelta(seconds=self._task.config.local.accept.late)
        return self._task.ledger.retained(instance, self._task.clock.now() - late)

    def _make_engine(self) -> Engine:
        task = self._task
        config, clock = task.config, task.clock
        retry, windows = config.retry, schedule(config)

        def fetch(after: int, limit: int) -> list[Pending]:
            return task.ledger.next(task.number, after, limit)

        breaker = Breaker(
            clock, retry.wait, retry.longest_wait, retry.outage, retry.attempts, random
        )
        rate = RequestRate(config.request.limits.requests_per_minute)
        gate = Gate(
            windows,
            rate,
            breaker,
            clock,
            self._stop,
            self._tally,
            is_full=self._receiver.is_full if self._receiver else lambda: False,
            patience=retry.outage,
            ends_with_window=task.ends_with_window,
        )
        patience = Patience(clock, self._stop, retry.wait, retry.longest_wait)
        limits = MatchLimits(
            config.pacs.max_matches,
            task.ledger.known_limits(),
            lambda found: _take_back(task.ledger, found),
        )
        around = Surroundings(
            task.number,
            config.request.type,
            config.request.model,
            task.ledger,
            clock,
            self._accounts,
            MessageIds(task.ledger.last_message_id()),
            self._receiver,
            config.request.destination or config.local.aet,
            self._receiver,
            means=Means(self._reviewer, limits, patience.pause, retry.attempts),
            verify_instances=config.verify == "instances",
            complete=config.request.complete,
            selector=task.selector,
        )
        settings = Settings(
            threads=min(config.request.threads, max(1, task.requests)),
            throttle_time=config.request.throttle_time,
            attempts=retry.attempts,
            wait=retry.wait,
            longest_wait=retry.longest_wait,
            grace=config.pacs.timeouts.grace,
            cancel_at_end=config.schedule.at_end == "cancel",
        )
        return Engine(
            around,
            Work(fetch, clock, task.limit, retry.longest_wait),
            gate,
            Pace(windows, task.requests, clock.now()),
            settings,
            lambda: connect(config, self._accounts.last_arrival, only_asks=task.only_plans),
            clock,
            self._stop,
            self._tally,
        )


def _take_back(ledger: Ledger, found: dict[str, int]) -> None:
    """Take back what was believed before a limit of the archive showed."""
    changed = ledger.found_limits(found, REPEATED, NARROW + LIMIT)
    log.warning("archive.limit", requests=changed, matches=max(found.values()))
