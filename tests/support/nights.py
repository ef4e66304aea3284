"""An extraction over three nights, written straight into a ledger: for the report."""

import random
import sqlite3
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path, PurePosixPath

import yaml

from pydicombatch.core.model import (
    Answer,
    Arrival,
    Identifiers,
    Key,
    Outcome,
    Request,
    RequestType,
    Stored,
    Tally,
    Verdict,
)
from pydicombatch.core.records import Result
from pydicombatch.core.traits import Traits
from pydicombatch.ledger.ledger import Ledger
from pydicombatch.ledger.states import Selection
from tests.support.written import write_csv

CANARY = "</script><script>document.title='broken'</script><img src=http://127.0.0.1:9/x>\"'&"
NIGHT = datetime(2026, 11, 17, 18, tzinfo=UTC)
KINDS = (("CT", 60, 0.9), ("MR", 40, 0.5), ("CR", 2, 8.0), ("MG", 4, 12.0), ("US", 8, 1.2))
ENDS = (
    *[(Outcome.COMPLETE, "", "")] * 40,
    *[(Outcome.EMPTY, "The archive found nothing for this request", "Check the values")] * 2,
    (Outcome.PARTIAL, "{} of the archive's sub-operations failed", "Run again"),
    (Outcome.FAILED, "The archive gave no answer within {} s", "Ask its administrator"),
)


def make(folder: Path, requests: int = 300, *, nights: int = 3, details: bool = True) -> Path:
    """Write a configuration, its batch file and its ledger; return the configuration."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = [[CANARY if number == 3 else f"SECRET{number:06}"] for number in range(1, requests + 1)]
    write_csv(folder / "patients.csv", [["PatientID"], *rows])
    sections = {
        "project": "Chest CT cohort",
        "pacs": {"hostname": "pacs.example.org", "port": 104, "aet": "HOSPITAL"},
        "local": {"port": 4006, "aet": "SAMPLE_AE"},
        "request": {
            "type": "c-move",
            "elements": ["QueryRetrieveLevel=PATIENT", "PatientName=SECRET*"],
            "elements_batch_file": str(folder / "patients.csv"),
            "threads": 2,
            "throttle_time": 1,
        },
        "schedule": {
            "enabled": True,
            "start_time": "19:00",
            "end_time": "05:00",
            "timezone": "Europe/Zurich",
        },
        "output": {"directory": str(folder / "images")},
    }
    config = folder / "config.yml"
    config.write_text(yaml.safe_dump(sections, sort_keys=False), encoding="utf-8")
    state = folder / "images" / ".pydicombatch"
    state.mkdir(parents=True)
    with closing(Ledger(state / "ledger.sqlite")) as ledger:
        ledger.load(_request(number, row[0]) for number, row in enumerate(rows, 2))
        if details:
            _fill(ledger, requests, nights)
    if not details:
        _finish_all(state / "ledger.sqlite")
    return config


def _finish_all(ledger: Path) -> None:
    """Finish every request in one go, in SQL: so many commits would take minutes."""
    rows = [
        (*ENDS[number % len(ENDS)][:2], number / 7, (NIGHT + timedelta(seconds=number)).isoformat())
        for number in range(100_000)
    ]
    with closing(sqlite3.connect(ledger)) as db, db:
        numbers = [number for (number,) in db.execute("SELECT id FROM request")]
        db.executemany(
            "UPDATE request SET outcome = ?, reason = ?, seconds = ?, finished_at = ?, "
            "attempts = 1, finished = ?5 WHERE id = ?5",
            [
                (outcome, reason.format(3 + number % 5), seconds, at, number)
                for number, (outcome, reason, seconds, at) in zip(numbers, rows, strict=False)
            ],
        )


def _request(line: int, patient: str) -> Request:
    keys = (
        Key("QueryRetrieveLevel", "PATIENT"),
        Key("PatientName", "SECRET*"),
        Key("PatientID", patient),
    )
    return Request(f"identity {line}", line, RequestType.MOVE, "patient", keys)


def _fill(ledger: Ledger, requests: int, nights: int) -> None:
    chance = random.Random(7)
    done = 0
    for night in range(nights):
        begun = NIGHT + timedelta(days=night)
        run = ledger.begin_run(100 + night, begun)
        ledger.select(run, Selection.ALL)
        share = requests * (night + 1) // nights - (requests // 40 if night == nights - 1 else 0)
        pace = timedelta(hours=9.6) / max(1, share - done)
        now = begun
        for one in ledger.next(run, 0, share - done):
            now += pace * chance.uniform(0.4, 1.6)
            _carry_out(ledger, run, one.id, now, chance)
        done = share
        ledger.end_run(run, 0 if night == nights - 1 else 4, max(now, begun + timedelta(hours=10)))


def _carry_out(ledger: Ledger, run: int, number: int, now: datetime, chance: random.Random) -> None:
    attempt = ledger.start_attempt(run, number, now)
    outcome, reason, remedy = ENDS[number % len(ENDS)]
    modality, several, megabytes = KINDS[number % 7 % len(KINDS)]
    count = max(1, round(several * chance.uniform(0.5, 1.5)))
    if outcome in {Outcome.EMPTY, Outcome.FAILED}:
        count = 0
    kind = Traits(
        f"1.2.{number}",
        f"1.2.{number}.1",
        modality,
        str(chance.choice(range(2016, 2026))),
        chance.choice("MFFM") if number % 50 else "",
        f"{band}-{band + 9}" if (band := chance.choice(range(20, 90, 10))) else "",
    )
    size = round(megabytes * 1e6)
    found = [_stored(number, index, size, kind) for index in range(count)]
    if found:
        ledger.record(found, (), now)
    lost = 3 + number % 5 if outcome is Outcome.PARTIAL else 0
    answer = Answer(0x0000, Verdict.DONE, tally=Tally(0, count, lost, 0))
    seconds = 0.4 + count * chance.uniform(0.05, 0.4)
    result = Result(
        outcome,
        None if outcome is Outcome.FAILED else answer,
        count,
        expected=count + lost,
        failed=lost,
        reason=reason.format(3 + number % 5),
        remedy=remedy,
        seconds=seconds,
    )
    ledger.finish(number, attempt, result, now)


def _stored(number: int, index: int, size: int, kind: Traits) -> Stored:
    uid = f"1.2.{number}.1.{index}"
    arrival = Arrival(
        PurePosixPath(uid), Identifiers("1.2", uid), "1.2.840.10008.1.2", size, (number,)
    )
    return replace(Stored(arrival, f"{number}/{index}.dcm", size, "ab" * 32), traits=kind)
