"""Everything about a configuration and its batch file that can be said before anything is sent."""

from collections.abc import Iterable
from pathlib import Path

from pydicombatch.app import anonymization
from pydicombatch.config.places import misplaced
from pydicombatch.config.source import Source
from pydicombatch.core.errors import ConfigError, Finding
from pydicombatch.plan.checks import check
from pydicombatch.plan.requests import Plan


def doubts(
    plan: Plan,
    inputs: Iterable[Path],
    source: Source,
    known: tuple[Finding, ...] | None = None,
) -> tuple[tuple[Finding, ...], tuple[Finding, ...]]:
    """Return what is odd but allowed: about the configuration, and about the batch.

    Parameters
    ----------
    plan, inputs, source
        What is looked at, files that must not be written over, and where settings were written.
    known
        What was odd about this very batch when it was checked before; None to check it.

    Raises
    ------
    ConfigError
        With what is wrong; a finding that is about no row points into the configuration.
    """
    wrong = misplaced(plan.config, inputs)
    if wrong:
        key = "library_file" if plan.config.output.library_file else "database_file"
        raise ConfigError(*_placed(wrong, source, f"output.{key}"))
    found = _placed(anonymization.check(plan.config), source, "anonymization")
    try:
        batch = check(plan) if known is None else known
        return found, _placed(batch, source, "request.elements")
    except ConfigError as exc:
        raise ConfigError(*_placed(exc.findings, source, "request.elements")) from None


def _placed(findings: Iterable[Finding], source: Source, key: str) -> tuple[Finding, ...]:
    return tuple(source.placed(one, key) for one in findings)
