"""What a fake archive holds: answers to queries, and C-STOREs, taken from real data sets."""

from collections.abc import Callable, Iterable, Sequence

from pydicom.dataset import Dataset

from tests.support.fake_archive import Asked, Final, Pending, Step, Store

UNIQUE = {"STUDY": "StudyInstanceUID", "SERIES": "SeriesInstanceUID", "IMAGE": "SOPInstanceUID"}
COUNTS = {"STUDY": "NumberOfStudyRelatedInstances", "SERIES": "NumberOfSeriesRelatedInstances"}


def matches(instances: Iterable[Dataset], identifier: Dataset) -> list[Dataset]:
    """Return the instances that an identifier names by its UIDs."""
    return [one for one in instances if all(_fits(one, identifier, key) for key in UNIQUE.values())]


def _fits(one: Dataset, identifier: Dataset, key: str) -> bool:
    asked = identifier.get(key) or []
    values = [asked] if isinstance(asked, str) else list(asked)
    return not values or getattr(one, key) in values


def answering(
    instances: Sequence[Dataset],
    *,
    counts: bool = True,
    at_once: bool = True,
    lists: bool = True,
) -> Callable[[Asked], Sequence[Step]]:
    """Answer queries as an archive with these instances does.

    Parameters
    ----------
    counts
        Whether it knows NumberOf…RelatedInstances.
    at_once
        Whether it lists the instances of a study without a Series Instance UID.
    lists
        Whether it answers at the IMAGE level at all.
    """

    def answer(asked: Asked) -> Sequence[Step]:
        level = asked.identifier.QueryRetrieveLevel
        hierarchical = bool(asked.identifier.get("SeriesInstanceUID"))
        if level == "IMAGE" and not (lists and (at_once or hierarchical)):
            return [Final(0xA900)]
        found: dict[str, list[Dataset]] = {}
        for one in matches(instances, asked.identifier):
            found.setdefault(getattr(one, UNIQUE[level]), []).append(one)
        rows: list[Step] = [Pending(match=_row(asked, group, counts)) for group in found.values()]
        return [*rows, Final()]

    return answer


def moving(instances: Sequence[Dataset]) -> Callable[[Asked], Sequence[Step]]:
    """Send what a C-MOVE names."""
    return lambda asked: sending(matches(instances, asked.identifier))


def _row(asked: Asked, group: list[Dataset], counts: bool) -> Dataset:
    row = Dataset()
    level = asked.identifier.QueryRetrieveLevel
    for key in (*UNIQUE.values(), "PatientID"):
        if key in asked.identifier and key in group[0]:
            setattr(row, key, getattr(group[0], key))
    if counts and level in COUNTS:
        setattr(row, COUNTS[level], len(group))
    return row


def sending(instances: Iterable[Dataset], final: Final | None = None) -> list[Step]:
    """Send these, and say so."""
    steps: list[Step] = [Store(one) for one in instances]
    return [*steps, final or Final(completed=len(steps), failed=0, warning=0)]
