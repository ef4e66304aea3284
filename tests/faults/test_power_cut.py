"""Power cuts: what was acknowledged is on the disk, and the ledger claims no more than that.

A program without any fsync survives every SIGKILL, so a run is recorded by a shim and the disk is
rebuilt as a power cut could leave it: in front of every call of the run, each time with nothing
unsynced, with unsynced removals alone, and with a random choice. Promises P2 and P4.
"""

import errno
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from random import Random
from shutil import rmtree

import pytest

from tests.conftest import OrthancFactory
from tests.support.acknowledged import acknowledged, data_sets, false_claims
from tests.support.extraction import Job
from tests.support.instances import specs
from tests.support.ports import free_port
from tests.support.power import Cut, Disk, Tree, files_below, history, write
from tests.support.scene import LEDGER, Result, Scene, modality, result, run_under
from tests.support.shim import Call, Event, Shim
from tests.support.written import data_set_of

NO_LINKS = f"link:{errno.EPERM}:1:0"
CUTS = (Cut.NONE, Cut.REMOVALS, Cut.SOME)
MUTATIONS = [  # paths below the root whose fsync is left out, and the power cut that shows it
    ("/out/.pydicombatch/spool/*", Cut.NONE),
    ("/out/.pydicombatch/spool", Cut.NONE),
    ("/out/P*/*/*", Cut.REMOVALS),
    ("/out/.pydicombatch", Cut.NONE),
    ("/out/P*", Cut.REMOVALS),
    ("/out", Cut.NONE),
    ("", Cut.NONE),
]


@pytest.fixture(scope="module")
def scene(start_orthanc: OrthancFactory) -> Scene:
    port = free_port()
    made = Scene(start_orthanc([modality(port)]), port, list(specs(patients=2, instances=4)))
    made.load()
    return made


def record(job: Job, fail: str = "", unsync: str = "") -> list[Event]:
    shim = Shim(job.folder / "disk", job.folder, fail=fail, unsync=unsync)
    ended = run_under(shim, job)
    assert ended.code == 0, ended.text
    return shim.events()


def lost(scene: Scene, root: Path, events: Sequence[Event], cut: Cut, seed: int = 0) -> set[str]:
    """Return the instances that are nowhere on a rebuilt disk at some moment after their answer.

    The answer is not sent yet when its event stands in the record, so the disk before it counts.
    """
    expected = digests(scene)
    promised: set[str] = set()
    missing: set[str] = set()
    random = Random(seed)
    for event, disk in history(root, events):
        uid = acknowledged(event)
        promised |= {uid} if uid else set()
        if promised and event.call is not Call.WRITE:
            there = data_sets(disk.after(cut, random))
            missing |= {one for one in promised if expected[one] not in there}
    assert promised == scene.uids(), "every instance was answered with success"
    return missing


def digests(scene: Scene) -> dict[str, bytes]:
    return {
        one.sop_uid: sha256(data_set_of(scene.archive.file(one.sop_uid))).digest()
        for one in scene.specs
    }


@dataclass(frozen=True)
class Recorded:
    """A run that was watched from its first call to its last."""

    job: Job
    events: list[Event]

    @property
    def root(self) -> Path:
        return self.job.folder / "disk"


@pytest.fixture(scope="module", params=["", NO_LINKS], ids=["hard links", "copies"])
def run(
    scene: Scene, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Recorded:
    job = scene.job(tmp_path_factory.mktemp("recorded"), request={"threads": 2})
    return Recorded(job, record(job, request.param))


def test_the_record_explains_every_file_byte_by_byte(run: Recorded, undisturbed: Result) -> None:
    assert result(run.job) == undisturbed
    disk = Disk(run.root)
    for event in run.events:
        disk.apply(event)
    assert disk.after(Cut.ALL, Random(0)) == files_below(run.root)


@pytest.mark.parametrize("cut", CUTS)
def test_f30_acknowledged_instances_survive_a_power_cut_at_any_moment(
    scene: Scene, run: Recorded, cut: Cut
) -> None:
    assert lost(scene, run.root, run.events, cut) == set()


def test_f30_the_ledger_never_claims_more_than_a_power_cut_leaves(run: Recorded) -> None:
    assert claims(run.root, run.events) == []


def claims(root: Path, events: Sequence[Event]) -> list[str]:
    return [claim for tree in different_disks(root, events) for claim in false_claims(tree)]


def different_disks(root: Path, events: Sequence[Event]) -> Iterator[Tree]:
    """Yield the rebuilt disks, those whose files have not changed since the last one left out."""
    seen: set[int] = set()
    random = Random(1)
    for _, disk in history(root, events):
        for cut in CUTS:
            tree = disk.after(cut, random)
            kept = {path: content for path, content in tree.items() if is_evidence(path)}
            key = hash(tuple(kept.items()))
            if any(path.startswith(LEDGER) for path in kept) and key not in seen:
                seen.add(key)
                yield tree


def is_evidence(path: str) -> bool:
    return path.startswith(LEDGER) or (path.endswith(".dcm") and "/spool/" not in path)


def test_a_program_that_leaves_out_one_kind_of_fsync_is_caught(
    scene: Scene, tmp_path: Path, full: bool
) -> None:
    """F30."""
    for number, (unsynced, cut) in enumerate(MUTATIONS if full else MUTATIONS[:3]):
        job = scene.job(tmp_path / str(number))
        root = (job.folder / "disk").resolve()
        events = record(job, unsync=f"{root}{unsynced}")
        assert lost(scene, root, events, cut) or claims(root, events), unsynced


def test_f30_a_run_after_a_power_cut_ends_as_if_there_had_been_none(
    scene: Scene, undisturbed: Result, tmp_path: Path, full: bool
) -> None:
    recorded = scene.job(tmp_path)
    root = tmp_path / "disk"
    events = record(recorded)
    random = Random(30)
    last = len(events) - 1
    moments = sorted({*random.sample(range(len(events)), 60 if full else 5), last})
    for moment in moments:
        disk = Disk(root)
        for event in events[:moment]:
            disk.apply(event)
        cut = random.choice(CUTS)
        rmtree(root)
        root.mkdir()
        write(disk.after(cut, random), root)
        ended = recorded.run()
        assert ended.code == 0, (moment, cut, ended.text)
        assert result(recorded) == undisturbed, (moment, cut)
