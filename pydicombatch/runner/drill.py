"""The queries that tell what a retrieve should bring, and the requests for what is missing. Pure.

Levels, unique keys and counts are those of PS3.4 C.6.1.1 and C.6.2.1 and PS3.4 C.3.4.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from pydicombatch.core.model import Key, Request, RequestType
from pydicombatch.select.levels import INSTANCES, UNIQUE_KEYS

LEVEL = "QueryRetrieveLevel"
IMAGE = "IMAGE"
BELOW = {"PATIENT": "STUDY", "STUDY": "SERIES", "SERIES": IMAGE}
TOGETHER = 100  # SOP Instance UIDs in one request: some 6 kB, archives have limits of their own
# A listing of exactly so many may have been cut off by the archive's own limit.
CAPS = frozenset({100, 200, 250, 500, 1000, 2000, 2500, 5000, 10_000})


@dataclass(frozen=True, slots=True)
class Place:
    """Where an instance lies, as far as the archive has told; "" where it has not."""

    patient: str = ""
    study: str = ""
    series: str = ""


Listing = Mapping[str, Place]  # SOP Instance UID -> where it lies
Row = Mapping[str, str]  # one match: keyword -> text


def level_of(request: Request) -> str:
    """Return the query/retrieve level of a request, "" when it has none that we know."""
    level = request.value(LEVEL).upper()
    return level if level in UNIQUE_KEYS else ""


def values(text: str) -> tuple[str, ...]:
    """Split a value at its backslashes; padding is not part of a UID (PS3.5 9.1)."""
    return tuple(value for one in text.split("\\") if (value := one.strip(" \0")))


def counting(request: Request) -> Request | None:
    """Ask for the number of instances of what a request names; None where there is no count."""
    level = level_of(request)
    if level not in INSTANCES:
        return None
    wanted = (UNIQUE_KEYS[level], INSTANCES[level])
    return _query(request, _named(request), wanted)


def counted(request: Request, rows: Iterable[Row]) -> int | None:
    """Add up the counts of distinct entities; None when one of them is not told."""
    level = level_of(request)
    counts: dict[str, int] = {}
    for number, row in enumerate(rows):
        text = row.get(INSTANCES[level], "").strip()
        if not (text.isascii() and text.isdigit()):
            return None
        counts[row.get(UNIQUE_KEYS[level], "").strip(" \0") or str(number)] = int(text)
    return sum(counts.values())


def relational(request: Request) -> Request:
    """Ask at once for all instances of what a request names, whatever its level."""
    keys = tuple(key for key in _named(request) if key.path != LEVEL)
    return _query(request, (Key(LEVEL, IMAGE), *keys), tuple(UNIQUE_KEYS.values()))


def entities(request: Request) -> Request:
    """Ask for the unique keys of what a request names, at its own level."""
    levels = list(UNIQUE_KEYS)
    shown = levels[: levels.index(level_of(request)) + 1]
    return _query(request, _named(request), tuple(UNIQUE_KEYS[level] for level in shown))


def children(request: Request, level: str, place: Place) -> Request:
    """Ask for what lies below one entity, hierarchically (PS3.4 C.4.1.2.2.1)."""
    keys = (Key(LEVEL, level), *_unique(request.model, place))
    return _query(request, keys, (UNIQUE_KEYS[level],))


def place_of(row: Row, inside: Place = Place()) -> Place:
    """Return where a match lies; what it does not say is known from the query."""
    return Place(
        row.get("PatientID", "").strip() or inside.patient,
        row.get("StudyInstanceUID", "").strip(" \0") or inside.study,
        row.get("SeriesInstanceUID", "").strip(" \0") or inside.series,
    )


def asked_for(request: Request) -> Place:
    """Return the place that a request names, where it names a single one."""
    singles = [values(request.value(keyword)) for keyword in list(UNIQUE_KEYS.values())[:3]]
    return Place(*(found[0] if _is_single(found) else "" for found in singles))


def belongs(request: Request, row: Row) -> bool:
    """Whether a match answers the question: no UID of it is another one than was asked for."""
    for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"):
        asked, found = values(request.value(keyword)), row.get(keyword, "").strip(" \0")
        if found and asked and not _is_pattern(asked) and found not in asked:
            return False
    return True


def listing(request: Request, rows: Iterable[Row], inside: Place) -> dict[str, Place]:
    """Take the instances out of the matches of an IMAGE level query."""
    return {
        uid: place_of(row, inside)
        for row in rows
        if belongs(request, row) and (uid := row.get(UNIQUE_KEYS[IMAGE], "").strip(" \0"))
    }


def is_enough(found: Listing | None, at_least: int) -> bool:
    """Whether a listing can be all there is: it is there, and explains what is known to be."""
    return bool(found) and len(found or ()) >= at_least


def may_be_cut(found: Listing, at_least: int) -> bool:
    """Whether a listing ends at a limit of the archive, while other counts say that more is."""
    return len(found) in CAPS and len(found) < at_least


def repairs(request: Request, missing: Listing) -> list[Request]:
    """Ask for instances by their UIDs, and only for these; a series at a time."""
    by_series: dict[Place, list[str]] = {}
    for uid, place in sorted(missing.items()):
        by_series.setdefault(place, []).append(uid)
    return [
        _repair(request, place, uids[first : first + TOGETHER])
        for place, uids in by_series.items()
        for first in range(0, len(uids), TOGETHER)
    ]


def _repair(request: Request, place: Place, uids: list[str]) -> Request:
    named = (Key(UNIQUE_KEYS[IMAGE], "\\".join(uids)),)
    keys = (Key(LEVEL, IMAGE), *_unique(request.model, place), *named)
    return replace(request, keys=keys)


def _unique(model: str, place: Place) -> tuple[Key, ...]:
    """Return the unique keys of a place; Study Root knows no patient below its own level."""
    named = (
        ("PatientID", place.patient if model != "study" else ""),
        ("StudyInstanceUID", place.study),
        ("SeriesInstanceUID", place.series),
    )
    return tuple(Key(path, value) for path, value in named if value)


def _named(request: Request) -> tuple[Key, ...]:
    return tuple(key for key in request.keys if key.value.strip())


def _query(request: Request, keys: tuple[Key, ...], wanted: Iterable[str]) -> Request:
    there = {key.path for key in keys}
    added = tuple(Key(path) for path in wanted if path not in there)
    return replace(request, type=RequestType.FIND, keys=(*keys, *added))


def _is_single(found: tuple[str, ...]) -> bool:
    return len(found) == 1 and not _is_pattern(found)


def _is_pattern(found: tuple[str, ...]) -> bool:
    return any({"*", "?"} & set(value) for value in found)
