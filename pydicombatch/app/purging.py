"""What of a state directory is identified, and when it goes."""

from collections.abc import Iterator
from pathlib import Path

from pydicombatch.app.anonymization import KEY
from pydicombatch.app.processing import IDENTIFIED
from pydicombatch.app.sampling import FOLDER
from pydicombatch.app.state import KIND, held
from pydicombatch.core.log import EventLog
from pydicombatch.report.export.parts import FOLDER as EXPORT
from pydicombatch.report.export.parts import left_table
from pydicombatch.store.removal import Removed, older, remove, within

QUARANTINE = "quarantine"

log = EventLog(__name__)


def forget(state: Path, days: float | None) -> Removed:
    """Remove what has been in quarantine for more than so many days; None for never."""
    if days is None:
        return Removed()
    removed = remove(older(within(state / QUARANTINE), days))
    if removed.files:
        log.info("quarantine.forgotten", quarantined=removed.files)
    return removed


def purge(state: Path, *, everything: bool) -> Iterator[tuple[str, Removed]]:
    """Remove what is identified from a state directory, or all that is there.

    Parameters
    ----------
    everything
        The ledger of the extraction, its log and its key, too: then it cannot be resumed,
        and the instances that are stored cannot be verified any more.

    Yields
    ------
    tuple[str, Removed]
        What was removed, and how much of it.

    Raises
    ------
    HeldError
        If a run holds this extraction.
    FatalError
        If something cannot be removed.
    """
    if not state.is_dir():
        return
    with held(state):
        yield from _purge(state, everything=everything)


def _purge(state: Path, *, everything: bool) -> Iterator[tuple[str, Removed]]:
    folders = ("work", IDENTIFIED, FOLDER, EXPORT)
    unfinished = [one for name in folders for one in within(state / name)]
    unfinished += left_table(state / EXPORT)  # beside the name that somebody gave it
    yield "instances in the spool", remove(within(state / "spool"))
    yield "quarantined instances", remove(within(state / QUARANTINE))
    yield "unfinished files", remove(unfinished)
    yield "files of old ledgers", remove(within(state, "ledger-*.sqlite*"))
    yield "files of a plan", remove(within(state, "plan.sqlite*"))
    if everything:
        yield "files of the ledger", remove(within(state, "ledger.sqlite*"))
        yield "files of logs", remove(within(state, "run.log*"))
        yield "keys of pseudonyms", remove(within(state, f"{KEY}*"))
        yield "files of other notes", remove(within(state, KIND))
