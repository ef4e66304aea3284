import random
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from pydicombatch.ledger.ledger import Ledger
from tests.support.fakes import LIMIT

ROOT = Path(__file__).parents[2]
WRITER = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from pydicombatch.core.model import Outcome
from pydicombatch.core.records import Result
from pydicombatch.ledger.ledger import Ledger
from pydicombatch.ledger.states import Selection
from tests.support.fakes import request, stored

now = datetime(2026, 1, 5, tzinfo=UTC)
ledger = Ledger(Path(sys.argv[1]))
run = ledger.begin_run(1, now)
ledger.load(request(n, StudyInstanceUID=f"1.{n}") for n in range(1, 2001))
ledger.select(run, Selection.ALL)
for waiting in ledger.next(run, 0, 2000):
    attempt = ledger.start_attempt(run, waiting.id, now)
    ledger.record([stored(f"9.{waiting.line}", waiting.id)], [], now)
    ledger.finish(waiting.id, attempt, Result(Outcome.COMPLETE, expected=1), now)
    print(waiting.line, flush=True)
"""


@pytest.mark.parametrize("seed", range(4))
def test_after_sigkill_all_that_was_acknowledged_is_there_once(tmp_path: Path, seed: int) -> None:
    """F30."""
    path = tmp_path / "ledger.sqlite"
    chance = random.Random(seed)
    acknowledged: list[int] = []
    for _ in range(2):
        with subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path)], cwd=ROOT, stdout=subprocess.PIPE, text=True
        ) as writer:
            assert writer.stdout is not None
            some = chance.randint(1, 40)
            acknowledged += [int(writer.stdout.readline()) for _ in range(some)]
            writer.kill()
            acknowledged += map(int, writer.stdout.read().split())
            writer.wait(LIMIT)
    with closing(sqlite3.connect(path)) as other:
        assert other.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert acknowledged == list(range(1, len(acknowledged) + 1))
    with closing(Ledger(path)) as ledger:
        counts = ledger.counts()
        finished = [entry.line for entry in ledger.finished_after(0)]
        assert counts.lines == 2000
        assert len(acknowledged) <= len(finished) <= len(acknowledged) + 2
        assert finished == list(range(1, len(finished) + 1))
        assert len(finished) <= counts.instances <= len(finished) + 1
        assert counts.bytes == 100 * counts.instances
