"""What those who start a run have to know of its configuration: a container, a timer, a monitor."""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from pydantic import BaseModel

from pydicombatch.app.extraction import Extraction
from pydicombatch.app.parts import listens
from pydicombatch.config.load import content, read
from pydicombatch.config.models import Config
from pydicombatch.config.text import read_text
from pydicombatch.core.errors import ConfigError
from pydicombatch.ledger.lock import holder
from pydicombatch.runner import preflight
from pydicombatch.runner.preflight import Check

DIRECTORIES = frozenset({"output.directory", "state.directory"})  # written
FILES = frozenset(  # written, in a directory
    {"output.database_file", "output.library_file", "anonymization.mapping_file"}
)
Need = tuple[str, str]  # kind, value


class _Asked(dict[str, str]):
    """An environment that has every variable and remembers which ones it was asked for."""

    def __contains__(self, name: object) -> bool:
        self.setdefault(str(name), "")
        return True


def variables(path: Path) -> Iterator[Need]:
    """Yield the environment variables that a configuration takes values from.

    Raises
    ------
    ConfigError
        If the file is no YAML mapping.
    """
    asked = _Asked()
    read_text(content(path), str(path), asked)
    for name in sorted(asked):
        yield "variable", name


def paths(path: Path, environ: Mapping[str, str]) -> Iterator[Need]:
    """Yield what a run of a configuration reads, and the directories that it writes in.

    None of them needs to be there. A directory inside another one is not told again.

    Raises
    ------
    ConfigError
        If the configuration is wrong.
    """
    config = read(path, environ).config
    used = (one for key, one in named(config) if _is_read(key, config))
    found = [_absolute(path), *map(_absolute, used)]
    for one in dict.fromkeys(found):
        yield "read", one
    written = [config.output.directory, config.state_directory, config.results.parent]
    if config.anonymization.enabled and config.anonymization.mapping_file:
        written.append(config.anonymization.mapping_file.parent)
    places = [Path(one) for one in dict.fromkeys(map(_absolute, written))]
    for place in places:
        if not any(place != other and place.is_relative_to(other) for other in places):
            yield "write", str(place)


def port(path: Path, environ: Mapping[str, str]) -> Iterator[Need]:
    """Yield the port on which a run of a configuration listens, if it does.

    Raises
    ------
    ConfigError
        If the configuration is wrong.
    """
    config = read(path, environ).config
    if listens(config):
        yield "port", str(config.local.port)


def alive(path: Path) -> Iterator[Check]:
    """Look whether a run of a configuration goes on and answers.

    Raises
    ------
    ConfigError
        If the configuration is wrong.
    """
    config = Extraction.from_file(path).config
    process = holder(config.state_directory)
    if not process:
        remedy = "Start it; it goes on where it was"
        yield Check("run", "none", "No run of this extraction goes on", remedy, 1)
        return
    yield Check("run", f"process {process} holds this extraction")
    if listens(config):
        yield preflight.listening(config.local.bind, config.local.port)


def named(section: BaseModel, prefix: str = "") -> Iterator[tuple[str, Path]]:
    """Yield every path that a configuration names, with its dotted key."""
    for name in type(section).model_fields:
        value = getattr(section, name)
        for one in value if isinstance(value, tuple) else (value,):
            if isinstance(one, BaseModel):
                yield from named(one, f"{prefix}{name}.")
            elif isinstance(one, Path):
                yield f"{prefix}{name}", one


def _is_read(key: str, config: Config) -> bool:
    if key.startswith("anonymization.") and not config.anonymization.enabled:
        return False  # named, as in many older files, and never opened
    return key not in DIRECTORIES | FILES


def _absolute(path: Path) -> str:
    text = os.path.normpath(path.absolute())
    if not text.isprintable():
        raise ConfigError.of(
            "A path has a character that cannot be printed", "Rename that file or directory"
        )
    return text
