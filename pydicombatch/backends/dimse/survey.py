"""What a C-GET will bring, asked of the archive before: classes, syntaxes, else modalities."""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from pydicombatch.backends.dimse.contexts import Expected, companions, of_modality
from pydicombatch.core.errors import FatalError, RequestError, TransientError, Unreachable
from pydicombatch.core.model import Key, Request, RequestType, Verdict
from pydicombatch.core.model import Match as Row

Query = Callable[[Request, Callable[[Row], None]], Verdict]
LEVEL = "QueryRetrieveLevel"
STUDY, SERIES, IMAGE = "StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"
INSTANCES = "NumberOfSeriesRelatedInstances"
BELOW = {  # keys that do not belong to a query above their level (PS3.4 C.4.1.2)
    "STUDY": frozenset({SERIES, IMAGE}),
    "SERIES": frozenset({IMAGE}),
    "IMAGE": frozenset({"Modality", INSTANCES}),
}
CLASSES, CLASS, SYNTAX = "SOPClassesInStudy", "SOPClassUID", "AvailableTransferSyntaxUID"
REMEMBERED = 256  # studies whose answers are kept: their series are often asked for one by one
MOST_SERIES = 200  # of a request that are looked into

_UID = re.compile(r"(?=.{3,64}$)[0-9]+(\.[0-9]+)+")
Rows = list[dict[str, str]]


@dataclass(frozen=True, slots=True)
class Outlook:
    """What will come."""

    expected: tuple[Expected, ...]
    is_told: bool = False  # by the archive; else guessed


class Survey:
    """Asks as little as it can and learns what an archive answers.

    Parameters
    ----------
    query
        Sends a C-FIND.
    """

    def __init__(self, query: Query) -> None:
        self._query = query
        self.turn: Callable[[], None] = _at_once  # waits until one more query may leave
        self.asked = 0  # queries for the last request
        self._answers = True  # whether queries are answered at all
        self._tells_syntax: bool | None = None  # None: not known yet
        self._known: dict[tuple[Key, ...], Outlook] = {}

    def expected(self, request: Request) -> Outlook:
        """Return what will come, as far as it can be found out.

        Raises
        ------
        Unreachable
            If the archive is gone.
        """
        self.asked = 0
        keys = tuple(key for key in request.keys if key.path not in {LEVEL, SERIES, IMAGE})
        level = request.value(LEVEL).upper()
        if level == "IMAGE":
            images = tuple(self._images(request))
            if images:
                return Outlook(images, is_told=True)
        return self._of_study(request, keys)

    def _of_study(self, request: Request, keys: tuple[Key, ...]) -> Outlook:
        if keys in self._known:
            return self._known[keys]
        found = self._look(request)
        if len(self._known) >= REMEMBERED:
            self._known.clear()
        self._known[keys] = found
        return found

    def _look(self, request: Request) -> Outlook:
        studies = self._ask(
            request, "STUDY", STUDY, CLASSES, "ModalitiesInStudy", "NumberOfStudyRelatedInstances"
        )
        classes = tuple(_of_classes(studies))
        if classes and self._tells_syntax is False:
            return Outlook(classes, is_told=True)
        images, modalities = self._look_into_series(request, studies, enough=bool(classes))
        if classes or images:
            return Outlook((*images, *classes), is_told=True)
        return Outlook(tuple(_guessed(modalities or _of_studies(studies))))

    def _look_into_series(
        self, request: Request, studies: Rows, *, enough: bool
    ) -> tuple[list[Expected], Counter[str]]:
        """Ask for the instances of each series; end early if they tell nothing more."""
        images: list[Expected] = []
        modalities: Counter[str] = Counter()
        is_first = True
        for series in self._series(request, studies):
            modalities[series.value("Modality")] += _count(series.value(INSTANCES))
            if self._tells_syntax is False and enough:
                break
            if self._tells_syntax is not False or images or is_first:
                images += self._images(series)
            is_first = False
        return images, modalities

    def _series(self, request: Request, studies: Rows) -> Iterator[Request]:
        """Yield the series of the studies, each as a request for its images."""
        for study in studies:
            inside = _narrowed(request, {STUDY: study[STUDY]})
            rows = self._ask(inside, "SERIES", SERIES, "Modality", INSTANCES)
            for row in rows[:MOST_SERIES]:
                yield _narrowed(inside, row)

    def _images(self, request: Request) -> Iterator[Expected]:
        rows = self._ask(request, "IMAGE", IMAGE, CLASS, SYNTAX)
        if rows:
            told = any(row[SYNTAX] for row in rows)
            self._tells_syntax = told or bool(self._tells_syntax)
        counts = Counter((_uid(row[CLASS]), _uid(row[SYNTAX])) for row in rows if _uid(row[CLASS]))
        for (sop_class, syntax), count in counts.items():
            yield Expected(sop_class, syntax, count)

    def _ask(self, request: Request, level: str, *wanted: str) -> Rows:
        """Send a query; no answer is an answer, too: then nothing is known."""
        if not self._answers:
            return []
        keys = {LEVEL: Key(LEVEL, level)}
        keys |= {path: Key(path) for path in wanted}
        given = (key for key in request.keys if key.path not in BELOW[level] | {LEVEL})
        keys |= {key.path: key for key in given}
        asked = Request(request.identity, request.row, RequestType.FIND, request.model,
                        tuple(keys.values()))  # fmt: skip
        rows: Rows = []
        if self.asked:  # the first one goes in place of the retrieve that was let through
            self.turn()
        self.asked += 1
        try:
            verdict = self._query(asked, lambda row: rows.append(dict(row.values)))
        except Unreachable:
            raise
        except (FatalError, TransientError):  # queries are not offered, or end the association
            self._answers = False
            return []
        except RequestError:
            return []
        return rows if verdict is Verdict.DONE else []


def _at_once() -> None:
    """Let a query leave."""


def _of_classes(studies: Rows) -> Iterator[Expected]:
    for study in studies:
        classes = list(filter(None, map(_uid, study[CLASSES].split("\\"))))
        share = _count(study["NumberOfStudyRelatedInstances"]) // max(1, len(classes))
        for one in classes:
            yield Expected(one, "", max(1, share))


def _of_studies(studies: Rows) -> Counter[str]:
    several = (study["ModalitiesInStudy"].split("\\") for study in studies)
    return Counter(one for modalities in several for one in modalities if one)


def _guessed(modalities: Counter[str]) -> Iterator[Expected]:
    for modality, count in modalities.most_common():
        yield from of_modality(modality, count)
    if modalities:
        yield from companions()


def _uid(text: str) -> str:
    """Return the first UID of a value; "" if it cannot be proposed as one (PS3.5 9.1)."""
    first = text.split("\\", maxsplit=1)[0].strip(" \0")
    return first if _UID.fullmatch(first) else ""


def _narrowed(request: Request, values: Mapping[str, str]) -> Request:
    keys = {key.path: key for key in request.keys}
    keys |= {path: Key(path, value) for path, value in values.items() if value}
    return Request(request.identity, request.row, request.type, request.model, tuple(keys.values()))


def _count(text: str) -> int:
    return int(text) if text.isdecimal() and len(text) < 10 else 1  # noqa: PLR2004 - IS has 12
