"""What a plan will take: bytes, time, disk. Pure; what is assumed stands here."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from pydicombatch.core.records import Selected
from pydicombatch.runner.schedule import Schedule

KILOBYTE, MEGABYTE = 1_000, 1_000_000
# Typical bytes of one instance; those that are stored here already count instead.
TYPICAL = {
    "CT": 530 * KILOBYTE,
    "MR": 300 * KILOBYTE,
    "PT": 70 * KILOBYTE,
    "NM": 500 * KILOBYTE,
    "CR": 8 * MEGABYTE,
    "DX": 15 * MEGABYTE,
    "MG": 30 * MEGABYTE,
    "US": 2 * MEGABYTE,
    "XA": 20 * MEGABYTE,
    "RF": 10 * MEGABYTE,
    "SM": 50 * MEGABYTE,
    "SR": 20 * KILOBYTE,
    "PR": 10 * KILOBYTE,
    "SEG": 5 * MEGABYTE,
}
OTHER = 1 * MEGABYTE
PER_RETRIEVE = 0.5  # seconds of an archive until it sends
PER_SECOND = 10 * MEGABYTE  # bytes that an archive sends on one association
ENOUGH = 20  # instances of a modality that are stored here, to go by their size


@dataclass(frozen=True, slots=True)
class Pace:
    """What holds requests back; None is no limit."""

    threads: int
    throttle_time: float  # seconds that a thread rests between two requests
    requests_per_minute: float | None = None
    megabytes_per_second: float | None = None


@dataclass(frozen=True, slots=True)
class Volume:
    """How much a plan retrieves; None: nobody knows."""

    retrieves: int
    studies: int
    series: int | None
    instances: int
    bytes: int
    unknown: int = 0  # retrieves whose number of instances nobody knows; not in the sums


def sizes(stored: Iterable[tuple[str, int, int]]) -> dict[str, float]:
    """Return bytes per instance by modality, from what is stored where that is enough."""
    own = {modality: size / count for modality, count, size in stored if count >= ENOUGH}
    return {**TYPICAL, **own}


def size_of(one: Selected, per_instance: Mapping[str, float]) -> int | None:
    """Return the bytes that a retrieve will bring; None when its instances are not known."""
    if one.instances is None:
        return None
    modalities = [part for part in one.modality.split("\\") if part] or [""]
    each = [per_instance.get(modality, OTHER) for modality in modalities]
    return round(one.instances * sum(each) / len(each))


def volume(selected: Iterable[Selected], per_instance: Mapping[str, float]) -> Volume:
    """Add up what a plan retrieves; a retrieve that two rows share counts once."""
    seen: set[object] = set()
    studies: set[str] = set()
    named_studies = 0
    named_series: set[str] = set()
    told_series, all_told = 0, True
    instances = total = unknown = 0
    for one in selected:
        if one.keys in seen:
            continue
        seen.add(one.keys)
        found = {**dict(one.shown), **{key.path: key.value for key in one.keys}}
        if study := found.get("StudyInstanceUID"):
            studies.add(study)
        else:
            named_studies += _number(found.get("NumberOfPatientRelatedStudies")) or 0
        if series := found.get("SeriesInstanceUID"):
            named_series.add(series)
        else:
            told = _number(
                found.get("NumberOfStudyRelatedSeries") or found.get("NumberOfPatientRelatedSeries")
            )
            told_series, all_told = told_series + (told or 0), all_told and told is not None
        instances += one.instances or 0
        total += size_of(one, per_instance) or 0
        unknown += one.instances is None
    all_series = len(named_series) + told_series if all_told else None
    return Volume(len(seen), len(studies) + named_studies, all_series, instances, total, unknown)


def duration(what: Volume, pace: Pace) -> float:
    """Return the seconds that the retrieves will take while requests may leave.

    The slowest of: the archive on so many associations, `requests_per_minute`,
    `megabytes_per_second`.
    """
    threads = max(1, min(pace.threads, what.retrieves))
    alone = what.retrieves * (PER_RETRIEVE + pace.throttle_time) + what.bytes / PER_SECOND
    slowest = [alone / threads]
    if pace.requests_per_minute:
        slowest.append(what.retrieves * 60 / pace.requests_per_minute)
    if pace.megabytes_per_second:
        slowest.append(what.bytes / MEGABYTE / pace.megabytes_per_second)
    return max(slowest)


def finish(schedule: Schedule, now: datetime, seconds: float) -> datetime | None:
    """Return when that would be done, closed windows left out; None: not within ten years."""
    return schedule.finish(now, seconds)


def _number(text: str | None) -> int | None:
    return int(text) if text and text.isdecimal() else None
