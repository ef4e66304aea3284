"""`check --loop`: one small series comes back to us, or the link that is broken is named."""

import os
import socket
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

from pydicombatch.app.parts import connect, receiver_settings
from pydicombatch.backends.dimse.archive import DimseArchive
from pydicombatch.config.models import Config
from pydicombatch.core.elements import read
from pydicombatch.core.errors import PydicombatchError, TransientError
from pydicombatch.core.found import Found
from pydicombatch.core.model import Answer, Key, Request, RequestType
from pydicombatch.receive.nowhere import Nowhere
from pydicombatch.receive.probe import Caller, Probe
from pydicombatch.runner.loop import SUBJECT, Way, diagnose
from pydicombatch.runner.preflight import Check

DAYS = (1, 7, 30, 365, 3650)  # back from today, until there is a study; then any
STUDIES, SERIES, IMAGES = 20, 50, 1000  # matches of a query that are looked at
LOOKED_INTO = 5  # studies
PATIENCE = 60.0  # seconds of silence, whatever the configuration says
STUDY, ONE, INSTANCE = "StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"
COUNT = "NumberOfSeriesRelatedInstances"
UNKNOWN = 1 << 30  # instances of a series whose number the archive does not tell
Row = dict[str, str]


def loop(config: Config, today: date) -> Iterator[Check]:
    """Retrieve one small series back to us; nothing of it is kept."""
    ours = config.local.aet
    if config.request.destination not in {None, ours}:
        yield Check(SUBJECT, f"not tested: instances go to {config.request.destination}")
        return
    waits = config.pacs.timeouts.model_copy(
        update={"response": min(PATIENCE, config.pacs.timeouts.response)}
    )
    pacs = config.pacs.model_copy(update={"timeouts": waits})
    kind = config.request.type if config.request.type.retrieves else RequestType.MOVE
    section = config.request.model_copy(update={"type": kind, "model": "study"})
    brief = config.model_copy(update={"pacs": pacs, "request": section})
    try:
        yield from _carry_out(brief, today)
    except PydicombatchError as exc:
        yield Check(SUBJECT, "", exc.problem, exc.remedy, exc.exit_code)


def _carry_out(config: Config, today: date) -> Iterator[Check]:
    with closing(connect(config)) as archive:
        series = _smallest(archive, today)
        images = [] if series is None else _ask(archive, "IMAGE", IMAGES, **_named(series))
    uids = {row[INSTANCE] for row in images if row[INSTANCE]}
    if series is None or not uids:
        yield Check(
            SUBJECT,
            "",
            "C-FIND is answered, but the archive shows us no series to test with",
            "Ask its administrator whether our AE title may see its studies",
            3,
        )
        return
    yield Check("C-FIND", f"found a series of {len(uids)} instances to test with")
    if config.request.type is RequestType.GET:
        yield _by_get(config, series, uids)
    else:
        yield _by_move(config, series, uids)


def _by_move(config: Config, series: Row, uids: set[str]) -> Check:
    settings = replace(receiver_settings(config, Path(), 0), calling_aets=(), addresses=())
    probe = Probe(settings, uids)
    answer: Answer | None = None
    try:
        with closing(connect(config, probe.last_arrival)) as archive:
            number = 1 + os.getpid() % 65535
            with suppress(TransientError):
                answer = archive.move(_request(series), number, config.local.aet, lambda _: None)
        _wait(probe, len(uids), config.pacs.timeouts.quiet if _says_sent(answer) else 0.0)
    finally:
        probe.close()
    return diagnose(_way(config), answer, probe.callers(), len(uids))


def _by_get(config: Config, series: Row, uids: set[str]) -> Check:
    nowhere = Nowhere(uids)
    with closing(connect(config)) as archive:
        answer = archive.get(_request(series), 1, nowhere, lambda: None)
    if nowhere.asked_for >= len(uids):
        return Check(SUBJECT, f"{nowhere.asked_for} instances came back")
    problem = f"Only {nowhere.asked_for} of {len(uids)} instances came back by C-GET"
    problem = f"{problem} ({answer.reason or f'0x{answer.status:04X}'})"
    remedy = answer.remedy or "Ask the archive's administrator what it did not send, and why"
    return Check(SUBJECT, "", problem, remedy, 3)


def _smallest(archive: DimseArchive, today: date) -> Row | None:
    """Find a series with few instances, among few and recent ones: the archive is not ours."""
    for days in (*DAYS, None):
        since = f"{today - timedelta(days):%Y%m%d}-" if days else ""
        studies = _ask(archive, "STUDY", STUDIES, StudyDate=since, StudyInstanceUID="")
        found = [
            {**series, STUDY: study[STUDY]}
            for study in studies[:LOOKED_INTO]
            if study[STUDY]
            for series in _ask(
                archive,
                "SERIES",
                SERIES,
                StudyInstanceUID=study[STUDY],
                SeriesInstanceUID="",
                NumberOfSeriesRelatedInstances="",
            )
            if series[ONE] and series[COUNT] != "0"
        ]
        if found:
            return min(found, key=lambda row: _number(row[COUNT]))
    return None


def _ask(archive: DimseArchive, level: str, most: int, **keys: str) -> list[Row]:
    wanted = {"QueryRetrieveLevel": level, **keys}
    request = Request(
        "", 1, RequestType.FIND, "study", tuple(Key(*pair) for pair in wanted.items())
    )
    rows: list[Row] = []

    def on_found(found: Found) -> None:
        rows.append({path: read(found.dataset, path) for path in wanted})

    archive.query(request, on_found, most)
    return rows


def _named(series: Row) -> Row:
    return {STUDY: series[STUDY], ONE: series[ONE], INSTANCE: ""}


def _request(series: Row) -> Request:
    keys = (Key("QueryRetrieveLevel", "SERIES"), Key(STUDY, series[STUDY]), Key(ONE, series[ONE]))
    return Request("loop", 1, RequestType.MOVE, "study", keys)


def _says_sent(answer: Answer | None) -> bool:
    return answer is not None and bool(answer.tally.sent is None or answer.tally.sent)


def _wait(probe: Probe, wanted: int, seconds: float) -> None:
    """Wait for what is still on its way, as a run does."""
    end = time.monotonic() + seconds
    while time.monotonic() < end and _arrived(probe.callers()) < wanted:
        time.sleep(0.05)


def _arrived(callers: tuple[Caller, ...]) -> int:
    return sum(one.asked_for for one in callers)


def _way(config: Config) -> Way:
    addresses: set[str] = set()
    with suppress(OSError, UnicodeError):
        found = socket.getaddrinfo(config.pacs.hostname, config.pacs.port, type=socket.SOCK_STREAM)
        addresses = {str(one[4][0]) for one in found}
    accept = config.local.accept
    return Way(
        config.local.aet,
        config.local.port,
        config.pacs.aet,
        addresses,
        accept.calling_aets,
        accept.addresses,
    )


def _number(text: str) -> int:
    return int(text) if text.isdecimal() and len(text) < 10 else UNKNOWN  # noqa: PLR2004
