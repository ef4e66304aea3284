"""Which state directory an extraction has, and what says so there."""

from pydicombatch.config.models import Config
from pydicombatch.core.errors import FatalError

KIND = "type"  # a file in the state directory: the type of the requests it is about


def mark(config: Config) -> None:
    """Say in the state directory which type of requests it is about.

    Raises
    ------
    FatalError
        If it cannot be written.
    """
    state = config.state_directory
    try:
        if not (state / KIND).exists():
            (state / KIND).touch(mode=0o600)
            (state / KIND).write_text(config.request.type.value, encoding="ascii")
    except OSError as exc:
        raise FatalError(
            f"The state directory cannot be written ({type(exc).__name__})",
            "Make space on its disk, and check its permissions",
        ) from exc


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
