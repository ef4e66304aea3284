"""The anonymizing processor with a real spool, store, quarantine and worker process."""

import hashlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Self

import psutil
import pytest
from pydicom import dcmread
from pydicom.encaps import encapsulate
from pydicom.uid import MPEG4HP41

from pydicombatch.core.errors import ConfigError, FatalError
from pydicombatch.core.model import Arrival, Known, Quarantined, Stored
from pydicombatch.process.anonymize.pseudonyms import Pseudonyms
from pydicombatch.process.anonymized import TWINS, AnonymizingProcessor
from pydicombatch.process.claims import Claims
from pydicombatch.process.messages import Job, Made, Refused
from pydicombatch.process.recipe import Recipe
from pydicombatch.process.workers import PAUSE, STARTS, Workers
from pydicombatch.receive.spool import Spool
from pydicombatch.store.commit import Store
from pydicombatch.store.layout import Layout
from pydicombatch.store.quarantine import Quarantine
from tests.support.fakes import carried_out
from tests.support.instances import Spec, dataset, file, to_bytes

LAYOUT = Layout(("PatientID", "Modality"), "SOPInstanceUID")
KEY = Pseudonyms.of("a key of this test, long enough")
BASIC = Recipe(options=(), key=KEY)
CANARY = "QZXCANARY"


class House:
    """All that a processor needs below one directory; `out` apart from what is identified."""

    def __init__(self, root: Path, workers: Workers, *, decompress: bool = False) -> None:
        self.root = root
        self.workers = workers
        self.owners: dict[str, str] = {}
        self.spool = Spool(root / "state" / "spool")
        self.spool.prepare()
        store = Store(root / "out", root / "work")
        store.prepare()
        quarantine = Quarantine(root / "state" / "quarantine")
        quarantine.prepare()
        identified = root / "state" / "identified"
        identified.mkdir()
        self.processor = AnonymizingProcessor(
            self.spool,
            store,
            LAYOUT,
            quarantine,
            workers,
            Claims(self.owners.get),
            identified,
            decompress,
        )

    def arrive(self, content: bytes) -> Arrival:
        name = self.spool.write("r1", (4,), [content])
        return next(one for one in self.spool.leftovers() if one.file == name)

    def process(self, content: bytes, known: Known | None = None) -> Stored | Quarantined:
        return carried_out(self.processor, self.arrive(content), known)

    def store(self, content: bytes, known: Known | None = None) -> Stored:
        done = self.process(content, known)
        assert isinstance(done, Stored), done
        return done

    def left(self) -> list[Path]:
        """Files that nobody should have left."""
        places = (self.root / "work", self.root / "state" / "identified")
        return [path for place in places for path in place.iterdir()]


@pytest.fixture(scope="module")
def workers() -> Iterator[Workers]:
    with Workers(BASIC, 1) as pool:
        yield pool


@pytest.fixture
def house(tmp_path: Path, workers: Workers) -> House:
    return House(tmp_path, workers)


def identified(spec: Spec = Spec()) -> bytes:  # noqa: B008 - frozen
    ds = dataset(spec)
    ds.PatientName = CANARY
    return to_bytes(ds)


def test_path_size_and_digest_are_those_of_the_anonymized_file(house: House) -> None:
    stored = house.store(identified())
    content = (house.root / "out" / stored.path).read_bytes()
    ds = dcmread(BytesIO(content))
    assert stored.path == f"{ds.PatientID}/CT/{ds.SOPInstanceUID}.dcm"
    assert ds.PatientID == KEY.patient("P00001")
    assert (stored.size, stored.sha256) == (len(content), hashlib.sha256(content).hexdigest())
    assert stored.stored_uid == ds.SOPInstanceUID == KEY.uid(Spec().sop_uid)
    assert stored.arrival.identifiers.sop_instance_uid == Spec().sop_uid
    assert CANARY.encode() not in content
    assert house.left() == []


def test_the_spool_file_stays_until_it_is_discarded(house: House) -> None:
    stored = house.store(identified())
    assert house.spool.leftovers() == [stored.arrival]
    house.processor.discard(stored.arrival)
    assert house.spool.leftovers() == []


def test_the_same_instance_again_is_a_duplicate(house: House) -> None:
    first = house.store(identified())
    house.processor.discard(first.arrival)
    again = house.store(identified(), Known(first.path, first.sha256))
    assert (again.duplicate, again.aside, again.path) == (True, "", first.path)


