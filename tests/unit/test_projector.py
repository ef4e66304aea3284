import threading

import pytest

from pydicombatch.core.errors import FatalError
from pydicombatch.runner.projector import Projector
from tests.support.fakes import LIMIT

FULL = FatalError("The results CSV cannot be written", "Make space")


class Projection:
    """Notes what was asked of it; fails to update when told to."""

    def __init__(self, error: Exception | None = None, updates: int = 2) -> None:
        self.calls: list[str] = []
        self.updated = threading.Event()
        self._updates = updates
        self._error = error

    def open(self) -> None:
        self.calls.append("open")

    def update(self) -> None:
        self.calls.append("update")
        if self.calls.count("update") >= self._updates:
            self.updated.set()
            if self._error:
                raise self._error

    def close(self) -> None:
        self.calls.append("close")


def test_the_file_is_updated_while_the_run_goes_on_and_closed_in_the_end() -> None:
    projection = Projection()
    failures: list[FatalError] = []
    with Projector(projection, failures.append, period=0.001):
        assert projection.updated.wait(LIMIT)
    assert projection.calls[:3] == ["open", "update", "update"]
    assert projection.calls[-1] == "close"
    assert failures == []


def test_a_run_that_ends_at_once_waits_for_no_period() -> None:
    projection, failures = Projection(), list[FatalError]()
    with Projector(projection, failures.append, period=1000):
        pass
    assert projection.calls == ["open", "close"]


@pytest.mark.parametrize("error", [FULL, ValueError("PATIENT^NAME")])
def test_an_update_that_fails_ends_the_run_once(error: Exception) -> None:
    """F40."""
    projection = Projection(error, updates=1)
    failures: list[FatalError] = []
    heard = threading.Event()

    def on_fatal(fatal: FatalError) -> None:
        failures.append(fatal)
        heard.set()

    with Projector(projection, on_fatal, period=0.001):
        assert heard.wait(LIMIT)
    assert projection.calls.count("update") == 1
    assert len(failures) == 1
    assert "PATIENT" not in str(failures[0])


def test_after_an_error_of_the_run_the_file_is_left_to_the_next_one() -> None:
    projection, failures = Projection(), list[FatalError]()
    with pytest.raises(LookupError), Projector(projection, failures.append, period=1000):
        raise LookupError
    assert projection.calls == ["open"]
