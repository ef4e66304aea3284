"""One query, from a command line or a program."""

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import ValidationError

from pydicombatch.app.parts import peer_of
from pydicombatch.backends.dimse.archive import DimseArchive
from pydicombatch.backends.dimse.models import abstract_syntax
from pydicombatch.backends.dimse.peer import Peer
from pydicombatch.config.findings import findings
from pydicombatch.config.load import load
from pydicombatch.config.peers import Local, Pacs
from pydicombatch.config.section import Section
from pydicombatch.config.source import Source
from pydicombatch.config.text import Tree
from pydicombatch.core.elements import column, parse_key
from pydicombatch.core.errors import (
    ConfigError,
    FatalError,
    Finding,
    RequestError,
    TransientError,
    Unreachable,
)
from pydicombatch.core.found import Found
from pydicombatch.core.model import Answer, Request, RequestType, Verdict
from pydicombatch.plan.query import MODELS, compose, shown
from pydicombatch.plan.query_file import read_query
from pydicombatch.report.answers import row

if TYPE_CHECKING:
    import pandas as pd

S = TypeVar("S", bound=Section)
NOBODY = "PYDICOMBATCH"  # our AE title, when none is given
ANYBODY = "ANY-SCP"  # as other tools call an archive that does not look at its title
DICOM = 104  # registered port
IGNORED = "The archive does not support every optional key of the query, so some are not matched"


@dataclass(frozen=True)
class Connection:
    """Whom to ask: what is given here goes before what a configuration says."""

    hostname: str | None = None
    port: int | str | None = None
    aet: str | None = None
    calling_aet: str | None = None
    charset: str | None = None
    config: Path | None = None


@dataclass(frozen=True)
class Question:
    """A query that can be sent."""

    peer: Peer
    request: Request
    charset: str | None  # that answers are read with when they declare none
    limit: int | None = None
    warnings: tuple[str, ...] = ()

    @property
    def columns(self) -> tuple[str, ...]:
        """The paths that are asked for, in the order of the keys."""
        return shown(self.request)

    @property
    def sop_class_uid(self) -> str:
        """The information model."""
        return abstract_syntax(self.request.model, RequestType.FIND)


def question(
    elements: Iterable[str],
    connection: Connection,
    *,
    query: Path | None = None,
    model: str | None = None,
    level: str = "",
    limit: int | None = None,
    environ: Mapping[str, str] = os.environ,
) -> Question:
    """Put a query together.

    Parameters
    ----------
    elements
        Keys, as `Keyword=value`, `Keyword`, `(gggg,eeee)=value`, `Sequence[0].Keyword=value`.
    connection
        Whom to ask.
    query
        A file with more keys: DICOM, DICOM JSON or YAML.
    model
        `patient`, `study`, `psonly` or `worklist`; that of the configuration, or `study`.
    level
        Query/Retrieve Level; that of the keys, or STUDY.
    limit
        The most matches.
    environ
        Where `${NAME}` of a configuration takes its value from.

    Raises
    ------
    ConfigError, ElementError
        If it cannot be sent.
    """
    keys = [parse_key(one) for one in elements]
    loaded = load(connection.config, environ).config if connection.config else None
    chosen = model or (loaded.request.model if loaded else "study")
    if chosen not in MODELS:
        raise ConfigError.of("There is no such model", f"Choose one of {', '.join(MODELS)}")
    pacs = _pacs(loaded.pacs if loaded else None, connection)
    local = _calling(loaded.local if loaded else None, connection)
    own = read_query(query) if query else ()
    request, doubts = compose(own, keys, chosen, level, pacs.charset)
    wrong = [Finding(one.problem, one.remedy) for one in doubts if one.is_error]
    if wrong:
        raise ConfigError(*wrong)
    warnings = tuple(str(Finding(one.problem, one.remedy)) for one in doubts)
    return Question(peer_of(pacs, local.calling_title), request, pacs.charset, limit, warnings)


