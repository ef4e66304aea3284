"""How an extraction stands, in words and as JSON; lines of the batch file stand for patients."""

import csv
import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from pydicombatch.core.errors import FatalError
from pydicombatch.core.log import printable
from pydicombatch.core.model import Outcome
from pydicombatch.core.records import Counts, Entry
from pydicombatch.report.explanations import PENDING, explain

EVIDENCE = ("counters", "related", "instances")  # what verdicts rest on
SHOWN = 50  # unfinished lines listed on a terminal


@dataclass(frozen=True, slots=True)
class Unfinished:
    """A line of the batch file that is not done, and why."""

    line: int
    outcome: str
    expected: int | None
    stored: int
    attempts: int
    meaning: str  # in a researcher's words
    reason: str  # in those of the archive or the network
    remedy: str
    evidence: str  # what the verdict rests on: counters, related, instances; "": nothing
    missing: int  # instances that the archive lists and has not sent


def unfinished(lines: Iterable[tuple[int, Entry]]) -> Iterator[Unfinished]:
    """Pick the lines that were tried and are neither complete nor empty."""
    for line, entry in lines:
        if entry.outcome is not None and not entry.outcome.is_final:
            explained = explain(entry)
            yield Unfinished(
                line,
                entry.outcome.value,
                entry.expected,
                entry.stored,
                entry.attempts,
                explained.meaning,
                entry.reason,
                explained.remedy,
                entry.evidence,
                entry.missing,
            )


def as_json(
    counts: Counts, failed: Iterable[Unfinished], evidence: Mapping[str, int]
) -> dict[str, Any]:
    """Make the object that `status --json` prints; `evidence` counts the lines by it."""
    outcomes = {name: counts.of(name) for name in ("pending", *(str(o) for o in Outcome))}
    return {
        "lines": counts.lines,
        "outcomes": outcomes,
        "evidence": {name: evidence.get(name, 0) for name in EVIDENCE},
        "matches": counts.matches,
        "instances": counts.instances,
        "bytes": counts.bytes,
        "quarantined": counts.quarantined,
        "collisions": counts.collisions,
        "unfinished": [
            {name: getattr(one, name) for name in Unfinished.__slots__} for one in failed
        ],
    }


def as_text(counts: Counts, failed: Iterable[Unfinished]) -> Iterator[str]:
    """Make the lines that `status` prints."""
    yield f"{counts.lines} requests"
    for name, count in sorted(counts.outcomes, key=lambda pair: -pair[1]):
        yield f"  {count:>8}  {name}"
    if counts.pending:
        yield f"Pending: {PENDING.meaning[0].lower()}{PENDING.meaning[1:]}. {PENDING.remedy}."
    if counts.matches:
        yield f"{counts.matches} matches"
    if counts.instances:
        yield f"{counts.instances} instances stored, {counts.bytes / 1e6:.1f} MB"
    if counts.quarantined:
        yield f"{counts.quarantined} instances quarantined"
    if counts.collisions:
        yield f"{counts.collisions} instances got a name of their own (their plain one was taken)"
    yield from _list(failed)


def _list(failed: Iterable[Unfinished]) -> Iterator[str]:
    more = 0
    for number, one in enumerate(failed):
        if number >= SHOWN:
            more += 1
            continue
        stored = "" if one.expected is None else f" ({one.stored} of {one.expected} stored)"
        tries = "1 attempt" if one.attempts == 1 else f"{one.attempts} attempts"
        yield f"line {one.line}: {one.outcome}{stored} after {tries}"
        yield f"    {one.meaning}."
        if one.reason and one.reason != one.meaning:
            yield f"    Reason: {printable(one.reason)}."
        yield f"    What to do: {printable(one.remedy)}."
    if more:
        yield f"… and {more} more; `--json` and `--failed-csv FILE` list all"


def write_csv(path: Path, header: Iterable[str], rows: Iterable[Iterable[str]]) -> int:
    """Write a CSV that only its owner can read; return the number of rows.

    Raises
    ------
    FatalError
        If it cannot be written.
    """
    count = 0
    try:
        with _private(path) as file:
            writer = csv.writer(file)
            writer.writerow(header)
            for row in rows:
                writer.writerow(row)
                count += 1
    except OSError as exc:
        raise FatalError(
            f"The CSV cannot be written ({type(exc).__name__})",
            "Check the name, its directory and the free space",
        ) from exc
    return count


def _private(path: Path) -> TextIO:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    if stat.S_ISREG(os.fstat(descriptor).st_mode):  # an older file; never a terminal or a pipe
        with suppress(OSError):  # FAT and some network file systems know no modes
            os.fchmod(descriptor, 0o600)
    return os.fdopen(descriptor, "w", encoding="utf-8", errors="backslashreplace", newline="")
