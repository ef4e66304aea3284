"""Makes the objects of one run from a configuration and lets them work."""

import threading
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from random import random

from pydicombatch.backends.dimse.archive import DimseArchive
from pydicombatch.backends.dimse.peer import Peer, Timeouts, Tls
from pydicombatch.config.models import Config, PacsTls
from pydicombatch.core.clock import Clock
from pydicombatch.core.log import EventLog
from pydicombatch.core.model import Identifiers, RequestType
from pydicombatch.core.ports import Archive, Processor, Receiver
from pydicombatch.core.records import Pending
from pydicombatch.ledger.ledger import Ledger
from pydicombatch.plan.requests import Plan
from pydicombatch.process.local import LocalProcessor
from pydicombatch.receive.scp import StorageScp
from pydicombatch.receive.spool import Spool
from pydicombatch.report.results import ResultsFile
from pydicombatch.report.rows import header, of_query, of_request
from pydicombatch.runner.accounts import Accounts
from pydicombatch.runner.breaker import Breaker
from pydicombatch.runner.engine import Engine, Settings
from pydicombatch.runner.events import Listening, Started
from pydicombatch.runner.executors import Surroundings
from pydicombatch.runner.gate import Gate
from pydicombatch.runner.intake import Intake
from pydicombatch.runner.message_ids import MessageIds
from pydicombatch.runner.pace import Pace
from pydicombatch.runner.projector import Projector
from pydicombatch.runner.schedule import Schedule, Window
from pydicombatch.runner.summary import Summary
from pydicombatch.runner.tally import RunTally
from pydicombatch.runner.throttle import ByteRate, RequestRate
from pydicombatch.runner.work import Work
from pydicombatch.store.commit import Store
from pydicombatch.store.layout import Layout
from pydicombatch.store.quarantine import Quarantine

log = EventLog(__name__)
WORKERS = 2  # threads that store
MEGABYTE = 1_000_000


def stores_here(config: Config) -> bool:
    """Whether instances come to our own storage SCP."""
    request = config.request
    ours = request.destination is None or request.destination == config.local.aet
    return request.type is RequestType.MOVE and ours


def never() -> float:
    """Say that no instance was pushed to us yet."""
    return float("-inf")


def schedule(config: Config) -> Schedule:
    """Make the windows; none when the schedule is not enabled."""
    section = config.schedule
    windows = tuple(Window(*span) for span in section.spans) if section.enabled else ()
    return Schedule(windows, section.timezone, frozenset(section.excepted))


def connect(config: Config, last_arrival: Callable[[], float] = never) -> Archive:
    """Make a session with the archive; it opens its association when it is first used.

    `last_arrival` tells when an instance was pushed to us last, in monotonic seconds: an archive
    that sends instances is not silent.
    """
    pacs, waits = config.pacs, config.pacs.timeouts
    peer = Peer(
        pacs.hostname,
        pacs.port,
        pacs.aet,
        config.local.calling_title,
        pacs.charset or "ISO_IR 192",
        Timeouts(waits.connect, waits.association, waits.response),
        _tls(pacs.tls),
    )
    return DimseArchive(peer, config.request.model, config.request.type, last_arrival)


def _tls(section: PacsTls | None) -> Tls | None:
    if section is None:
        return None
    ca, cert, key = (
        "" if path is None else str(path) for path in (section.ca, section.cert, section.key)
    )
    return Tls(ca, cert, key, section.verify)


def results(config: Config, plan: Plan, ledger: Ledger) -> ResultsFile:
    """Make the CSV of results with the columns of the plan."""
    kind = config.request.type
    names = header(kind, plan.columns, plan.carried)
    if kind is RequestType.FIND:
        return ResultsFile(
            config.results,
            names,
            lambda entry: of_query(names, entry, ledger.matches(entry)),
            ledger,
        )
    return ResultsFile(config.results, names, lambda entry: [of_request(names, entry)], ledger)


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
        self._spool = Spool(task.config.state_directory / "spool")
        self._receiver = self._make_receiver() if stores_here(task.config) else None
        self.engine = self._make_engine()

    def carry_out(self) -> Summary:
        """Finish what an earlier run left in the spool, then send requests until it ends."""
        task = self._task
        begun = task.clock.monotonic()
        with ExitStack() as stack:
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
            self._receiver.refused() if self._receiver else 0,
            task.clock.monotonic() - begun,
            task.config.results,
            task.config.state_directory,
            self.engine.error,
        )

    def _receive(self, stack: ExitStack) -> None:
        """Start storing, with what lies in the spool first, then listen."""
        if self._receiver is None:
            return
        self._spool.prepare()
        intake = Intake(
            self._make_processor(),
            self._task.ledger,
            self._accounts,
            self._task.clock,
            WORKERS,
            self._tally,
            self.engine.break_off,
        )
        stack.callback(intake.close)
        for arrival in self._spool.leftovers():
            intake.announce(arrival)
        if self._task.requests:
            self._receiver.start(intake.announce)
            stack.callback(self._receiver.close)
            self._tally(Listening(self._task.config.local.port))

    def _make_receiver(self) -> Receiver:
        local, limits = self._task.config.local, self._task.config.request.limits
        megabytes = limits.megabytes_per_second
        rate = ByteRate(megabytes * MEGABYTE, self._task.clock, self._stop) if megabytes else None
        return StorageScp(
            local.aet,
            local.port,
            local.bind,
            self._spool,
            str(self._task.number),
            self._retained,
            originator=local.calling_title,
            accept_unsolicited=local.accept.unsolicited,
            rate=rate,
        )

    def _retained(self, instance: Identifiers) -> tuple[int, ...]:
        late = timedelta(seconds=self._task.config.local.accept.late)
        return self._task.ledger.retained(instance, self._task.clock.now() - late)

    def _make_processor(self) -> Processor:
        config = self._task.config
        output, state = config.output, config.state_directory
        quarantine = Quarantine(state / "quarantine")
        quarantine.prepare()
        store = Store(
            output.directory, _work_directory(output.directory, state), [config.results.name]
        )
        store.prepare()
        layout = Layout(output.directory_structure, output.filename)
        return LocalProcessor(self._spool, store, layout, quarantine, decompress=output.decompress)

    def _make_engine(self) -> Engine:
        task = self._task
        config, clock = task.config, task.clock
        retry, windows = config.retry, schedule(config)
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
        )

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
            ends_with_window=task.ends_with_window,
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
            Work(fetch, clock, task.limit),
            gate,
            Pace(windows, task.requests, clock.now()),
            settings,
            lambda: connect(config, self._accounts.last_arrival),
            clock,
            self._stop,
            self._tally,
        )


def _work_directory(output: Path, state: Path) -> Path:
    """Choose where files lie that are not whole yet: on the file system of the output."""
    output.mkdir(mode=0o700, parents=True, exist_ok=True)
    if output.stat().st_dev == state.stat().st_dev:
        return state / "work"
    return output / ".pydicombatch-work"
