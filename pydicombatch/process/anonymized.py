"""The processor that anonymizes: what is identified never leaves the state directory."""

from collections.abc import Generator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from errno import EDQUOT, ENOSPC, errorcode
from pathlib import Path

from pydicombatch.core.errors import FatalError
from pydicombatch.core.log import EventLog
from pydicombatch.core.model import Arrival, Known, Quarantined, Stored
from pydicombatch.process.claims import Claims
from pydicombatch.process.decompress import is_plain
from pydicombatch.process.local import Committer, Keeper, Planner, Spooled, sha256, wish
from pydicombatch.process.messages import Job, Made, Refused
from pydicombatch.process.placing import UNREADABLE
from pydicombatch.process.workers import Workers

TWINS = "Another instance became an anonymized one with the same SOP Instance UID"

log = EventLog(__name__)


@dataclass(frozen=True, slots=True)
class AnonymizingProcessor:
    """Takes arrivals through worker processes to the output directory; safe in several threads.

    `identified` is a directory, within the state directory, for decompressed copies.
    """

    spool: Spooled
    store: Committer
    layout: Planner
    quarantine: Keeper
    workers: Workers
    claims: Claims
    identified: Path
    decompress: bool = False

    def process(
        self, some: Sequence[tuple[Arrival, Known | None]]
    ) -> Generator[Stored | Quarantined, None, None]:
        """Decompress if asked to, anonymize, store under the anonymized values.

        Parameters
        ----------
        some
            Arrivals, whose files lie in the spool and stay there; each with what the ledger holds
            under the same original SOP Instance UID.

        Raises
        ------
        FatalError
            If a disk is full, read-only or gone, or no process can be started.
        """
        for arrival, known in some:
            yield self._process(arrival, known)

    def _process(self, arrival: Arrival, known: Known | None) -> Stored | Quarantined:
        if not arrival.identifiers.sop_instance_uid:
            return self._set_aside(arrival, UNREADABLE)
        unfinished = self.store.scratch()
        try:
            again = self._again(arrival, known)
            if again is not None:
                return again
            made = self.workers.carry_out(self._job(arrival, unfinished))
            if isinstance(made, Refused):
                _check_disk(made.errno)
                return self._set_aside(arrival, made.reason)
            if not self.claims.claim(made.identifiers.sop_instance_uid, _uid(arrival)):
                return self._set_aside(arrival, TWINS)
            return self._land(arrival, unfinished, made, known)
        except OSError as exc:
            _check_disk(exc.errno or -1)
            raise
        finally:
            with suppress(OSError):
                unfinished.unlink(missing_ok=True)

    def wish(self, arrival: Arrival) -> str:
        """Return the path it would have as it came: who shares that, shares the other one, too."""
        return wish(self.spool.path(arrival.file), arrival, self.layout)

    def discard(self, arrival: Arrival) -> None:
        """Remove the spool file; called once the ledger holds what became of it."""
        self.spool.discard(arrival.file)
        self.claims.release(_uid(arrival))

    def _again(self, arrival: Arrival, known: Known | None) -> Stored | None:
        """Recognise an original by its own bytes: a script with a clock would change the others."""
        if known is None or not known.received_sha256:
            return None
        size = self.store.size(known.path)
        if size is None or sha256(self.spool.path(arrival.file)) != known.received_sha256:
            return None
        return Stored(arrival, known.path, size, known.sha256, duplicate=True)

    def _job(self, arrival: Arrival, unfinished: Path) -> Job:
        scratch = None
        if self.decompress and not is_plain(arrival.transfer_syntax_uid):
            scratch = self.identified / unfinished.name
        return Job(self.spool.path(arrival.file), unfinished, scratch, self.layout.paths)

    def _set_aside(self, arrival: Arrival, reason: str) -> Quarantined:
        name = self.quarantine.put(self.spool.path(arrival.file), arrival.file.name)
        return Quarantined(arrival, name, reason)

    def _land(self, arrival: Arrival, final: Path, made: Made, known: Known | None) -> Stored:
        uid = made.identifiers.sop_instance_uid
        if made.kept:
            log.warning("decompress.kept", reason=made.kept)
        if known is not None:
            size = self.store.size(known.path)
            if size is not None:
                aside = ""
                if made.sha256 != known.sha256:
                    aside = self.quarantine.put(final, arrival.file.name)
                return Stored(arrival, known.path, size, known.sha256, duplicate=True, aside=aside)
        landing = self.store.commit(final, self.layout.plan(made.values), uid)
        return Stored(
            arrival,
            landing.path,
            made.size,
            made.sha256,
            collided=landing.collided,
            kept=bool(made.kept),
            stored_uid=uid,
            received_sha256=made.source_sha256,
        )


def _uid(arrival: Arrival) -> str:
    return arrival.identifiers.sop_instance_uid


def _check_disk(errno: int) -> None:
    if not errno:
        return
    symbol = errorcode.get(errno, "OSError")
    why = "a disk is full" if errno in {ENOSPC, EDQUOT} else f"a disk cannot be used, {symbol}"
    raise FatalError(
        f"An instance cannot be anonymized: {why}",
        "Check the disks of state.directory and output.directory, then run again",
    )
