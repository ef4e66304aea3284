import time
from pathlib import Path

from pydicombatch.app import purging
from pydicombatch.store.removal import DAY, Removed, older, remove, within


def state(root: Path) -> Path:
    for name in (
        "spool/1-2-00000001.dcm",
        "quarantine/1-2-00000002.dcm",
        "work/1.part",
        "decompressed/2.part",
        "ledger-20260101T000000000000.sqlite",
        "ledger-20260101T000000000000.sqlite-wal",
        "plan.sqlite",
        "ledger.sqlite",
        "run.log",
        "pseudonym.key",
        "lock",
    ):
        path = root / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"1234567890")
    return root


def left(root: Path) -> set[str]:
    return {path.name for path in root.rglob("*") if path.is_file()}


def test_purging_removes_what_is_identified_and_says_how_much(tmp_path: Path) -> None:
    said = dict(purging.purge(state(tmp_path), everything=False))
    assert said == {
        "instances in the spool": Removed(1, 10),
        "quarantined instances": Removed(1, 10),
        "unfinished files": Removed(2, 20),
        "files of old ledgers": Removed(2, 20),
        "files of a plan": Removed(1, 10),
    }
    assert left(tmp_path) == {"ledger.sqlite", "run.log", "pseudonym.key", "lock"}


def test_purging_everything_leaves_the_lock_alone(tmp_path: Path) -> None:
    said = dict(purging.purge(state(tmp_path), everything=True))
    assert sum(one.files for one in said.values()) == 10
    assert left(tmp_path) == {"lock"}
    assert all(one == Removed() for _, one in purging.purge(tmp_path, everything=True))


def test_a_link_is_removed_and_what_it_points_at_stays(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    kept.write_text("mine")
    folder = tmp_path / "quarantine"
    folder.mkdir()
    (folder / "link").symlink_to(kept)
    assert remove(within(folder)).files == 1
    assert kept.read_text() == "mine"


def test_only_what_has_been_there_for_longer_is_old(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    now = time.time()
    assert older([file], 2, now + 1.9 * DAY) == []
    assert older([file], 2, now + 2.1 * DAY) == [file]
    assert older([], 0, now) == []


def test_a_directory_that_is_not_there_holds_nothing(tmp_path: Path) -> None:
    assert within(tmp_path / "none") == []
    assert purging.forget(tmp_path, 1) == Removed()
    assert remove([]) == Removed()
