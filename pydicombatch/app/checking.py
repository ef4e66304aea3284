"""What `check` looks at, for a configuration that is sound."""

from collections.abc import Iterator
from datetime import date

from pydicombatch.app.loop import loop
from pydicombatch.app.parts import connect, listens
from pydicombatch.config.models import STATE, Config
from pydicombatch.ledger.reading import LedgerReader
from pydicombatch.plan.requests import Plan
from pydicombatch.runner import preflight
from pydicombatch.runner.preflight import Check
from pydicombatch.store.verify import Finding, Recorded, compare, unknown


def look(config: Config, plan: Plan, loop_on: date | None = None) -> Iterator[Check]:
    """Look at everything a run needs, without sending any request but a C-ECHO.

    On a date, if one is given, a small series is retrieved back to us, too.
    """
    lines = sum(1 for _ in plan)
    several = "1 request" if lines == 1 else f"{lines} requests"
    yield Check("configuration", f"{several} of type {config.request.type}")
    yield from preflight.directory("output.directory", config.output.directory)
    if listens(config):
        yield preflight.port(config.local.bind, config.local.port)
    pacs = config.pacs
    subject, is_well = f"{pacs.aet} at {pacs.hostname}:{pacs.port}", True
    for one in preflight.archive(subject, lambda: connect(config)):
        is_well = is_well and one.is_well
        yield one
    if loop_on is not None and is_well:
        yield from loop(config, loop_on)


def reread(config: Config, ledger: LedgerReader) -> Iterator[tuple[str, Finding | None]]:
    """Read every stored file again, and look for others beside them; see `Extraction.verify`."""
    root = config.output.directory
    recorded = (Recorded(*row) for row in ledger.instances())
    for one, finding in compare(root, recorded):
        yield one.path, finding
    for path in unknown(root, ledger.holds, [config.state_directory, root / STATE]):
        yield path, Finding.UNKNOWN