def test_the_same_original_again_is_recognised_although_its_script_writes_the_time(
    tmp_path: Path,
) -> None:
    script = tmp_path / "clock.script"
    script.write_text(
        '<script><e en="T" t="00080018" n="SOPInstanceUID">@hashuid(1.2.3,this)</e>'
        '<e en="T" t="00120063" n="DeidentificationMethod">@always()@date(.)@time(.)</e>'
        '<r en="T" t="unspecifiedelements">x</r></script>'
    )
    with Workers(Recipe(script=script, mode="compatible"), 1) as pool:
        house = House(tmp_path / "house", pool)
        first = house.store(identified())
        assert first.received_sha256 == hashlib.sha256(identified()).hexdigest()
        path = house.root / "out" / first.path
        before = path.read_bytes()
        earlier = Known(first.path, "00" * 32, first.received_sha256)  # as at another second
        again = house.store(identified(), earlier)
        assert (again.duplicate, again.aside, again.path) == (True, "", first.path)
        path.unlink()  # moved away: then it is made again
        anew = house.store(identified(), earlier)
        assert (anew.duplicate, anew.path) == (False, first.path)
        assert path.stat().st_size == len(before)
    assert list((house.root / "state" / "quarantine").iterdir()) == []


def test_other_content_under_a_known_uid_replaces_nothing(house: House) -> None:
    first = house.store(identified())
    before = (house.root / "out" / first.path).read_bytes()
    changed = dataset(Spec())
    changed.Rows, changed.PixelData = 8, changed.PixelData[:256]
    again = house.store(to_bytes(changed), Known(first.path, first.sha256))
    assert again.duplicate
    assert again.aside
    assert (house.root / "out" / first.path).read_bytes() == before


def test_a_second_original_of_one_anonymized_uid_is_quarantined(house: House) -> None:
    house.owners[KEY.uid(Spec().sop_uid)] = "1.2.another"
    done = house.process(identified())
    assert isinstance(done, Quarantined)
    assert done.reason == TWINS
    assert not any(path.is_file() for path in (house.root / "out").rglob("*"))
    assert house.left() == []


