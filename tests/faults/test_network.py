"""Network faults between the program and a real Orthanc, in both directions, by a TCP proxy.

F01 dropped associations, F16 an archive that is away for a while, F17 half-open connections,
F18 slow and byte-wise delivery; and seeded mixtures of them, after which rows and files are those
of an undisturbed run.
"""

import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path

import pytest
from pydicom import Dataset
from pydicom.filereader import read_dataset

from tests.conftest import OrthancFactory
from tests.support.extraction import Job
from tests.support.instances import Spec, files, specs
from tests.support.orthanc import OrthancServer
from tests.support.ports import free_port
from tests.support.proxy import CLEAN, End, Fault, Mixture, Plan, Proxy, always, first
from tests.support.scene import Result, Scene, modality, result
from tests.support.wiretap import Wiretap
from tests.support.written import write_csv

SETTINGS = {"DicomScuTimeout": 1, "DicomScpTimeout": 5}  # Orthanc must not wait for us for long
TIMEOUTS = {"quiet": 1, "grace": 5, "response": 3, "association": 2, "connect": 2}
QUICK_SEEDS = range(1, 4)
ALL_SEEDS = range(1, 21)


@dataclass
class Between:
    """Our program, two proxies and an archive: `out` to the archive, `back` from it to us."""

    scene: Scene
    out: Proxy
    back: Proxy

    def job(self, folder: Path, **more: object) -> Job:
        sections: dict[str, object] = {
            "pacs": {"timeouts": TIMEOUTS},
            "retry": {"attempts": 100, "wait": 0.1, "longest_wait": 0.3, "outage": 30},
            "request": {"threads": 2},
            **more,
        }
        return self.scene.job(folder, self.out, **sections)


@pytest.fixture(scope="module")
def orthanc_and_ports(start_orthanc: OrthancFactory) -> tuple[OrthancServer, int, int]:
    local, towards_us = free_port(), free_port()
    return start_orthanc([modality(towards_us)], SETTINGS), local, towards_us


@pytest.fixture(scope="module")
def scene(orthanc_and_ports: tuple[OrthancServer, int, int]) -> Scene:
    orthanc, local, _ = orthanc_and_ports
    made = Scene(orthanc, local, list(specs(patients=4, instances=4)))
    made.load()
    return made


@pytest.fixture
def between(scene: Scene, orthanc_and_ports: tuple[OrthancServer, int, int]) -> Iterator[Between]:
    orthanc, local, towards_us = orthanc_and_ports
    with (
        Proxy(orthanc.port, aet=orthanc.aet, forgets=1) as out,
        Proxy(local, port=towards_us) as back,
    ):
        yield Between(scene, out, back)


@pytest.fixture(scope="module")
def undisturbed(
    scene: Scene,
    orthanc_and_ports: tuple[OrthancServer, int, int],
    tmp_path_factory: pytest.TempPathFactory,
) -> Result:
    _, local, towards_us = orthanc_and_ports
    job = scene.job(tmp_path_factory.mktemp("undisturbed"))
    with Proxy(local, port=towards_us):
        ended = job.run()
    assert ended.code == 0, ended.text
    return result(job)


@pytest.mark.timeout(3600)
def test_random_cuts_stalls_and_half_open_connections_change_nothing_in_the_result(
    between: Between, undisturbed: Result, tmp_path: Path, full: bool
) -> None:
    """F01."""
    for seed in ALL_SEEDS if full else QUICK_SEEDS:
        between.out.plan = Mixture(seed, share=0.5, most=3000)
        between.back.plan = struck(Mixture(-seed, share=0.5, most=20000))
        between.out.connections = between.back.connections = 0
        before = between.out.faults + between.back.faults
        job = between.job(tmp_path / str(seed))
        ended = job.run()
        assert ended.code == 0, (seed, ended.text)
        assert result(job) == undisturbed, seed
        assert between.out.faults + between.back.faults > before, f"seed {seed} disturbs nothing"


def struck(mixture: Mixture) -> Plan:
    """Let the first connection suffer whatever the dice say, before its association stands."""
    early = replace(mixture, share=1.0, most=3000)
    return lambda number: mixture(number) if number else early(number)


def test_f01_an_association_that_is_dropped_every_third_request_repeats_nothing_finished(
    scene: Scene, between: Between, undisturbed: Result, tmp_path: Path
) -> None:
    with Proxy(scene.archive.port, aet=scene.archive.aet, drop_every=3) as dropping:
        job = scene.job(
            tmp_path, dropping, pacs={"timeouts": TIMEOUTS}, retry={"wait": 0.1, "attempts": 9}
        )
        ended = job.run()
        assert ended.code == 0, ended.text
        assert dropping.faults >= 1
        assert result(job) == undisturbed
        # four requests, a query each that verifies them, and what was dropped at most once more;
        # the C-ECHOs are none of them
        served = dropping.requests - dropping.faults
        assert len(scene.studies()) <= served <= 2 * len(scene.studies())
        assert sum(attempts_of(job)) <= len(scene.studies()) + dropping.faults


