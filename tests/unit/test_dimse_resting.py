"""Pending responses gather while many sub-operations remain, and only then."""

import time
from types import SimpleNamespace
from typing import Any

import pytest

from pydicombatch.backends.dimse.association import MANY, REST, Association


@pytest.mark.parametrize(
    ("remaining", "speaks", "naps"),
    [
        (MANY, False, [REST]),
        (65535, False, [REST]),
        (MANY, True, []),  # the next one is here already
        (MANY - 1, False, []),  # the final response may come soon
        (0, False, []),
        (None, False, []),  # the archive does not say
    ],
)
def test_nobody_rests_when_the_end_may_be_near(
    remaining: int | None, speaks: bool, naps: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    rested: list[float] = []
    monkeypatch.setattr(time, "sleep", rested.append)
    nothing: Any = None
    wire: Any = SimpleNamespace(speaks=lambda: speaks)
    Association(wire, nothing, nothing).rest(remaining)
    assert rested == naps
