"""Files that nobody reads any more leave memory; no error of that reaches anybody."""

import os
from pathlib import Path

import pytest

from pydicombatch.core.page_cache import LARGE, forget


@pytest.mark.parametrize(("size", "times"), [(LARGE - 1, 0), (LARGE, 1), (3 * LARGE, 1)])
def test_only_large_files_are_worth_it(
    size: int, times: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[tuple[int, int, int]] = []
    monkeypatch.setattr(os, "posix_fadvise", lambda _, *advice: told.append(advice))
    path = tmp_path / "1.dcm"
    path.write_bytes(bytes(size))
    forget(path)
    assert told == [(0, 0, os.POSIX_FADV_DONTNEED)] * times
    assert path.read_bytes() == bytes(size)


def test_errors_are_nobodys_business(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    forget(tmp_path / "gone.dcm")

    def fail(*_: int) -> None:
        raise OSError

    monkeypatch.setattr(os, "posix_fadvise", fail)
    path = tmp_path / "1.dcm"
    path.write_bytes(bytes(LARGE))
    forget(path)
    monkeypatch.delattr(os, "posix_fadvise")  # another system
    forget(path)