def test_f16_while_the_archive_is_away_everybody_waits_and_no_attempt_is_burnt(
    between: Between, undisturbed: Result, tmp_path: Path
) -> None:
    # a run that never reached its archive gives up after `attempts` knocks
    job = between.job(tmp_path, retry={"attempts": 30, "wait": 0.2, "longest_wait": 0.5})
    between.out.refuse()
    timer = threading.Timer(3, between.out.accept)
    timer.start()
    ended = job.run()
    timer.join()
    assert ended.code == 0, ended.text
    assert result(job) == undisturbed
    assert attempts_of(job) == [1] * len(between.scene.studies())


def attempts_of(job: Job) -> list[int]:
    """Return how often each request was sent."""
    with closing(sqlite3.connect(job.state / "ledger.sqlite")) as db:
        sql = "SELECT count(*) FROM attempt GROUP BY request"
        return [number for (number,) in db.execute(sql)]


@pytest.mark.parametrize("end", [End.HOLE, End.HALF])
def test_f17_a_half_open_connection_to_the_archive_ends_within_its_timeout(
    between: Between, undisturbed: Result, tmp_path: Path, end: End
) -> None:
    between.out.plan = first(2, Fault(after=400, end=end))
    job = between.job(tmp_path)
    begun = time.monotonic()
    ended = job.run()
    assert ended.code == 0, ended.text
    assert result(job) == undisturbed
    assert between.out.faults == 2
    assert time.monotonic() - begun < 30


@pytest.mark.parametrize("end", [End.HOLE, End.HALF, End.FIN, End.RST])
def test_f17_a_connection_of_the_archive_to_us_that_dies_costs_one_attempt_at_most(
    between: Between, undisturbed: Result, tmp_path: Path, end: End
) -> None:
    between.back.plan = first(1, Fault(after=6000, end=end))
    job = between.job(tmp_path)
    ended = job.run()
    assert ended.code == 0, ended.text
    assert between.back.faults == 1
    assert result(job) == undisturbed
    assert sum(attempts_of(job)) <= len(between.scene.studies()) + 1


def test_f02_what_a_cut_transfer_lacks_is_asked_for_by_its_uids_and_nothing_else(
    between: Between, tmp_path: Path
) -> None:
    large = [Spec(patient=90, instance=one, rows=128, columns=128) for one in range(1, 5)]
    archive = between.scene.archive
    archive.load(files(iter(large)))
    between.back.plan = first(1, Fault(after=80_000, end=End.RST))  # in the third of 33 kB each
    with Wiretap(archive.port) as wire:
        job = between.job(tmp_path, pacs={"timeouts": TIMEOUTS, "port": wire.port})
        write_csv(job.batch, [["StudyInstanceUID"], [large[0].study_uid]])
        ended = job.run()
        asked = [identifier(one) for one in wire.data_sets()]
    assert ended.code == 0, ended.text
    assert between.back.faults == 1
    assert set(job.stored()) == {one.sop_uid for one in large}
    named = [set(found) for one in asked if (found := one.get("SOPInstanceUID"))]
    assert [len(one) for one in named] == [2]  # all four are stored: these are the other two
    assert named[0] < {one.sop_uid for one in large}


def identifier(data_set: bytes) -> Dataset:
    """Read the identifier of a request (PS3.4 C.4.1.1.3)."""
    return read_dataset(BytesIO(data_set), is_implicit_VR=False, is_little_endian=True)


@pytest.mark.parametrize(
    "fault", [Fault(piece=1), Fault(rate=40_000)], ids=["one byte per segment", "40 kB/s"]
)
def test_f18_slow_delivery_in_both_directions_is_no_fault(
    between: Between, undisturbed: Result, tmp_path: Path, fault: Fault
) -> None:
    between.out.plan = between.back.plan = always(fault)
    job = between.job(tmp_path)  # Orthanc waits a second only, so it may need an attempt more
    ended = job.run()
    assert ended.code == 0, ended.text
    assert result(job) == undisturbed


def test_a_clean_proxy_carries_a_run_unchanged(
    between: Between, undisturbed: Result, tmp_path: Path
) -> None:
    between.out.plan = between.back.plan = always(CLEAN)
    job = between.job(tmp_path)
    assert job.run().code == 0
    assert result(job) == undisturbed
    assert between.back.connections >= 1
