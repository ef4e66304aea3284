"""Digests of what decides a result, so that a changed configuration is not resumed unawares."""

import hmac
import json
from hashlib import sha256
from pathlib import Path

from pydicombatch.config.models import Anonymization, Config
from pydicombatch.config.select import Select
from pydicombatch.core.errors import ConfigError


def digests(config: Config) -> dict[str, str]:
    """Return the SHA-256, in hexadecimal, of every part of the configuration that decides.

    The order and the spelling of elements do not count. Scripts, lookup table and key count by
    their contents, and all of the anonymization only when it is enabled.

    Raises
    ------
    ConfigError
        If a script, the lookup table or the key cannot be read.
    """
    request, output, anonymization = config.request, config.output, config.anonymization
    on = anonymization.enabled
    how = anonymization if on else Anonymization()
    values: dict[str, object] = {
        "type": request.type.value,
        "model": request.model,
        "elements": sorted([key.path, key.value] for key in request.keys),
        "complete": request.complete,
        "select": _select(config.select),
        "directory_structure": list(output.directory_structure),
        "filename": output.filename,
        "decompress": output.decompress,
        "mismatches": request.mismatches,
        "anonymization": on,
        "mode": how.mode,
        "profile": how.profile,
        "options": sorted(how.options),
        "pixel_risk": how.pixel_risk,
        "project": config.project if how.profile else "",
    }
    return {
        **{name: _digest(json.dumps(value).encode()) for name, value in values.items()},
        "script": _digest(_contents(how.script)),
        "lookup_table": _digest(_contents(how.lookup_table)),
        "pixel_script": _digest(_contents(how.pixel_script)),
        "key": _fingerprint(how),
    }


def _select(section: Select | None) -> object:
    if section is None:
        return None
    named = section.model_dump(mode="json", exclude={"where", "queries"})
    return {**named, "where": section.where.source}


def refuse_changes(before: dict[str, str], now: dict[str, str], *, accept: bool) -> None:
    """Refuse to mix results of two configurations, unless the operator says so.

    Raises
    ------
    ConfigError
        If something has changed; it names what.
    """
    changed = sorted(name for name, value in before.items() if now.get(name) != value)
    if changed and not accept:
        raise ConfigError.of(
            f"What decides the result has changed since the last run: {', '.join(changed)}",
            "Change it back, go on regardless with --accept-changes, or begin anew with --restart",
        )


def _digest(content: bytes) -> str:
    return sha256(content).hexdigest()


def _fingerprint(how: Anonymization) -> str:
    """Recognise the key of the profile, wherever it comes from, without telling it."""
    key = how.key.encode() or _contents(how.key_file)
    return hmac.digest(key.strip(), b"fingerprint", "sha256").hex() if how.profile else ""


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
