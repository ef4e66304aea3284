"""Instances that come on our own association: durable before they are acknowledged, or refused."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydicom.dataset import Dataset

from pydicombatch.core.attribution import Expectation
from pydicombatch.core.model import Arrival, Origin
from pydicombatch.receive.direct import DirectReceiver
from pydicombatch.receive.server.settings import Limits, Settings
from tests.support.instances import CT, Spec, dataset, to_bytes

EXPLICIT = "1.2.840.10008.1.2.1"
ORIGIN = Origin("ARCHIVE", "archive", "SAMPLE_AE", 7)


def data_of(ds: Dataset) -> bytes:
    raw = to_bytes(ds)
    return raw[144 + int.from_bytes(raw[140:144], "little") :]


class Scene:
    """A receiver on a spool of its own, and what it announced with the files that lay there."""

    def __init__(self, folder: Path, retained: tuple[int, ...] = (), **settings: object) -> None:
        self.spool = folder / "spool"
        self.spool.mkdir()
        values: dict[str, object] = {"port": 0, "aet": "SAMPLE_AE", "floor": 0} | settings
        made = Settings(spool=str(self.spool), run="1", **values)  # type: ignore[arg-type]
        self.receiver = DirectReceiver(made, lambda _: retained)
        self.heard: list[tuple[Arrival, list[str]]] = []
        self.receiver.start(lambda one: self.heard.append((one, self.files())))

    def files(self) -> list[str]:
        return sorted(one.name for one in self.spool.iterdir() if not one.name.startswith("1-0"))

    def send(self, spec: Spec, data: bytes, origin: Origin = ORIGIN, piece: int = 1000) -> int:
        deposit = self.receiver.begin(CT, spec.sop_uid, EXPLICIT, origin)
        for start in range(0, len(data), piece):
            deposit.write([memoryview(data[start : start + piece])])
        return deposit.finish()[0]

    def complete(self) -> list[str]:
        return [name for name in self.files() if name.endswith(".dcm")]


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    one = Scene(tmp_path)
    study = frozenset({Spec().study_uid})
    one.receiver.expect(Expectation(4, 7, (("StudyInstanceUID", study),)))
    yield one
    one.receiver.close()


def test_an_instance_lies_there_when_it_is_announced_and_acknowledged(scene: Scene) -> None:
    data = data_of(dataset(Spec()))
    assert scene.send(Spec(), data) == 0x0000
    ((arrival, there),) = scene.heard
    assert arrival.file.name in there
    assert arrival.requests == (4,)
    assert arrival.identifiers.sop_instance_uid == Spec().sop_uid
    content = (scene.spool / arrival.file.name).read_bytes()
    assert content.endswith(data)
    assert arrival.size == len(content)
    assert arrival.transfer_syntax_uid == EXPLICIT


@pytest.mark.parametrize("piece", [1, 7, 128, 10**9])
def test_it_does_not_matter_how_an_instance_is_cut(scene: Scene, piece: int) -> None:
    data = data_of(dataset(Spec()))
    assert scene.send(Spec(), data, piece=piece) == 0x0000


def test_an_instance_of_another_study_is_not_that_of_the_request(scene: Scene) -> None:
    other = Spec(study=2)
    assert scene.send(other, data_of(dataset(other))) == 0x0124
    assert (scene.heard, scene.complete()) == ([], [])
    assert scene.receiver.refused() == 1


def test_an_instance_that_an_earlier_request_named_belongs_to_that(tmp_path: Path) -> None:
    scene = Scene(tmp_path, retained=(2, 3))
    assert scene.send(Spec(), data_of(dataset(Spec()))) == 0x0000
    assert scene.heard[0][0].requests == (2, 3)


def test_unsolicited_instances_are_kept_if_they_are_welcome(tmp_path: Path) -> None:
    scene = Scene(tmp_path, unsolicited=True)
    assert scene.send(Spec(), data_of(dataset(Spec()))) == 0x0000
    assert scene.heard[0][0].requests == ()


@pytest.mark.parametrize("cut", [1, 2, 40, 300])
def test_what_ends_before_its_own_lengths_is_not_kept(scene: Scene, cut: int) -> None:
    data = data_of(dataset(Spec()))[:-cut]
    assert scene.send(Spec(), data) == 0xC000
    assert (scene.heard, scene.complete()) == ([], [])


def test_nothing_and_what_is_named_otherwise_are_refused(scene: Scene) -> None:
    assert scene.send(Spec(), b"") == 0xC000
    assert scene.send(Spec(instance=2), data_of(dataset(Spec()))) == 0xA900
    assert scene.complete() == []


def test_an_association_that_ends_in_between_leaves_nothing(scene: Scene) -> None:
    deposit = scene.receiver.begin(CT, Spec().sop_uid, EXPLICIT, ORIGIN)
    deposit.write([memoryview(data_of(dataset(Spec())))])
    deposit.drop()
    assert [name for name in scene.files() if name.endswith(".dcm")] == []
    scene.receiver.close()
    assert list(scene.spool.iterdir()) == []


def test_nothing_is_taken_below_the_floor(tmp_path: Path) -> None:
    scene = Scene(tmp_path, floor=1 << 62)
    scene.receiver.expect(Expectation(4, 7, ()))
    assert scene.send(Spec(), data_of(dataset(Spec()))) == 0xA700
    assert scene.receiver.is_full()


def test_an_instance_that_is_larger_than_any_is_refused_while_it_comes(tmp_path: Path) -> None:
    scene = Scene(tmp_path, limits=Limits(largest_object=500))
    scene.receiver.expect(Expectation(4, 7, ()))
    assert scene.send(Spec(), data_of(dataset(Spec()))) == 0xA700
    assert scene.complete() == []


def test_several_threads_get_names_of_their_own(scene: Scene) -> None:
    specs = [Spec(instance=number) for number in range(1, 41)]
    statuses: list[int] = []

    def work(mine: list[Spec]) -> None:
        statuses.extend(scene.send(one, data_of(dataset(one))) for one in mine)

    threads = [threading.Thread(target=work, args=(specs[n::4],)) for n in range(4)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert statuses == [0] * 40
    assert len(scene.complete()) == 40
    uids = {arrival.identifiers.sop_instance_uid for arrival, _ in scene.heard}
    assert uids == {one.sop_uid for one in specs}


def test_a_receiver_that_is_not_open_takes_nothing(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    scene.receiver.close()
    with pytest.raises(RuntimeError):
        scene.receiver.begin(CT, "1.2", EXPLICIT, ORIGIN)
