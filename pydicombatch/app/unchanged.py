"""Whether a batch file is in the ledger as it is: then it is neither checked nor loaded again."""

from contextlib import closing
from dataclasses import astuple
from hashlib import sha256
from pathlib import Path

from pydicombatch import __version__
from pydicombatch.config.models import Config
from pydicombatch.core.errors import Finding, PydicombatchError
from pydicombatch.ledger.ledger import Ledger
from pydicombatch.ledger.reading import LedgerReader

LOADED = "loaded"  # name in the ledger
PIECE = 1 << 20  # bytes read at a time


def digest(config: Config) -> str:
    """Return the SHA-256, in hexadecimal, of all that decides which requests there are.

    "" when the batch file cannot be read, which is not ours to say.
    """
    request = config.request
    parts = (__version__, config.pacs.aet, config.pacs.charset, request.type, request.model)
    found = sha256(repr((*parts, request.elements, request.carry)).encode())
    path = request.elements_batch_file
    if path is None:
        return found.hexdigest()
    try:
        with path.open("rb") as file:
            while piece := file.read(PIECE):
                found.update(piece)
    except OSError:
        return ""
    return f"{found.hexdigest()} {path}"


def remembered(ledger: Path, now: str) -> tuple[Finding, ...] | None:
    """Return the warnings that were given when this batch was checked; None when it was not."""
    if not now or not ledger.is_file():
        return None
    try:
        with closing(LedgerReader(ledger)) as reader:
            found = reader.meta(LOADED)
    except PydicombatchError:
        return None  # whoever opens it next will say so
    if not found or found["digest"] != now:
        return None
    return tuple(Finding(*one) for one in found["warnings"])


def is_loaded(ledger: Ledger, now: str) -> bool:
    """Whether the ledger's requests are those of this batch."""
    found = ledger.meta(LOADED)
    return bool(now and found and found["digest"] == now)


def remember(ledger: Ledger, now: str, warnings: tuple[Finding, ...]) -> None:
    """Let the ledger know which batch it holds, and what was odd about it."""
    ledger.set_meta(LOADED, {"digest": now, "warnings": [astuple(one) for one in warnings]})
