import errno
import os
import stat
import threading
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import pytest

from pydicombatch.core.errors import FatalError
from pydicombatch.store import tree
from pydicombatch.store.commit import Committed, Store
from pydicombatch.store.layout import beside
from pydicombatch.store.quarantine import Quarantine
from tests.support.instances import Spec, file

ONE, TWO = Spec(instance=1), Spec(instance=2)
TARGET = PurePosixPath("P1/1.2/5.dcm")


@pytest.fixture(params=[True, False], ids=["links", "no-links"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    made = Store(
        tmp_path / "out", tmp_path / "out/.state/work", ["results.csv"], hard_links=request.param
    )
    made.prepare()
    return made


@pytest.fixture(autouse=True)
def no_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


def spooled(tmp_path: Path, spec: Spec, more: bytes = b"") -> Path:
    path = tmp_path / f"{spec.instance}{len(more)}.dcm"
    path.write_bytes(file(spec) + more)
    path.chmod(0o600)
    return path


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_an_instance_lies_whole_at_its_path_and_its_source_stays(
    store: Store, tmp_path: Path
) -> None:
    source = spooled(tmp_path, ONE)
    assert store.commit(source, TARGET, ONE.sop_uid) == Committed("P1/1.2/5.dcm")
    final = tmp_path / "out" / TARGET
    assert final.read_bytes() == source.read_bytes()
    assert store.size("P1/1.2/5.dcm") == source.stat().st_size
    assert list((tmp_path / "out/.state/work").iterdir()) == []


def inodes_synced(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    synced: list[int] = []
    monkeypatch.setattr(tree, "sync", lambda handle: synced.append(os.fstat(handle).st_ino))
    return synced


def test_a_visit_syncs_each_directory_once_at_its_end(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = spooled(tmp_path, ONE)
    for name in "12":
        store.commit(source, PurePosixPath(f"P1/{name}/0.dcm"), ONE.sop_uid)
    one, two = ((tmp_path / f"out/P1/{name}").stat().st_ino for name in "12")
    synced = inodes_synced(monkeypatch)
    with store.visit() as visit:
        for path in ("1/a", "2/a", "1/b", "2/b"):
            visit.commit(source, PurePosixPath(f"P1/{path}.dcm"), ONE.sop_uid)
        assert synced == []
    assert synced == [one, two]


def test_an_error_of_the_sync_is_told_at_the_end_of_a_visit(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.commit(spooled(tmp_path, ONE), TARGET, ONE.sop_uid)

    def sync(handle: int) -> None:
        raise OSError(errno.EIO, "a disk that fails")

    monkeypatch.setattr(tree, "sync", sync)
    with pytest.raises(FatalError, match="cannot be used"), store.visit() as visit:
        visit.commit(spooled(tmp_path, TWO), TARGET.with_name("6.dcm"), TWO.sop_uid)


def test_a_directory_that_somebody_empties_and_removes_is_made_again(
    store: Store, tmp_path: Path
) -> None:
    with store.visit() as visit:
        visit.commit(spooled(tmp_path, ONE), TARGET, ONE.sop_uid)
        (tmp_path / "out" / TARGET).unlink()
        (tmp_path / "out" / TARGET.parent).rmdir()
        visit.commit(spooled(tmp_path, ONE), TARGET, ONE.sop_uid)
    assert (tmp_path / "out" / TARGET).is_file()


def test_a_directory_of_a_run_that_was_killed_is_made_durable_once(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "out" / TARGET.parent).mkdir(parents=True)  # and nobody has synced it
    synced = inodes_synced(monkeypatch)
    for name in ("5.dcm", "6.dcm"):
        store.commit(spooled(tmp_path, ONE), TARGET.with_name(name), ONE.sop_uid)
    above = [(tmp_path / "out" / one).stat().st_ino for one in (".", "P1", "P1/1.2")]
    assert synced == [*above, above[-1]]


def test_nobody_else_may_read_what_is_stored_whatever_the_umask(
    store: Store, tmp_path: Path
) -> None:
    os.umask(0o777)
    try:
        store.commit(spooled_with(0, tmp_path), TARGET, ONE.sop_uid)
    finally:
        os.umask(0)
    assert mode(tmp_path / "out" / TARGET) == 0o600
    assert mode(tmp_path / "out/P1") == mode(tmp_path / "out/P1/1.2") == 0o700


def spooled_with(umask: int, tmp_path: Path) -> Path:
    before = os.umask(umask)
    try:
        return spooled(tmp_path, ONE)
    finally:
        os.umask(before)


def test_another_instance_on_the_same_path_gets_its_own_name_and_the_first_keeps_its(
    store: Store, tmp_path: Path
) -> None:
    """S02."""
    first, second = spooled(tmp_path, ONE), spooled(tmp_path, TWO)
    store.commit(first, TARGET, ONE.sop_uid)
    landed = store.commit(second, TARGET, TWO.sop_uid)
    assert landed == Committed(beside(TARGET, TWO.sop_uid).as_posix(), collided=True)
    assert (tmp_path / "out" / TARGET).read_bytes() == first.read_bytes()
    assert (tmp_path / "out" / landed.path).read_bytes() == second.read_bytes()
    again = store.commit(second, TARGET, TWO.sop_uid)
    assert again == Committed(landed.path, collided=True, duplicate=True)


def test_the_same_instance_twice_is_there_once(store: Store, tmp_path: Path) -> None:
    store.commit(spooled(tmp_path, ONE), TARGET, ONE.sop_uid)
    again = store.commit(spooled(tmp_path, ONE), TARGET, ONE.sop_uid)
    assert again == Committed(TARGET.as_posix(), duplicate=True)
    assert len(list((tmp_path / "out/P1/1.2").iterdir())) == 1


def test_an_unclaimed_file_of_the_same_instance_is_replaced(store: Store, tmp_path: Path) -> None:
    store.commit(spooled(tmp_path, ONE, b"\0\0"), TARGET, ONE.sop_uid)
    newer = spooled(tmp_path, ONE)
    assert store.commit(newer, TARGET, ONE.sop_uid) == Committed(TARGET.as_posix())
    assert (tmp_path / "out" / TARGET).read_bytes() == newer.read_bytes()


@pytest.mark.parametrize("content", [b"not ours", b"\0" * 128 + b"DICM"])
def test_a_file_that_is_no_instance_of_ours_is_never_touched(
    store: Store, tmp_path: Path, content: bytes
) -> None:
    """S02."""
    final = tmp_path / "out" / TARGET
    final.parent.mkdir(parents=True)
    final.write_bytes(content)
    assert store.commit(spooled(tmp_path, ONE), TARGET, ONE.sop_uid).collided
    assert final.read_bytes() == content


def test_a_directory_or_link_on_the_path_is_a_collision_too(store: Store, tmp_path: Path) -> None:
    (tmp_path / "out" / TARGET).mkdir(parents=True)
    assert store.commit(spooled(tmp_path, ONE), TARGET, ONE.sop_uid).collided
    outside = tmp_path / "outside"
    outside.write_bytes(file(TWO))
    (tmp_path / "out/P1/1.2/6.dcm").symlink_to(outside)
    assert store.commit(spooled(tmp_path, TWO), TARGET.with_name("6.dcm"), TWO.sop_uid).collided
    assert outside.read_bytes() == file(TWO)


def test_an_empty_file_is_a_name_that_was_held_when_the_machine_went_down(
    store: Store, tmp_path: Path
) -> None:
    final = tmp_path / "out" / TARGET
    final.parent.mkdir(parents=True)
    final.touch()
    assert not store.commit(spooled(tmp_path, ONE), TARGET, ONE.sop_uid).collided
    assert final.read_bytes() == file(ONE)


def test_a_linked_directory_is_not_followed_out_of_the_output(store: Store, tmp_path: Path) -> None:
    """S01."""
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "out/P1").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(FatalError, match="link where a directory is needed"):
        store.commit(spooled(tmp_path, ONE), TARGET, ONE.sop_uid)
    assert list((tmp_path / "elsewhere").iterdir()) == []


@pytest.mark.parametrize("patient", [".state", ".STATE", "results.csv"])
def test_no_patient_id_leads_into_the_state_directory_or_onto_the_results(
    store: Store, tmp_path: Path, patient: str
) -> None:
    """S01."""
    landed = store.commit(spooled(tmp_path, ONE), PurePosixPath(patient, "5.dcm"), ONE.sop_uid)
    assert landed.path == f"%{ord(patient[0]):02X}{patient[1:]}/5.dcm"
    assert (tmp_path / "out" / landed.path).is_file()
    assert not (tmp_path / "out/results.csv").exists()


def test_unfinished_files_of_an_earlier_run_are_removed_at_the_start(
    store: Store, tmp_path: Path
) -> None:
    """S13."""
    store.scratch().write_bytes(b"half")
    store.prepare()
    assert list((tmp_path / "out/.state/work").iterdir()) == []


def test_an_output_directory_that_vanishes_stops_the_run(store: Store, tmp_path: Path) -> None:
    (tmp_path / "out").rename(tmp_path / "moved")
    with pytest.raises(FatalError, match="is gone"):
        store.commit(spooled(tmp_path, ONE), TARGET, ONE.sop_uid)
    assert not (tmp_path / "out").exists()
    assert store.size(TARGET.as_posix()) is None


def test_a_source_that_vanishes_leaves_nothing_half_behind(store: Store, tmp_path: Path) -> None:
    with pytest.raises(FatalError):
        store.commit(tmp_path / "missing", TARGET, ONE.sop_uid)
    assert not (tmp_path / "out" / TARGET).exists()
    assert list((tmp_path / "out/.state/work").iterdir()) == []


@pytest.mark.parametrize(
    ("number", "sentence"),
    [
        (errno.ENOSPC, "is on a full disk"),
        (errno.EROFS, "is on a read-only file system"),
        (errno.EACCES, "cannot be written by this user"),
        (errno.EIO, "EIO"),
    ],
)
def test_an_error_of_the_disk_is_a_sentence_with_a_remedy_and_no_path(
    number: int, sentence: str
) -> None:
    error = tree.fatal(OSError(number, "x", "/secret/P1"), "output.directory")
    assert sentence in error.problem
    assert error.remedy
    assert "secret" not in str(error)


def test_many_threads_on_one_path_lose_no_instance(store: Store, tmp_path: Path) -> None:
    specs = [Spec(instance=number) for number in range(1, 25)]
    sources = {spec.sop_uid: spooled(tmp_path, spec) for spec in specs}
    landed: dict[str, Committed] = {}
    start = threading.Barrier(8)

    def work(share: list[Spec]) -> None:
        start.wait()
        for spec in share:
            landed[spec.sop_uid] = store.commit(sources[spec.sop_uid], TARGET, spec.sop_uid)

    threads = [threading.Thread(target=work, args=(specs[n::8],)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({one.path for one in landed.values()}) == len(specs)
    assert sum(not one.collided for one in landed.values()) == 1
    for uid, one in landed.items():
        assert (tmp_path / "out" / one.path).read_bytes() == sources[uid].read_bytes()


def test_the_quarantine_keeps_every_content_once(tmp_path: Path) -> None:
    quarantine = Quarantine(tmp_path / "quarantine")
    quarantine.prepare()
    source, other = spooled(tmp_path, ONE), spooled(tmp_path, TWO)
    assert quarantine.put(source, "r-1-1.dcm") == "r-1-1.dcm"
    assert quarantine.put(source, "r-1-1.dcm") == "r-1-1.dcm"
    assert quarantine.put(other, "r-1-1.dcm") == "1-r-1-1.dcm"
    assert mode(tmp_path / "quarantine") == 0o700
    assert mode(tmp_path / "quarantine/r-1-1.dcm") == 0o600
    assert (tmp_path / "quarantine/1-r-1-1.dcm").read_bytes() == other.read_bytes()
