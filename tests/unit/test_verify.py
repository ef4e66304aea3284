"""What `verify` says about files that are gone, changed, or not ours."""

from hashlib import sha256
from pathlib import Path

import pytest

from pydicombatch.store.verify import Finding, Recorded, compare, unknown


def stored(root: Path, path: str, content: bytes) -> Recorded:
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_bytes(content)
    return Recorded(path, len(content), sha256(content).hexdigest())


def test_a_file_that_is_as_it_was_stored_is_nothing_to_report(tmp_path: Path) -> None:
    one = stored(tmp_path, "P/1.dcm", b"image")
    assert list(compare(tmp_path, [one])) == [(one, None)]


@pytest.mark.parametrize("content", [b"imagE", b"image and more", b""])
def test_one_changed_byte_is_found(tmp_path: Path, content: bytes) -> None:
    one = stored(tmp_path, "P/1.dcm", b"image")
    (tmp_path / "P/1.dcm").write_bytes(content)
    assert list(compare(tmp_path, [one])) == [(one, Finding.CHANGED)]


def test_a_file_that_was_moved_away_is_missing(tmp_path: Path) -> None:
    one = stored(tmp_path, "P/1.dcm", b"image")
    (tmp_path / "P/1.dcm").rename(tmp_path / "elsewhere")
    assert list(compare(tmp_path, [one])) == [(one, Finding.MISSING)]


def test_a_folder_in_the_place_of_a_file_is_not_that_file(tmp_path: Path) -> None:
    one = stored(tmp_path, "P/1.dcm", b"image")
    (tmp_path / "P/1.dcm").unlink()
    (tmp_path / "P/1.dcm").mkdir()
    [(_, finding)] = compare(tmp_path, [one])
    assert finding in {Finding.CHANGED, Finding.UNREADABLE}


def test_files_of_others_are_named_and_the_state_is_left_out(tmp_path: Path) -> None:
    stored(tmp_path, "P/1.dcm", b"ours")
    stored(tmp_path, "P/2.dcm", b"theirs")
    stored(tmp_path, ".pydicombatch/spool/3.dcm", b"state")
    stored(tmp_path, "notes.txt", b"no image")
    found = unknown(tmp_path, {"P/1.dcm"}.__contains__, [tmp_path / ".pydicombatch"])
    assert list(found) == ["P/2.dcm"]