@pytest.mark.parametrize("damage", ["half", "nothing", "noise"])
def test_what_cannot_be_anonymized_is_quarantined_as_it_came(house: House, damage: str) -> None:
    whole = identified()
    raw = {"half": whole[: len(whole) // 2], "nothing": whole[:132], "noise": bytes(400)}[damage]
    done = house.process(raw)
    assert isinstance(done, Quarantined)
    assert (house.root / "state" / "quarantine" / done.file).read_bytes() == raw
    assert not any(path.is_file() for path in (house.root / "out").rglob("*"))
    assert house.left() == []


def test_images_are_decompressed_before_they_are_anonymized(
    tmp_path: Path, workers: Workers
) -> None:
    house = House(tmp_path, workers, decompress=True)
    stored = house.store(file(Spec(), "jpeg-lossless"))
    ds = dcmread(house.root / "out" / stored.path)
    assert ds.file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.1"
    assert ds.PixelData == dcmread(BytesIO(file(Spec()))).PixelData
    assert house.left() == []


def test_an_image_that_no_decoder_takes_is_anonymized_as_it_came_and_counted(
    tmp_path: Path, workers: Workers, caplog: pytest.LogCaptureFixture
) -> None:
    house = House(tmp_path, workers, decompress=True)
    ds = dataset(Spec())
    ds.PatientName = CANARY
    ds.file_meta.TransferSyntaxUID = MPEG4HP41
    ds.PixelData = encapsulate([b"no frame of any video"])
    ds["PixelData"].is_undefined_length = True
    stored = house.store(to_bytes(ds))
    assert stored.kept
    assert [one.message for one in caplog.records] == [
        'decompress.kept reason="its transfer syntax is not decoded here"'
    ]
    assert house.left() == []
    content = (house.root / "out" / stored.path).read_bytes()
    assert b"no frame of any video" in content
    assert dcmread(BytesIO(content)).file_meta.TransferSyntaxUID == MPEG4HP41
    for secret in (CANARY, Spec().sop_uid, Spec().patient_id):
        assert secret.encode() not in content


def test_an_image_that_is_decompressed_is_not_counted_as_kept(
    tmp_path: Path, workers: Workers
) -> None:
    house = House(tmp_path, workers, decompress=True)
    assert not house.store(file(Spec(), "jpeg-lossless")).kept
    assert not house.store(identified(Spec(instance=2))).kept


def children() -> set[psutil.Process]:
    return set(psutil.Process().children())


def test_a_worker_that_is_killed_is_replaced_and_the_file_tried_once_more(tmp_path: Path) -> None:
    source = tmp_path / "in.dcm"
    source.write_bytes(identified())
    others = children()
    with Workers(BASIC, 1) as pool:
        for number in range(3):
            made = pool.carry_out(Job(source, tmp_path / f"{number}.dcm"))
            assert isinstance(made, Made)
            (child,) = children() - others
            child.send_signal(signal.SIGKILL)
    assert children() == others


class Killer:
    """Kills so many worker processes as soon as they are there, before they are ready."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._others = children()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._kill)
        self.killed = 0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _kill(self) -> None:
        seen = set(self._others)
        while not self._over.wait(0.005) and self.killed < self._most:
            for child in children() - seen:
                seen.add(child)
                child.kill()
                self.killed += 1


def test_a_worker_that_is_killed_while_it_starts_is_started_again(tmp_path: Path) -> None:
    source = tmp_path / "in.dcm"
    source.write_bytes(identified())
    pauses: list[float] = []
    with Killer(STARTS - 1) as killer, Workers(BASIC, 1, pauses.append) as pool:
        assert isinstance(pool.carry_out(Job(source, tmp_path / "out.dcm")), Made)
    assert killer.killed == STARTS - 1
    assert pauses == [PAUSE] * (STARTS - 1)


def test_workers_that_never_start_end_the_run_with_one_sentence(tmp_path: Path) -> None:
    source = tmp_path / "in.dcm"
    source.write_bytes(identified())
    pauses: list[float] = []
    with (
        Killer(100) as killer,
        Workers(BASIC, 1, pauses.append) as pool,
        pytest.raises(FatalError, match="cannot be started, 4 times in a row"),
    ):
        pool.carry_out(Job(source, tmp_path / "out.dcm"))
    assert (killer.killed, len(pauses)) == (STARTS, STARTS - 1)
    assert [path.name for path in tmp_path.iterdir()] == ["in.dcm"]


def test_a_file_that_ends_its_worker_twice_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    source = tmp_path / "pipe.dcm"
    os.mkfifo(source)  # its worker waits for a writer until it is killed
    whole = tmp_path / "whole.dcm"
    whole.write_bytes(identified())
    target = tmp_path / "work" / "x.part"
    target.parent.mkdir()
    others = children()
    done: list[Made | Refused] = []
    with Workers(BASIC, 1) as pool:
        thread = threading.Thread(target=lambda: done.append(pool.carry_out(Job(source, target))))
        thread.start()
        killed: set[psutil.Process] = set()
        while thread.is_alive():
            for child in children() - others - killed:
                if waits_for_a_writer(child):
                    (target.parent / f".{child.pid}-0.part").touch()
                    child.kill()
                    killed.add(child)
            thread.join(0.05)
        assert len(killed) == 2
        assert done == [Refused("The process that anonymizes it ended twice, or took too long")]
        assert list(target.parent.iterdir()) == []
        assert isinstance(pool.carry_out(Job(whole, target)), Made)


def waits_for_a_writer(child: psutil.Process) -> bool:
    """Whether a process opens a pipe that nobody writes into."""
    try:
        names = [Path(f"/proc/{child.pid}/task/{t.id}/wchan").read_text() for t in child.threads()]
    except OSError:
        return False
    return any("partner" in name for name in names)


def test_workers_end_with_the_process_that_started_them(tmp_path: Path) -> None:
    code = (
        "import sys, time\n"
        "from pathlib import Path\n"
        "from pydicombatch.process.anonymize.pseudonyms import Pseudonyms\n"
        "from pydicombatch.process.messages import Job\n"
        "from pydicombatch.process.recipe import Recipe\n"
        "from pydicombatch.process.workers import Workers\n"
        "pool = Workers(Recipe(options=(), key=Pseudonyms.of('k' * 32)), 1)\n"
        "pool.carry_out(Job(Path('in.dcm'), Path('out.dcm')))\n"
        "print('ready', flush=True)\n"
        "time.sleep(100)\n"
    )
    (tmp_path / "in.dcm").write_bytes(identified())
    root = str(Path(__file__).parents[2])
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": root},
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    children = psutil.Process(process.pid).children()
    assert len(children) == 1
    process.kill()
    process.wait()
    process.stdout.close()
    assert psutil.wait_procs(children, timeout=10)[1] == []


def test_a_full_disk_stops_the_run_and_quarantines_nothing(tmp_path: Path) -> None:
    with Workers(BASIC, 1) as pool:
        house = House(tmp_path, pool)
        (tmp_path / "work").rmdir()  # as good as full: nothing can be written
        with pytest.raises(FatalError) as caught:
            house.process(identified())
    assert "ENOENT" in caught.value.problem
    assert list((tmp_path / "state" / "quarantine").iterdir()) == []
    assert len(house.spool.leftovers()) == 1


def test_a_script_that_has_become_unusable_is_said_by_its_error(tmp_path: Path) -> None:
    source = tmp_path / "in.dcm"
    source.write_bytes(identified())
    with Workers(Recipe(script=tmp_path / "gone.script"), 1) as pool:
        for _ in range(2):
            with pytest.raises(ConfigError):
                pool.carry_out(Job(source, tmp_path / "out.dcm"))
    assert not (tmp_path / "out.dcm").exists()


def test_a_profile_without_a_key_is_refused() -> None:
    with pytest.raises(ConfigError, match="has no key"):
        Recipe(options=()).compile()
    assert "test, long" not in repr(BASIC)


def test_a_profile_without_a_script_gives_no_warning_and_writes_no_file(tmp_path: Path) -> None:
    mapping = tmp_path / "map.csv"
    assert Recipe(options=(), key=KEY, mapping_file=mapping).warnings() == ()
    assert not mapping.exists()
    script = tmp_path / "s.script"
    script.write_text('<script><e en="T" t="00100010" n="PatientName">x</e></script>')
    assert Recipe(script=script, mapping_file=mapping).warnings() != ()
    assert not mapping.exists()
