"""What `check` looks at, for a configuration that is sound."""

from collections.abc import Iterator

from pydicombatch.app.parts import connect, stores_here
from pydicombatch.config.models import Config
from pydicombatch.plan.requests import Plan
from pydicombatch.runner import preflight
from pydicombatch.runner.preflight import Check


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
