"""The page as text, and as a file that its owner alone can read."""

import os
from base64 import b64encode
from dataclasses import asdict
from hashlib import sha256
from importlib import resources
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from jinja2.utils import htmlsafe_json_dumps
from markupsafe import Markup

from pydicombatch.report.page.build import Page
from pydicombatch.report.whole import appearing


def render(page: Page) -> str:
    """Fill the template; every text is escaped, what runs is our own script alone.

    The page's own policy (CSP level 2) names the digest of that script and no other source, so
    nothing that a value could smuggle in would run or be fetched.
    """
    environment = Environment(
        loader=PackageLoader("pydicombatch.report", "page"),
        autoescape=True,
        undefined=StrictUndefined,
    )
    script = _file("report.js")
    digest = b64encode(sha256(script.encode()).digest()).decode()
    template = environment.from_string(_file("report.html.j2"))
    return template.render(
        page=_drawn(page),
        css=Markup(_file("report.css")),  # noqa: S704 - ours
        script=Markup(script),  # noqa: S704 - ours
        script_digest=Markup(f"sha256-{digest}"),  # noqa: S704 - ours
        rows=htmlsafe_json_dumps([asdict(one) for one in page.table], separators=(",", ":")),
    )


def _drawn(page: Page) -> dict[str, object]:
    """Return the page with its drawings marked as markup; matplotlib has escaped their texts."""
    fields: dict[str, object] = dict(vars(page))
    for name in ("progress", "latency"):
        shown = fields[name]
        fields[name] = _marked(shown) if shown else None
    fields["kinds"] = [_marked(one) for one in page.kinds]
    return fields


def _marked(shown: object) -> dict[str, object]:
    fields = dict(vars(shown))
    return {**fields, "svg": Markup(fields["svg"])}  # noqa: S704 - see `_drawn`


def _file(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")


def write(path: Path, text: str) -> None:
    """Put the page at a path with mode 0600; it appears whole or not at all.

    Raises
    ------
    FatalError
        If it cannot be written.
    """
    with (
        appearing(path, "report") as (_, descriptor),
        os.fdopen(descriptor, "w", encoding="utf-8", errors="backslashreplace") as file,
    ):
        file.write(text)
