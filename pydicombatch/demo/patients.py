"""The patients of the demo archive: five people who never lived, the same on every machine."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

from pydicom import Dataset

from pydicombatch.demo.instances import Painter, Slicer, ct, mammography, mr, ultrasound_clip
from pydicombatch.demo.modules import Patient, Series, Study, uid


@dataclass(frozen=True, slots=True)
class _Plan:
    """One series to be made: whose, what, and how each of its instances is painted."""

    patient: Patient
    study: Study
    series: Series
    instances: tuple[Painter, ...]


ADA = Patient("DEMO-0001", "Phantom^Ada", "19580312", "F")
BRUNO = Patient("DEMO-0002", "Phantom^Bruno", "19711105", "M")
ZOE = Patient("DEMO-0003", "Prüfkörper^Zoé", "19660204", "F")
HELENE = Patient("DEMO-0004", "Phantôme^Hélène", "19890621", "F", charset="ISO_IR 100")
OTTO = Patient("DEMO-0005", "Phantom^Otto", "20230708", "M")


def synthetic_instances() -> tuple[Dataset, ...]:
    """Make every instance of the demo archive, File Meta Information included.

    Always the same: no clock, no random number. Of five patients, two of whose names need more
    than ASCII (ISO_IR 192 and ISO_IR 100); CT, MR, MG and a multi-frame US; two studies have
    series that number their instances alike, as real ones do.
    """
    return tuple(instance for plan in _PLANS for instance in _made(plan))


def _made(plan: _Plan) -> Iterator[Dataset]:
    for number, paint in enumerate(plan.instances, start=1):
        yield paint(plan.patient, plan.study, plan.series, number)


def _volume(paint: Slicer, count: int) -> tuple[Painter, ...]:
    return tuple(partial(paint, position=(number + 0.5) / count) for number in range(count))


_VIEWS = tuple(
    partial(mammography, laterality=laterality, view=view)
    for view in ("CC", "MLO")
    for laterality in ("R", "L")
)

_CHEST = Study(uid("ada chest"), "20240115", "093012", "DEMO-A0001", "CT Chest", "1", "065Y")
_FOLLOW_UP = Study(uid("ada again"), "20240716", "141500", "DEMO-A0002", "CT Chest", "2", "066Y")
_BRAIN = Study(uid("bruno brain"), "20231122", "081545", "DEMO-A0003", "MR Brain", "1", "052Y")
_SCREENING = Study(
    uid("zoe screening 2022"),
    "20220310",
    "102030",
    "DEMO-A0004",
    "Mammography screening",
    "1",
    "056Y",
)
_NEXT_ROUND = Study(
    uid("zoe screening 2024"),
    "20240314",
    "113000",
    "DEMO-A0005",
    "Mammography screening",
    "2",
    "058Y",
)
_HEART = Study(
    uid("helene heart"), "20240501", "160705", "DEMO-A0006", "Échocardiographie", "1", "034Y"
)
_BABY = Study(uid("otto head"), "20240110", "070000", "DEMO-A0007", "CT Head", "1", "006M")

_PLANS = (
    _Plan(ADA, _CHEST, Series(uid("ada chest 1"), "CT", 1, "Chest lung", "CHEST"), _volume(ct, 12)),
    _Plan(
        ADA,
        _CHEST,
        Series(uid("ada chest 2"), "CT", 2, "Chest soft tissue", "CHEST"),
        _volume(ct, 6),
    ),
    _Plan(
        ADA, _FOLLOW_UP, Series(uid("ada again 1"), "CT", 1, "Chest lung", "CHEST"), _volume(ct, 6)
    ),
    _Plan(
        BRUNO,
        _BRAIN,
        Series(uid("bruno t1"), "MR", 1, "T1 axial", "HEAD"),
        _volume(partial(mr, fluid=150), 8),
    ),
    _Plan(
        BRUNO,
        _BRAIN,
        Series(uid("bruno t2"), "MR", 2, "T2 axial", "HEAD"),
        _volume(partial(mr, fluid=1800), 8),
    ),
    _Plan(ZOE, _SCREENING, Series(uid("zoe 2022"), "MG", 1, "Screening views", "BREAST"), _VIEWS),
    _Plan(ZOE, _NEXT_ROUND, Series(uid("zoe 2024"), "MG", 1, "Screening views", "BREAST"), _VIEWS),
    _Plan(
        HELENE,
        _HEART,
        Series(uid("helene clip"), "US", 1, "Quatre cavités", "HEART"),
        (ultrasound_clip,),
    ),
    _Plan(OTTO, _BABY, Series(uid("otto head 1"), "CT", 1, "Head", "HEAD"), _volume(ct, 5)),
)
