"""The report of an extraction: what its configuration asked for, and what its ledger knows."""

from collections.abc import Iterator
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path

from pydicombatch import __version__
from pydicombatch.app.extraction import Extraction
from pydicombatch.app.parts import schedule, stores_here
from pydicombatch.config.models import Config
from pydicombatch.core.errors import ConfigError
from pydicombatch.core.model import RequestType
from pydicombatch.runner.schedule import Schedule, Span

HARMLESS = frozenset({"QueryRetrieveLevel"})  # elements whose value says nothing of anybody
WEEK = timedelta(days=7)


def report(extraction: Extraction, output: Path, now: datetime, *, identified: bool) -> None:
    """Write the HTML report.

    Parameters
    ----------
    extraction
        What to report on.
    output
        The file; one that is there is replaced.
    now
        The present.
    identified
        Whether the keys of the requests are shown; they name patients.

    Raises
    ------
    ConfigError
        If nothing was run yet, or matplotlib or Jinja2 is not installed.
    FatalError
        If the file cannot be written.
    """
    try:
        from pydicombatch.report.page.build import Source, build  # noqa: PLC0415 - an extra
        from pydicombatch.report.page.html import render, write  # noqa: PLC0415
    except ImportError as exc:
        raise ConfigError.of(
            "A report needs matplotlib and Jinja2, which are not installed",
            "Install them with `pip install 'pydicombatch[report]'`",
        ) from exc
    config = extraction.config
    columns = tuple(name if path is None else path for name, path in extraction.columns)
    with closing(extraction.ledger()) as ledger:
        source = Source(
            title=f"{config.project or 'Extraction'}: report",
            version=__version__,
            now=now,
            timezone=config.schedule.timezone,
            identified=identified,
            anonymized=extraction.anonymizes,
            retrieves=stores_here(config),
            asked=tuple(asked(config, identified=identified)),
            counts=ledger.counts(),
            lines=list(ledger.lines()),
            timing=ledger.timing(),
            statistics=ledger.statistics(),
            windows=lambda start, end: opened(schedule(config), start, end),
            columns=columns,
        )
    write(output, render(build(source)))


def asked(config: Config, *, identified: bool) -> Iterator[tuple[str, str]]:
    """Say what was asked for; values of elements only to those who may see them."""
    pacs, request = config.pacs, config.request
    yield "Archive", f"{pacs.aet} at {pacs.hostname}:{pacs.port}"
    yield "Asked as", config.local.calling_title
    if request.type is RequestType.MOVE:
        yield "Sent to", request.destination or f"{config.local.aet}, port {config.local.port}"
    yield "Requests", f"{request.type}, {request.model} model"
    keys = [
        f"{key.path}={key.value}"
        if key.value and (identified or key.path in HARMLESS)
        else f"{key.path}=…"
        if key.value
        else key.path
        for key in request.keys
    ]
    if keys:
        yield "Elements of all", ", ".join(keys)
    if request.elements_batch_file is not None:
        yield "Batch file", request.elements_batch_file.name
    yield "Pace", _pace(config)
    yield "Windows", _windows(config)
    yield "Anonymization", "on" if config.anonymization.enabled else "off: images are identified"


def _pace(config: Config) -> str:
    request = config.request
    several = "1 request" if request.threads == 1 else f"{request.threads} requests"
    parts = [f"{several} at a time"]
    if request.throttle_time:
        parts.append(f"{request.throttle_time:g} s between two")
    if request.limits.requests_per_minute:
        parts.append(f"at most {request.limits.requests_per_minute:g} a minute")
    if request.limits.megabytes_per_second:
        parts.append(f"at most {request.limits.megabytes_per_second:g} MB/s")
    return ", ".join(parts)


def _windows(config: Config) -> str:
    section = config.schedule
    if not section.enabled:
        return "none, requests leave at any time"
    if section.windows:
        spans = [f"{one.start_time}-{one.end_time}" for one in section.windows]
        return f"{', '.join(dict.fromkeys(spans))} ({section.timezone})"
    if section.start_time is None or section.end_time is None:
        return f"all day but on exceptions ({section.timezone})"
    return f"{section.start_time}-{section.end_time} ({section.timezone})"


def opened(plan: Schedule, start: datetime, end: datetime) -> Iterator[Span]:
    """Yield when requests may leave between two instants; nothing when they always may."""
    if not plan.windows:
        return
    while start < end:
        stop = min(start + WEEK, end)
        yield from plan.pieces(start, stop)
        start = stop
