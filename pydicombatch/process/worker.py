"""A worker process: compiles the anonymizer, if any, then takes one file after the other.

It prints nothing, for libraries print values; and it ends when its parent does.
"""

import os
import queue
import resource
import signal
import sys
import threading
from contextlib import suppress
from typing import Any

from pydicombatch.core.errors import PydicombatchError
from pydicombatch.core.threads import begin
from pydicombatch.process.anonymize.anonymizer import Anonymizer, Status
from pydicombatch.process.decompress import KeptError, decompress, quiet
from pydicombatch.process.local import sha256
from pydicombatch.process.messages import Job, LostError, Made, Refused, receive, send
from pydicombatch.process.placing import UnusableError, identified, values
from pydicombatch.process.recipe import Recipe

READY = "ready"
_PARENTS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)  # it decides what they mean


def carry_out(job: Job, anonymizer: Anonymizer | None) -> Made | Refused:
    """Anonymize one file, or decompress it alone; nothing is left behind unless it is made."""
    done: Made | Refused = Refused("It was interrupted")
    try:
        done = _carried_out(job, anonymizer)
    except OSError as exc:
        done = Refused("A disk cannot be used", errno=exc.errno or 5)
    except (KeptError, UnusableError) as exc:
        done = Refused(str(exc))
    except Exception as exc:  # noqa: BLE001 - closed, whatever happens
        done = Refused(f"It could not be processed ({type(exc).__name__})")
    finally:
        if isinstance(done, Refused):
            with suppress(OSError):
                job.target.unlink(missing_ok=True)
    return done


def _carried_out(job: Job, anonymizer: Anonymizer | None) -> Made | Refused:
    if anonymizer is None:
        decompress(job.source, job.target)
        return Made()
    kept = _anonymize(job, anonymizer)
    return kept if isinstance(kept, Refused) else _described(job, kept=kept)


def _anonymize(job: Job, anonymizer: Anonymizer) -> Refused | str:
    """Return why it stays compressed, "" when it does not; it is anonymized either way."""
    source, kept = job.source, ""
    try:
        if job.scratch is not None:
            try:
                decompress(job.source, job.scratch)
                source = job.scratch
            except KeptError as exc:
                kept = str(exc)
        result = anonymizer.anonymize_file(source, job.target)
    finally:
        if job.scratch is not None:
            job.scratch.unlink(missing_ok=True)
    if result.status is Status.OK:
        return kept
    return Refused(result.reason, result.status is Status.NOT_DICOM, result.errno)


def _described(job: Job, *, kept: str) -> Made:
    with job.target.open("rb") as file:
        os.fsync(file.fileno())
        size = os.fstat(file.fileno()).st_size
    if job.paths is None:
        return Made(kept=kept)
    identifiers = identified(job.target)
    found = values(job.target, identifiers, job.paths)
    return Made(identifiers, found, size, sha256(job.target), sha256(job.source), kept)


def serve(incoming: int, outgoing: int) -> None:
    """Answer the recipe, then each job, until the other side ends."""
    messages: queue.SimpleQueue[Any] = queue.SimpleQueue()
    begin(threading.Thread(target=_listen, args=(incoming, messages), daemon=True))
    recipe = messages.get()
    try:
        anonymizer = compiled(recipe)
    except PydicombatchError as exc:
        send(outgoing, exc)
        return
    send(outgoing, READY)
    while True:
        send(outgoing, carry_out(messages.get(), anonymizer))


def compiled(recipe: Recipe | None) -> Anonymizer | None:
    """Compile, with values out of the ordinary read as they are and nothing printed."""
    quiet()
    return recipe.compile() if recipe is not None else None


def _listen(incoming: int, messages: "queue.SimpleQueue[Any]") -> None:
    """Pass on what comes; the end of the parent ends this process, whatever it is at."""
    try:
        while True:
            messages.put(receive(incoming))
    except LostError:
        os._exit(0)


def main() -> None:
    """Run as a child of `workers.Workers`."""
    for number in _PARENTS:
        signal.signal(number, signal.SIG_IGN)
    os.umask(0o077)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a core file would hold identified data
    outgoing = os.dup(1)
    nowhere = os.open(os.devnull, os.O_RDWR)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    with suppress(LostError):
        serve(0, outgoing)
    sys.exit(0)
