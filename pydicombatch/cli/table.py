"""The closing summary of a run. Pure: a summary in, lines out."""

from collections.abc import Iterator

from pydicombatch.core.model import RequestType
from pydicombatch.runner.summary import Ending, Summary

WIDTH = 34


def anonymization(*, on: bool) -> str:
    """Say whether what is stored is anonymized."""
    return f"Anonymization {'ENABLED' if on else 'DISABLED'}"


def closing(summary: Summary, kind: RequestType) -> Iterator[str]:
    """Make the table that a run ends with."""
    counts = summary.counts
    yield ""
    yield _row("Requests finished in this run", str(summary.requests))
    for name, count in sorted(counts.outcomes, key=lambda pair: (-pair[1], pair[0])):
        yield _row(f"  {name}, over all runs", str(count))
    if kind is RequestType.FIND:
        yield _row("Matches, over all runs", str(counts.matches))
    if kind.retrieves:
        yield from _instances(summary)
    yield _row("Time", _duration(summary.seconds))
    yield _row("Results", str(summary.results))
    if summary.ending is not Ending.DONE:
        yield _row("Ended because", summary.ending.value)
    if counts.unfinished:
        yield "Some requests are not complete; `pydicombatch status CONFIG` says why."
    if counts.pending and summary.ending is not Ending.DONE:
        yield "Run it again to go on where it was."


def _instances(summary: Summary) -> Iterator[str]:
    counts = summary.counts
    megabytes = summary.bytes / 1e6
    rate = f", {megabytes / summary.seconds:.1f} MB/s" if summary.seconds else ""
    yield _row("Instances stored in this run", f"{summary.instances} ({megabytes:.1f} MB{rate})")
    yield _row("Instances stored, over all runs", f"{counts.instances}")
    if counts.quarantined:
        yield _row("Instances quarantined", str(counts.quarantined))
    if counts.collisions:
        yield _row("Names that were taken already", str(counts.collisions))
    if summary.kept:
        yield _row("Kept compressed", f"{summary.kept}, which cannot be decoded here")
    if summary.refused:
        yield _row("Instances nobody asked for", f"{summary.refused}, refused")


def _row(name: str, value: str) -> str:
    return f"{name:<{WIDTH}}{value}"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}"
