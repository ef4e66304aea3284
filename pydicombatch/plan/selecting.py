"""What is wrong with a row that is a query first. Pure."""

from collections.abc import Iterator
from datetime import date

from pydicombatch.config.select import Select
from pydicombatch.core.elements import vr
from pydicombatch.core.model import Request
from pydicombatch.plan.rules import Issue, unsendable
from pydicombatch.select.dates import widened
from pydicombatch.select.route import DATE, restricts

SOME_DAY = date(2020, 1, 1)  # whether a condition narrows does not depend on the day


def issues(request: Request, charset: str | None, select: Select) -> Iterator[Issue]:
    """Yield what there is to say about a row.

    Parameters
    ----------
    request
        A row that is looked up before anything is retrieved.
    charset
        The character set of text outside ASCII; ISO_IR 192 when None.
    select
        What is looked up.
    """
    yield from unsendable(request, charset)
    if not restricts(request.keys) and not select.where.date_key(DATE, SOME_DAY):
        yield Issue(
            "The row has no key with a value, which would ask for everything the archive holds",
            "Give it a key with a value, or add a range of StudyDate to select.where",
            is_error=True,
        )
    if not select.date_tolerance:
        return
    for key in request.keys:
        if vr(key.path) == "DA" and not _is_date(key.value, select.date_tolerance):
            yield Issue(
                f"{key.path} is no date, so select.date_tolerance has nothing to count from",
                "Write days as 20200102, ranges as 20200102-20200203",
                is_error=True,
            )


def _is_date(text: str, days: int) -> bool:
    try:
        widened(text, days)
    except ValueError:
        return False
    return True