def ask(one: Question, on_found: Callable[[Found], None]) -> Answer:
    """Send a query and hand over every match.

    Raises
    ------
    FatalError
        If the archive cannot be reached, or refuses us or the model.
    TransientError
        If it is lost on the way.
    RequestError
        If it does not carry out the query.
    """
    archive = DimseArchive(one.peer, one.request.model, RequestType.FIND)
    try:
        answer = archive.query(one.request, on_found, one.limit)
    except Unreachable as exc:
        raise FatalError(exc.problem, exc.remedy) from exc
    finally:
        archive.close()
    if answer.verdict is not Verdict.DONE:
        details = ", ".join(filter(None, (answer.comment, answer.offending)))
        problem = f"{answer.reason} ({details})" if details else answer.reason
        kinds = {Verdict.STOP: FatalError, Verdict.RETRY: TransientError}
        raise kinds.get(answer.verdict, RequestError)(problem, answer.remedy)
    return answer


def find(
    *elements: str,
    hostname: str | None = None,
    port: int | None = None,
    aet: str | None = None,
    calling_aet: str | None = None,
    config: str | Path | None = None,
    query: str | Path | None = None,
    model: str | None = None,
    level: str = "",
    limit: int | None = None,
    charset: str | None = None,
    on_warning: Callable[[str], None] = lambda _: None,
) -> "pd.DataFrame":
    r"""Send one C-FIND and return its matches, a row each; every cell is text.

    Parameters
    ----------
    elements
        Keys, as `Keyword=value`, `Keyword`, `(gggg,eeee)=value`, `Sequence[0].Keyword=value`;
        they are the columns, in this order.
    hostname, port, aet, calling_aet
        The archive (port 104, title ANY-SCP) and the title we call it with (PYDICOMBATCH).
    config
        A configuration file that says so instead.
    query
        A file with more keys: DICOM, DICOM JSON or YAML.
    model
        `patient`, `study` (the default), `psonly` or `worklist`.
    level
        Query/Retrieve Level; STUDY if the keys name none.
    limit
        The most rows; the rest is cancelled.
    charset
        Specific Character Set of text outside ASCII, and of answers that declare none.
    on_warning
        Hears what is odd, a sentence each.

    Raises
    ------
    PydicombatchError
        `ConfigError` or `ElementError` if the query cannot be sent, `FatalError` if the archive
        cannot be reached or refuses us, `TransientError` or `RequestError` if this query failed.

    Examples
    --------
    >>> find("PatientID=123", "StudyDate", hostname="pacs.example.org")  # doctest: +SKIP
    """
    import pandas as pd  # noqa: PLC0415 - takes longer than the query

    connection = Connection(
        hostname, port, aet, calling_aet, charset, Path(config) if config else None
    )
    path = Path(query) if query else None
    one = question(elements, connection, query=path, model=model, level=level, limit=limit)
    for warning in one.warnings:
        on_warning(warning)
    rows: list[tuple[str, ...]] = []
    ignored = False

    def on_found(found: Found) -> None:
        nonlocal ignored
        ignored = ignored or found.ignores_keys
        rows.append(row(found, one.columns, one.charset))

    ask(one, on_found)
    if ignored:
        on_warning(IGNORED)
    return pd.DataFrame(rows, columns=[column(path) for path in one.columns], dtype=str)


def _pacs(base: Pacs | None, connection: Connection) -> Pacs:
    given = {
        "hostname": connection.hostname,
        "port": connection.port,
        "aet": connection.aet,
        "charset": connection.charset,
    }
    if base is None and connection.hostname is None:
        raise ConfigError.of(
            "Nothing says which archive to ask", "Give --hostname, or a configuration with --config"
        )
    known = base.model_dump() if base else {"port": DICOM, "aet": ANYBODY}
    return _validated(Pacs, known, given)


def _calling(base: Local | None, connection: Connection) -> Local:
    known = base.model_dump() if base else {"port": DICOM, "aet": NOBODY}
    return _validated(Local, known, {"calling_aet": connection.calling_aet})


def _validated(kind: type[S], known: dict[str, Any], given: dict[str, Any]) -> S:
    values = {**known, **{name: one for name, one in given.items() if one is not None}}
    try:
        return kind.model_validate(values)
    except ValidationError as exc:
        raise ConfigError(*findings(exc, Tree(Source()))) from None
