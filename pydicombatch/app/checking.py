"""What `check` looks at, for a configuration that is sound."""

from collections.abc import Iterator

from pydicombatch.app.parts import connect, stores_here
from pydicombatch.config.models import STATE, Config
from pydicombatch.ledger.reading import LedgerReader
from pydicombatch.plan.requests import Plan
from pydicombatch.runner import preflight
from pydicombatch.runner.preflight import Check
from pydicombatch.store.verify import Finding, Recorded, compare, unknown


def look(config: Config, plan: Plan) -> Iterator[Check]:
    """Look at everything a run needs, without sending any request but a C-ECHO."""
    lines = sum(1 for _ in plan)
    several = "1 request" if lines == 1 else f"{lines} requests"
    yield Check("configuration", f"{several} of type {config.request.type}")
    yield from preflight.directory("output.directory", config.output.directory)
    if stores_here(config):
        yield preflight.port(config.local.bind, config.local.port)
    pacs = config.pacs
    yield from preflight.archive(
        f"{pacs.aet} at {pacs.hostname}:{pacs.port}", lambda: connect(config)
    )


def reread(config: Config, ledger: LedgerReader) -> Iterator[tuple[str, Finding | None]]:
    """Read every stored file again, and look for others beside them; see `Extraction.verify`."""
    root = config.output.directory
    recorded = (Recorded(*row) for row in ledger.instances())
    for one, finding in compare(root, recorded):
        yield one.path, finding
    for path in unknown(root, ledger.holds, [config.state_directory, root / STATE]):
        yield path, Finding.UNKNOWN
