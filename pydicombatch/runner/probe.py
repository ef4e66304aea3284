"""Whether the archive is there: after an outage one thread asks, the others wait."""

from pydicombatch.core.errors import FatalError, Unreachable
from pydicombatch.core.model import Verdict
from pydicombatch.core.ports import Archive


def probe(archive: Archive) -> None:
    """Make sure that the archive answers a C-ECHO, not only an association.

    Raises
    ------
    TransientError
        If it does not.
    """
    archive.open()
    try:
        answer = archive.echo()
    except FatalError:  # it offers no C-ECHO: its association has to do
        return
    if answer.verdict is not Verdict.DONE:
        raise Unreachable(
            f"The archive answers a C-ECHO with status 0x{answer.status:04X}",
            "Ask its administrator whether it is starting or out of order",
        )
