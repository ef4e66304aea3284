"""A plan: every row is looked up, nothing is retrieved, and it says what a run would take."""

import shutil
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from pydicombatch.app.parts import rules, schedule, stores_here
from pydicombatch.config.digest import digests
from pydicombatch.config.models import Config
from pydicombatch.core.errors import ConfigError, FatalError
from pydicombatch.core.model import RequestType
from pydicombatch.core.records import Counts
from pydicombatch.ledger.ledger import Ledger
from pydicombatch.plan import review
from pydicombatch.report.status import write_csv
from pydicombatch.runner import estimate
from pydicombatch.runner.estimate import Pace, Volume
from pydicombatch.select.levels import LEVELS
from pydicombatch.select.rules import Rules

NAME = "plan.sqlite"
PARTS = ("", "-wal", "-shm")
# What a plan asks of an entity beside its instances, by the level of the retrieves
COUNTED = {
    "PATIENT": ("NumberOfPatientRelatedStudies", "NumberOfPatientRelatedSeries"),
    "STUDY": ("NumberOfStudyRelatedSeries",),
}


@dataclass(frozen=True, slots=True)
class Forecast:
    """What a run would take."""

    counts: Counts  # of the rows: complete is matched
    volume: Volume
    seconds: float  # of requests that may leave
    finish: datetime | None  # if it began now; None: not within ten years
    finish_text: str  # the same in the time zone of the schedule
    free: int  # bytes on the disk of the output
    stores_here: bool

    @property
    def fits(self) -> bool:
        """Whether the disk has room for it."""
        return not self.stores_here or self.volume.bytes <= self.free


def plan_rules(config: Config) -> Rules:
    """Say what a plan looks up; without `select` what the retrieves name.

    Raises
    ------
    ConfigError
        If nothing is retrieved at all.
    """
    if config.request.type in {RequestType.FIND, RequestType.ECHO}:
        raise ConfigError.of(
            f"A {config.request.type} retrieves nothing, so there is nothing to plan",
            "Plan a configuration whose request.type is c-move",
        )
    known = rules(config)
    if known is None:
        levels = [key.value for key in config.request.keys if key.path == "QueryRetrieveLevel"]
        level = levels[0].strip().upper() if levels else "SERIES"
        known = Rules(level if level in LEVELS[config.request.model] else "STUDY")
    return Rules(
        known.level,
        known.where,
        known.at_most,
        known.first,
        known.date_tolerance,
        instances=True,
    )


def shown(of: Rules) -> tuple[str, ...]:
    """Return the elements that a plan shows of a retrieve."""
    return tuple(dict.fromkeys(["PatientID", *of.where.paths, *COUNTED.get(of.level, ())]))


def open_ledger(config: Config) -> Ledger:
    """Open the ledger of plans: the one of a plan that was interrupted, else a new one."""
    path = config.state_directory / NAME
    with suppress(FatalError):
        ledger = Ledger(path)
        if ledger.digests() == digests(config) and ledger.counts().pending:
            return ledger
        ledger.close()
    for part in PARTS:
        path.with_name(NAME + part).unlink(missing_ok=True)
    return Ledger(path)


def forecast(config: Config, ledger: Ledger, now: datetime) -> Forecast:
    """Add up what the rows mean, and what retrieving it would take."""
    limits, windows = config.request.limits, schedule(config)
    pace = Pace(
        config.request.threads,
        config.request.throttle_time,
        limits.requests_per_minute,
        limits.megabytes_per_second,
    )
    what = estimate.volume(ledger.selected(), per_instance(config))
    seconds = estimate.duration(what, pace)
    end = estimate.finish(windows, now, seconds)
    place = config.output.directory.absolute()
    while not place.exists():
        place = place.parent
    return Forecast(
        ledger.counts(),
        what,
        seconds,
        end,
        "not within ten years" if end is None else windows.local(end),
        shutil.disk_usage(place).free,
        stores_here(config),
    )


def per_instance(config: Config) -> dict[str, float]:
    """Return bytes per instance by modality, by what earlier runs have stored."""
    path = config.state_directory / "ledger.sqlite"
    if not path.is_file():
        return estimate.sizes(())
    with closing(Ledger(path)) as ledger:
        return estimate.sizes(ledger.sizes())


def write(path: Path, config: Config, ledger: Ledger) -> int:
    """Write the plan for a review; return the number of its lines.

    Raises
    ------
    FatalError
        If it cannot be written.
    """
    asked = plan_rules(config)
    names = review.header(config.request.model, asked.level, shown(asked))
    per = per_instance(config)
    lines = (review.line_of(names, one, estimate.size_of(one, per)) for one in ledger.selected())
    return write_csv(path, names, lines)
