"""A receiver that came up while the rest of the program was imported."""

from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from pydicombatch.receive.process import spawn
from pydicombatch.receive.process.parent import ProcessReceiver
from pydicombatch.receive.process.siblings import most
from tests.support.receiving import receiver, until


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    yield
    spawn.dismiss()


def prepared() -> psutil.Process:
    before = set(psutil.Process().children())
    spawn.prepare()
    (made,) = set(psutil.Process().children()) - before
    return made


def first(heard: ProcessReceiver | object) -> int:
    assert isinstance(heard, ProcessReceiver)
    return heard.pids[0]


def test_what_was_prepared_serves_once(tmp_path: Path) -> None:
    made = prepared()
    for number in range(2):
        with receiver(tmp_path / str(number), process=True, processes=most()) as heard:
            assert (first(heard.receiver) == made.pid) is not bool(number)


def test_another_number_of_processes_is_started_anew_and_the_prepared_one_ends(
    tmp_path: Path,
) -> None:
    made = prepared()
    with receiver(tmp_path / "s", process=True, processes=most() + 1) as heard:
        assert first(heard.receiver) != made.pid
        assert not made.is_running()


def test_one_that_has_died_meanwhile_is_replaced(tmp_path: Path) -> None:
    made = prepared()
    made.kill()
    until(lambda: made.status() == psutil.STATUS_ZOMBIE)
    with receiver(tmp_path / "s", process=True, processes=most()) as heard:
        assert first(heard.receiver) != made.pid


def test_it_is_dismissed_where_nothing_is_received() -> None:
    made = prepared()
    spawn.dismiss()
    assert not made.is_running()
