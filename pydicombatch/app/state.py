"""Which state directory belongs to an extraction, and what it says about itself."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pydicombatch.config.models import Config
from pydicombatch.core.errors import ConfigError, FatalError
from pydicombatch.core.model import RequestType
from pydicombatch.ledger.lock import StateLock
from pydicombatch.ledger.reading import LedgerReader

KIND = "type"  # a file in the state directory: the type of the requests it is about


def mark(state: Path, kind: RequestType) -> None:
    """Say in the state directory which type of requests it is about.

    Raises
    ------
    FatalError
        If it cannot be written.
    """
    try:
        if not (state / KIND).exists():
            (state / KIND).touch(mode=0o600)
            (state / KIND).write_text(kind.value, encoding="ascii")
    except OSError as exc:
        raise FatalError(
            f"The state directory cannot be written ({type(exc).__name__})",
            "Make space on its disk, and check its permissions",
        ) from exc


def reader(state: Path) -> LedgerReader:
    """Open the ledger of a state directory to ask how its extraction stands.

    Raises
    ------
    ConfigError
        If nothing was run yet.
    """
    path = state / "ledger.sqlite"
    if not path.is_file():
        raise ConfigError.of(
            "Nothing of this extraction has been run yet",
            "Start it with `pydicombatch run`, or look whether state.directory is right",
        )
    return LedgerReader(path)


@contextmanager
def held(state: Path) -> Iterator[None]:
    """Keep runs out of a state directory meanwhile.

    Raises
    ------
    HeldError
        If one is under way.
    """
    lock = StateLock(state)
    try:
        yield
    finally:
        lock.release()


def with_state_of_its_own(config: Config) -> Config:
    """Let a C-FIND and a C-MOVE share an output directory, as those of pydicom-batch do.

    The first one there has the state directory; one of another type gets its own below it.
    """
    if config.state.directory is not None:
        return config
    state, kind = config.state_directory, config.request.type.value
    try:
        first = (state / KIND).read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return config
    if first in {"", kind}:
        return config
    own = config.state.model_copy(update={"directory": state / kind})
    return config.model_copy(update={"state": own})
