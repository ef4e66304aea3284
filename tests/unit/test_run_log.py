import logging
import os
from contextlib import ExitStack
from pathlib import Path

from pydicombatch.core.log import EventLog
from pydicombatch.report.run_log import KEPT, LARGEST, NAME, RunLog

log = EventLog(f"{NAME}.test")


def test_a_log_never_grows_beyond_its_bound_and_the_oldest_goes_first(tmp_path: Path) -> None:
    with RunLog(tmp_path / "run.log", largest=2000, kept=3):
        for number in range(500):
            log.info("request.done", request=number)
    files = {one.name: one.stat().st_size for one in tmp_path.iterdir()}
    assert set(files) == {"run.log", "run.log.1", "run.log.2", "run.log.3"}
    assert max(files.values()) <= 2000
    lines = (tmp_path / "run.log").read_text().splitlines()
    assert lines[-1].endswith("request.done request=499")


def test_every_file_is_for_its_owner_alone_whatever_the_umask(tmp_path: Path) -> None:
    with ExitStack() as stack:
        stack.callback(os.umask, os.umask(0))
        with RunLog(tmp_path / "run.log", largest=200, kept=2):
            for number in range(50):
                log.info("request.done", request=number)
    assert {one.stat().st_mode & 0o777 for one in tmp_path.iterdir()} == {0o600}
    assert len(list(tmp_path.iterdir())) == 3


def test_the_next_run_goes_on_in_the_same_file(tmp_path: Path) -> None:
    before = list(logging.getLogger(NAME).handlers)
    for number in (1, 2):
        with RunLog(tmp_path / "run.log"):
            log.info("run.ended", requests=number)
    assert [line[-1] for line in (tmp_path / "run.log").read_text().splitlines()] == ["1", "2"]
    assert logging.getLogger(NAME).handlers == before


def test_the_bound_is_sixty_megabytes() -> None:
    assert LARGEST * (KEPT + 1) == 60_000_000
