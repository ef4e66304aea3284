"""What a configuration means for the parts of a run. Pure mappings, one class at a time."""

from collections.abc import Callable, Iterable
from pathlib import Path

from pydicombatch.backends.dimse.archive import DimseArchive
from pydicombatch.backends.dimse.peer import Peer, Timeouts, Tls
from pydicombatch.config.models import Config
from pydicombatch.config.peers import LocalTls, Pacs, PacsTls
from pydicombatch.core.model import RequestType
from pydicombatch.core.records import Entry
from pydicombatch.ledger.ledger import Ledger
from pydicombatch.plan.requests import Plan
from pydicombatch.receive.server.settings import Durability, Limits, Settings, TlsFiles
from pydicombatch.report.results import ResultsFile
from pydicombatch.report.rows import Cells, header, of_query, of_request
from pydicombatch.report.spreadsheet import guarded
from pydicombatch.runner.schedule import Schedule, Window
from pydicombatch.select.rules import Rules

MEGABYTE = 1_000_000


def receiver_settings(config: Config, spool: Path, run: int) -> Settings:
    """Say what our storage SCP has to know."""
    local = config.local
    return Settings(
        local.port,
        local.aet,
        str(spool.absolute()),
        str(run),
        bind=local.bind,
        originator=local.calling_title,
        calling_aets=local.accept.calling_aets,
        addresses=local.accept.addresses,
        unsolicited=local.accept.unsolicited,
        durability=Durability(local.durability),
        floor=int(config.state.least_free * MEGABYTE),
        megabytes_per_second=config.request.limits.megabytes_per_second or 0.0,
        tls=_tls_files(local.tls),
        listens=config.request.type is not RequestType.GET,
        limits=Limits(
            dead_seconds=config.pacs.timeouts.dead,
            connections=2 * local.max_associations,
            connections_per_address=local.max_associations,
        ),
    )


def _tls_files(section: LocalTls | None) -> TlsFiles | None:
    if section is None:
        return None
    return TlsFiles(str(section.cert), str(section.key), _path(section.ca))


def stores_here(config: Config) -> bool:
    """Whether instances come here: to our own storage SCP, or on the association that asks."""
    return config.request.type is RequestType.GET or listens(config)


def listens(config: Config) -> bool:
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


def connect(
    config: Config, last_arrival: Callable[[], float] = never, *, only_asks: bool = False
) -> DimseArchive:
    """Make a session with the archive; it opens its association when it is first used.

    `last_arrival` tells when an instance was pushed to us last, in monotonic seconds: an archive
    that sends instances is not silent. With `only_asks` nothing is retrieved, for a plan.
    """
    relational = config.select is not None and config.select.queries == "auto"
    peer = peer_of(config.pacs, config.local.calling_title, relational=relational)
    # to look rows up, and to verify what was retrieved
    also = (RequestType.FIND,) if stores_here(config) or config.select else ()
    kind = RequestType.FIND if only_asks else config.request.type
    return DimseArchive(peer, config.request.model, kind, last_arrival, also)


def peer_of(pacs: Pacs, calling_aet: str, *, relational: bool = False) -> Peer:
    """Say whom we call, and how long we wait."""
    waits = pacs.timeouts
    return Peer(
        pacs.hostname,
        pacs.port,
        pacs.aet,
        calling_aet,
        pacs.charset or "ISO_IR 192",
        Timeouts(waits.connect, waits.association, waits.response, waits.total, waits.dead),
        _tls(pacs.tls),
        relational=relational,
    )


def rules(config: Config) -> Rules | None:
    """Say what of the matches of a row is retrieved; None: rows are sent as they are."""
    section = config.select
    if section is None:
        return None
    limits = section.at_most.by_level
    return Rules(
        section.level,
        section.where,
        limits,
        section.first,
        section.date_tolerance,
        instances=any(level == "INSTANCES" for level, _ in limits),
    )


def _tls(section: PacsTls | None) -> Tls | None:
    if section is None:
        return None
    return Tls(_path(section.ca), _path(section.cert), _path(section.key), section.verify)


def _path(path: Path | None) -> str:
    return "" if path is None else str(path)


def results(config: Config, plan: Plan, ledger: Ledger) -> ResultsFile:
    """Make the CSV of results with the columns of the plan."""
    kind = config.request.type
    names = header(kind, plan.columns, plan.carried)

    def rows(entry: Entry) -> Iterable[Cells]:
        if kind is RequestType.FIND:
            return of_query(names, entry, ledger.matches(entry))
        return [of_request(names, entry)]

    if not config.output.excel_safe:
        return ResultsFile(config.results, names, rows, ledger)
    return ResultsFile(
        config.results,
        guarded(names),
        lambda entry: map(guarded, rows(entry)),
        ledger,
        "excel_safe",
    )
