"""F36: a wall clock that is put forward or back moves windows, and nothing else."""

import ast
from datetime import timedelta
from pathlib import Path

import pytest

from pydicombatch.core.clock import SystemClock
from pydicombatch.core.errors import Unreachable
from pydicombatch.runner.breaker import Breaker
from pydicombatch.runner.gate import Admission
from pydicombatch.runner.throttle import RequestRate
from tests.support.clock import START, FakeClock
from tests.unit.test_gate import Site, hours, nothing

JUMPS = [timedelta(hours=1), timedelta(hours=-1), timedelta(days=1), timedelta(days=-1)]
DOWN = Unreachable("The archive refuses connections", "Start it")
PACKAGE = Path(__file__).parents[2] / "pydicombatch"
WALL = {"time.time", "time.ctime", "time.localtime", "datetime.today", "date.today"}
KNOWS_THE_WALL = {"core/clock.py", "cli/report.py", "process/anonymize/anonymizer.py"}


@pytest.mark.parametrize("jump", JUMPS, ids=str)
def test_the_rate_of_requests_does_not_notice_a_jump(jump: timedelta) -> None:
    rate, clock = RequestRate(6), FakeClock()
    assert rate.reserve(clock.monotonic()) == 0
    clock.set_wall(clock.now() + jump)
    assert rate.reserve(clock.monotonic()) == pytest.approx(10, abs=0.1)


@pytest.mark.parametrize("jump", JUMPS, ids=str)
def test_an_outage_is_as_long_as_it_is(jump: timedelta) -> None:
    clock = FakeClock()
    breaker = Breaker(clock, 10, 80, 600, 3, lambda: 0.5)
    breaker.reset()
    breaker.trip(DOWN)
    clock.set_wall(clock.now() + jump)
    assert not breaker.may_knock()
    clock.advance(10)
    assert breaker.may_knock()
    assert breaker.trip(DOWN), "the outage goes on, it has not lasted for a day"


def test_a_window_that_a_jump_has_closed_lets_nothing_out() -> None:
    site = Site(hours(11, 13))
    assert site.gate.enter(nothing) is Admission.GRANTED
    site.clock.set_wall(START + timedelta(hours=1, seconds=1))
    assert site.gate.enter(nothing) is Admission.GRANTED
    assert site.clock.now() >= START + timedelta(hours=23), "it waited for the next opening"


@pytest.mark.parametrize("minutes", [60, 115, 130, -60])
def test_who_waits_for_a_window_sees_a_jump_within_half_a_minute(minutes: int) -> None:
    """It opens at 14:00 by the wall clock, whatever was done to that ten minutes into the wait."""
    site = Site(hours(14, 15))
    begin = site.clock.monotonic()
    jumped = START + timedelta(minutes=10 + minutes)
    site.clock.after(600, lambda: site.clock.set_wall(jumped))
    assert site.gate.enter(nothing) is Admission.GRANTED
    opening = max(START.replace(hour=14), jumped)
    assert opening <= site.clock.now() <= opening + timedelta(seconds=30)
    waited = site.clock.monotonic() - begin
    assert waited <= 630 + (opening - jumped).total_seconds()


def test_the_machine_s_own_clock_has_a_steady_half() -> None:
    clock = SystemClock()
    before = clock.monotonic()
    assert clock.now().utcoffset() == timedelta(0)
    assert clock.monotonic() >= before


def test_nobody_measures_time_by_the_wall_clock() -> None:
    """A house rule: all durations come from a monotonic clock, or from one that is injected."""
    guilty = {
        f"{file.relative_to(PACKAGE)}: {found}"
        for file in sorted(PACKAGE.rglob("*.py"))
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute)
        and (found := ast.unparse(node)) in {*WALL, "datetime.now"}
        and file.relative_to(PACKAGE).as_posix() not in KNOWS_THE_WALL
    }
    # the age of files on a disk is told by their own times, which are the wall's
    assert guilty == {"store/removal.py: time.time"}
