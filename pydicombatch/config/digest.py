"""Digests of what decides a result, so that a changed configuration is not resumed unawares."""

import json
from hashlib import sha256
from pathlib import Path

from pydicombatch.config.models import Config
from pydicombatch.config.select import Select
from pydicombatch.core.errors import ConfigError


def digests(config: Config) -> dict[str, str]:
    """Return the SHA-256, in hexadecimal, of every part of the configuration that decides.

    The order and the spelling of elements do not count. Script and lookup table count by their
    contents, and only when anonymization is enabled.

    Raises
    ------
    ConfigError
        If script or lookup table cannot be read.
    """
    request, output, anonymization = config.request, config.output, config.anonymization
    on = anonymization.enabled
    values: dict[str, object] = {
        "type": request.type.value,
        "model": request.model,
        "elements": sorted([key.path, key.value] for key in request.keys),
        "complete": request.complete,
        "select": _select(config.select),
        "directory_structure": list(output.directory_structure),
        "filename": output.filename,
        "decompress": output.decompress,
        "anonymization": on,
    }
    return {
        **{name: _digest(json.dumps(value).encode()) for name, value in values.items()},
        "script": _digest(_contents(anonymization.script if on else None)),
        "lookup_table": _digest(_contents(anonymization.lookup_table if on else None)),
    }


def _select(section: Select | None) -> object:
    if section is None:
        return None
    named = section.model_dump(mode="json", exclude={"where", "queries"})
    return {**named, "where": section.where.source}


def _digest(content: bytes) -> str:
    return sha256(content).hexdigest()


def _contents(path: Path | None) -> bytes:
    if path is None:
        return b""
    try:
        return path.read_bytes()
    except OSError as exc:
        raise ConfigError.of(
            f"A file of the anonymization cannot be read ({type(exc).__name__})",
            "Check its path and permissions",
            str(path),
        ) from exc
