"""A narrow-minded archive, as some are: it answers what the standard demands, and no more.

It has no relational queries, knows required keys alone, takes AccessionNumber and PatientID for
wildcards on both sides, sends 100 matches at most, and counts nothing. Some answer at STUDY level
alone.
"""

from collections.abc import Iterator, Sequence
from typing import Self

from pydicom.dataset import Dataset
from pynetdicom import AE, evt
from pynetdicom.sop_class import (  # type: ignore[attr-defined]
    StudyRootQueryRetrieveInformationModelFind,
    StudyRootQueryRetrieveInformationModelMove,
    Verification,
)

from pydicombatch.core.wildcards import wildcard_matches
from tests.support.instances import Spec, dataset
from tests.support.ports import LOOPBACK, free_port

LIMIT = 100
UNIQUE = {"STUDY": "StudyInstanceUID", "SERIES": "SeriesInstanceUID", "IMAGE": "SOPInstanceUID"}
KNOWN = {
    "STUDY": ("StudyDate", "AccessionNumber", "StudyInstanceUID", "PatientID", "StudyDescription"),
    "SERIES": ("Modality", "SeriesNumber", "SeriesInstanceUID"),
    "IMAGE": ("InstanceNumber", "SOPInstanceUID"),
}
LOOSE = frozenset({"AccessionNumber", "PatientID"})
LEVELS = tuple(UNIQUE)


class StrictArchive:
    """Answers C-FIND of Study Root and moves nothing, on a free loopback port.

    Parameters
    ----------
    specs
        What it holds.
    aet
        Its AE title.
    answers
        Levels at which it can be asked; others are refused.
    """

    def __init__(
        self, specs: Sequence[Spec], aet: str = "STRICT", answers: Sequence[str] = LEVELS
    ) -> None:
        self.aet = aet
        self._answers = answers
        self.port = free_port()
        self.asked: list[Dataset] = []
        self._instances = [dataset(one) for one in specs]
        self._ae = AE(aet)
        self._ae.add_supported_context(Verification)
        self._ae.add_supported_context(StudyRootQueryRetrieveInformationModelFind)
        self._ae.add_supported_context(StudyRootQueryRetrieveInformationModelMove)

    def __enter__(self) -> Self:
        self._ae.start_server(
            (LOOPBACK, self.port),
            block=False,
            evt_handlers=[(evt.EVT_C_FIND, self._find), (evt.EVT_C_MOVE, self._move)],
        )
        return self

    def __exit__(self, *_: object) -> None:
        self._ae.shutdown()

    def _find(self, event: evt.Event) -> Iterator[tuple[int, Dataset | None]]:
        asked = event.identifier
        self.asked.append(asked)
        level = asked.get("QueryRetrieveLevel", "")
        above = LEVELS[: LEVELS.index(level)]
        if level not in self._answers or any(
            not _is_one(asked.get(UNIQUE[one], "")) for one in above
        ):
            yield 0xA900, None
            return
        sent: set[str] = set()
        for instance in self._instances:
            own = str(instance[UNIQUE[level]].value)
            if own in sent or not self._matches(instance, asked, (*above, level)):
                continue
            if len(sent) == LIMIT:
                return
            sent.add(own)
            yield 0xFF00, _answer(instance, asked, level, above)

    @staticmethod
    def _move(_event: evt.Event) -> Iterator[tuple[None, None]]:
        """Know no destination at all."""
        yield None, None

    @staticmethod
    def _matches(instance: Dataset, asked: Dataset, levels: Sequence[str]) -> bool:
        known = [name for level in levels for name in KNOWN[level]]
        return all(
            _fits(name, str(asked[name].value or ""), str(instance.get(name, "")))
            for name in known
            if name in asked
        )


def _is_one(value: object) -> bool:
    return bool(value) and not {"*", "?", "\\"} & set(str(value))


def _fits(name: str, wanted: str, found: str) -> bool:
    if not wanted:
        return True
    if name == "StudyDate" and "-" in wanted:
        first, last = wanted.split("-")
        return (first or "0") <= found <= (last or "9")
    return wildcard_matches(f"*{wanted}*" if name in LOOSE else wanted, found)


def _answer(instance: Dataset, asked: Dataset, level: str, above: Sequence[str]) -> Dataset:
    found = Dataset()
    found.QueryRetrieveLevel = level
    for name in [*KNOWN[level], *(UNIQUE[one] for one in above)]:
        if name in asked:
            setattr(found, name, instance.get(name, ""))
    return found
