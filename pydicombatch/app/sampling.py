"""A look at what anonymization would do: a few instances, retrieved, anonymized, thrown away."""

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from pydicombatch.app.anonymization import key_of_run, recipe
from pydicombatch.app.parts import connect, listens, receiver_settings
from pydicombatch.app.state import held
from pydicombatch.config.models import Config
from pydicombatch.core.attribution import expectation
from pydicombatch.core.clock import Clock
from pydicombatch.core.errors import TransientError
from pydicombatch.core.model import Arrival, Request, Tally
from pydicombatch.core.ports import Archive
from pydicombatch.plan.requests import Plan
from pydicombatch.process.comparing import Change, Row, changes, table
from pydicombatch.process.messages import Job, Refused
from pydicombatch.process.workers import Workers
from pydicombatch.receive.process.parent import ProcessReceiver
from pydicombatch.receive.spool import Spool
from pydicombatch.store import tree
from pydicombatch.store.removal import remove, within

FOLDER = "sample"
REQUESTS = 20  # that are sent at most, when they bring nothing
RUN = 0  # no run has this number
LOOK = 0.1  # seconds


@dataclass(frozen=True, slots=True)
class Sample:
    """What would happen to the instances that were looked at; no value of theirs."""

    instances: int
    quarantined: tuple[tuple[str, int], ...]  # reason, how often
    rows: tuple[Row, ...]


class _Few:
    """The first arrivals; then no more are wanted."""

    def __init__(self, wanted: int) -> None:
        self._wanted = wanted
        self._lock = threading.Lock()
        self.arrivals: list[Arrival] = []

    def announce(self, arrival: Arrival) -> None:
        with self._lock:
            if len(self.arrivals) < self._wanted:
                self.arrivals.append(arrival)

    @property
    def is_enough(self) -> bool:
        return len(self.arrivals) >= self._wanted


def sample(config: Config, plan: Plan, clock: Clock, wanted: int) -> Sample:
    """Retrieve instances of the first requests into the state directory, and compare.

    Parameters
    ----------
    wanted
        How many instances to look at.

    Raises
    ------
    HeldError
        If a run holds this extraction.
    PydicombatchError
        If the archive, the port or the state directory cannot be used.
    """
    state = config.state_directory
    tree.create(state, "state.directory")
    with held(state), _folder(state / FOLDER) as folder:
        spool = Spool(folder)
        spool.prepare()
        few = _Few(wanted)
        _retrieve(config, plan, clock, spool, few)
        return _compare(config, spool, few.arrivals)


@contextmanager
def _folder(folder: Path) -> Iterator[Path]:
    """Make a directory whose content is gone afterwards, and was before."""
    tree.create(folder, "state.directory")
    remove(within(folder))
    try:
        yield folder
    finally:
        remove(within(folder))
        folder.rmdir()


def _retrieve(config: Config, plan: Plan, clock: Clock, spool: Spool, few: _Few) -> None:
    settings = receiver_settings(config, spool.directory, RUN)
    receiver = ProcessReceiver(settings, lambda _: ())
    archive = connect(config)
    receiver.start(_until(few, archive, cancels=not listens(config)))
    try:
        for number, request in enumerate(islice(plan, REQUESTS), 1):
            if few.is_enough:
                return
            _ask(config, archive, receiver, request, number, few)
            _wait(clock, config.pacs.timeouts.quiet, few)
    finally:
        archive.close()
        receiver.close()


def _until(few: _Few, archive: Archive, *, cancels: bool) -> Callable[[Arrival], None]:
    """Take arrivals until there are enough; a C-GET has no other moment to be cancelled in."""

    def announce(arrival: Arrival) -> None:
        few.announce(arrival)
        if few.is_enough and cancels:
            archive.cancel()

    return announce


def _ask(
    config: Config,
    archive: Archive,
    receiver: ProcessReceiver,
    request: Request,
    number: int,
    few: _Few,
) -> None:
    def on_progress(_: Tally) -> None:
        if few.is_enough:
            archive.cancel()

    receiver.expect(expectation(number, number, request))
    if not listens(config):
        try:
            archive.get(request, number, receiver, lambda: None)
        except TransientError:
            if not few.is_enough:  # else we have cancelled it
                raise
    else:
        archive.move(request, number, config.local.aet, on_progress)


def _wait(clock: Clock, seconds: float, few: _Few) -> None:
    """Give late instances the time that a run gives them, while none has come."""
    end = clock.monotonic() + seconds
    never = threading.Event()
    while not few.arrivals and clock.monotonic() < end:
        clock.wait(never, LOOK)


def _compare(config: Config, spool: Spool, arrivals: list[Arrival]) -> Sample:
    found: list[dict[str, Change]] = []
    reasons: Counter[str] = Counter()
    with ExitStack() as stack:
        how = recipe(config, key_of_run(config), mapping=False)
        workers = stack.enter_context(Workers(how, 1))
        for arrival in arrivals:
            source = spool.path(arrival.file)
            target = source.with_suffix(".anonymized")
            made = workers.carry_out(Job(source, target))
            if isinstance(made, Refused):
                reasons[made.reason] += 1
            else:
                found.append(changes(source, target))
    return Sample(len(arrivals), tuple(reasons.most_common()), tuple(table(found)))
