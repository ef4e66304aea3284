"""From the configuration to an anonymizer: which recipe, and the key of its pseudonyms."""

import os
import secrets
from contextlib import suppress
from pathlib import Path

from pydicombatch.app.parts import stores_here
from pydicombatch.config.models import Config
from pydicombatch.core.errors import ConfigError, FatalError, Finding
from pydicombatch.process.anonymize.pseudonyms import Pseudonyms
from pydicombatch.process.recipe import Recipe

KEY = "pseudonym.key"


def anonymizes(config: Config) -> bool:
    """Whether a run anonymizes: it is enabled, and instances come to us."""
    return config.anonymization.enabled and stores_here(config)


def check(config: Config) -> tuple[Finding, ...]:
    """Compile what a run would compile; return what deserves a look in it.

    Raises
    ------
    ConfigError
        If a script, a table or a key is unusable, or identified images would leave anyway.
    """
    if not config.anonymization.enabled:
        return ()
    _refuse_leaks(config)
    stand_in = Pseudonyms.of(secrets.token_hex(32))
    return recipe(config, _key(config) or stand_in).warnings()


def _refuse_leaks(config: Config) -> None:
    if config.request.destination is not None and not stores_here(config):
        raise ConfigError.of(
            "anonymization.enabled is true, but request.destination sends images elsewhere, "
            "identified as they are",
            "Remove request.destination, or set anonymization.enabled to false",
        )
    if (config.output.directory / ".pydicombatch" / "ledger.sqlite").exists():
        raise ConfigError.of(
            "output.directory holds the images of an extraction without anonymization",
            "Name another directory for the anonymized ones",
        )


def recipe(config: Config, key: Pseudonyms, *, mapping: bool = True) -> Recipe:
    """Make the recipe of a run.

    Parameters
    ----------
    key
        For the pseudonyms of the profile.
    mapping
        Whether to write the mapping file, if one is asked for.
    """
    section = config.anonymization
    return Recipe(
        script=section.script,
        lookup_table=section.lookup_table,
        mode=section.mode,
        pixel_script=section.pixel_script,
        decompress=True,
        pixel_risk=section.pixel_risk,
        options=section.options if section.profile else None,
        key=key,
        mapping_file=section.mapping_file if mapping else None,
    )


def key_of_run(config: Config) -> Pseudonyms:
    """Return the key that is configured, or the one of this extraction, which is made once.

    Raises
    ------
    ConfigError
        If the key file is unusable.
    FatalError
        If a key cannot be kept in the state directory.
    """
    return _key(config) or _kept_key(config.state_directory).of_project(config.project)


def _key(config: Config) -> Pseudonyms | None:
    section = config.anonymization
    if section.key:
        return Pseudonyms.of(section.key).of_project(config.project)
    if section.key_file is not None and section.profile:
        return Pseudonyms.from_file(section.key_file).of_project(config.project)
    return None


def _kept_key(state: Path) -> Pseudonyms:
    path = state / KEY
    if not path.exists():
        try:
            _write(path)
        except OSError as exc:
            raise FatalError(
                f"The pseudonym key cannot be kept in the state directory ({type(exc).__name__})",
                "Make state.directory writable, or name an anonymization.key_file",
            ) from exc
    return Pseudonyms.from_file(path)


def _write(path: Path) -> None:
    """Write whole or not at all: half a key would be another one."""
    part = path.with_name(path.name + ".part")
    with suppress(FileNotFoundError):
        part.unlink()
    handle = os.open(path=part, flags=os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode=0o600)
    with os.fdopen(handle, "w", encoding="ascii") as file:
        file.write(secrets.token_hex(32) + "\n")
        file.flush()
        os.fsync(file.fileno())
    part.rename(path)
