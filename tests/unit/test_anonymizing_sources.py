"""Which files of a folder are anonymized, and that none is passed over in silence."""

import os
from pathlib import Path

from pydicombatch.app.anonymizing import Done, Fate, sources


def test_files_are_listed_in_order_with_their_relative_paths(tmp_path: Path) -> None:
    for name in ("b/2.dcm", "b/1.dcm", "a.dcm"):
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / name).touch()
    found = sources([tmp_path / "in"], tmp_path / "out")
    assert [str(one.relative) for one in found] == ["a.dcm", "b/1.dcm", "b/2.dcm"]


def test_a_folder_that_cannot_be_read_is_named_and_the_call_does_not_end_well(
    tmp_path: Path,
) -> None:
    here = os.open(tmp_path, os.O_RDONLY)
    for _ in range(25):  # a path longer than any call takes
        os.mkdir("f" * 250, dir_fd=here)
        below = os.open("f" * 250, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)
    (unread,) = sources([tmp_path], tmp_path / "out")
    assert unread.unread == "The folder cannot be read"
    assert not Done(unread, Fate.LEFT_OUT, unread.unread).is_well
