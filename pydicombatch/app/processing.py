"""What takes an arrival to its final path, anonymized or as it came."""

import os
from contextlib import ExitStack, suppress
from pathlib import Path

from pydicombatch.app.anonymization import anonymizes, key_of_run, recipe
from pydicombatch.app.anonymizing import processors
from pydicombatch.config.models import Config
from pydicombatch.core.ports import Processor
from pydicombatch.ledger.ledger import Ledger
from pydicombatch.process.anonymized import AnonymizingProcessor
from pydicombatch.process.claims import Claims
from pydicombatch.process.decoding import ChildDecoder
from pydicombatch.process.local import LocalProcessor
from pydicombatch.process.workers import Workers
from pydicombatch.receive.spool import Spool
from pydicombatch.store import tree
from pydicombatch.store.commit import Store
from pydicombatch.store.layout import Layout
from pydicombatch.store.quarantine import Quarantine

THREADS = 2  # that store, where nothing is anonymized
IDENTIFIED = "decompressed"


def make_processor(
    config: Config, spool: Spool, ledger: Ledger, stack: ExitStack
) -> tuple[Processor, int]:
    """Make the processor, and say how many threads it keeps busy.

    Parameters
    ----------
    stack
        Ends its worker processes.
    """
    output, state = config.output, config.state_directory
    quarantine = Quarantine(state / "quarantine")
    quarantine.prepare()
    store = Store(output.directory, _work_directory(output.directory, state), _reserved(config))
    store.prepare()
    layout = Layout(output.directory_structure, output.filename)
    if not anonymizes(config):
        decoder = None
        if output.decompress:
            decoder = ChildDecoder(stack.enter_context(Workers(None, THREADS)))
        return LocalProcessor(spool, store, layout, quarantine, decoder), THREADS
    identified = _emptied(state / IDENTIFIED)
    count = processors()
    workers = stack.enter_context(Workers(recipe(config, key_of_run(config)), count))
    claims = Claims(ledger.owner)
    anonymizing = AnonymizingProcessor(
        spool, store, layout, quarantine, workers, claims, identified, output.decompress
    )
    return anonymizing, count


def _reserved(config: Config) -> list[str]:
    """Name the files of ours that may lie in the output directory itself."""
    mapping = config.anonymization.mapping_file
    return [config.results.name, *([mapping.name] if mapping else [])]


def _emptied(directory: Path) -> Path:
    """Make a directory in the state directory, without what a crash left in it."""
    try:
        tree.make_private(directory)
        for leftover in directory.iterdir():
            leftover.unlink()
    except OSError as exc:
        raise tree.fatal(exc, "state.directory") from exc
    return directory


def _work_directory(output: Path, state: Path) -> Path:
    """Choose where files lie that are not whole yet: on the file system of the output."""
    output.mkdir(mode=0o700, parents=True, exist_ok=True)
    if mount_of(output) == mount_of(state):
        return state / "work"
    return output / ".pydicombatch-work"


def mount_of(directory: Path, proc: Path = Path("/proc/self/fdinfo")) -> tuple[int, str]:
    """Return the file system and the mount that a directory lies on.

    No file can be renamed from one mount to another, even of the same file system: a container has
    a mount for each directory that it is given. Without /proc the mount is "".
    """
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        device = os.fstat(handle).st_dev
        with suppress(OSError):
            lines = (proc / str(handle)).read_text(encoding="ascii").splitlines()
            return device, next((one for one in lines if one.startswith("mnt_id:")), "")
        return device, ""
    finally:
        os.close(handle)
