"""A long night in a bad network: nothing lost, nothing doubled, memory flat.

    python -m benchmarks.soak [--scale 1.0] [--threads 8] [--output DIRECTORY]

At scale 1: 10,000 requests for 50,000 small instances of a real Orthanc. One TCP proxy carries our
requests and resets the connection of every 200th, another one carries the instances and resets
that of every 1000th. Ends with 1 when a bar is missed. See benchmarks/README.md.
"""

import csv
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import click
import yaml
from pydicom import dcmread

from benchmarks.memory import report
from benchmarks.support import (
    LOADS_FAST,
    OURS,
    WrongResult,
    free_port,
    machine,
    measure,
    our_program,
    series_rows,
    write_config,
)
from tests.support.instances import Spec, file, specs
from tests.support.orthanc import OrthancServer
from tests.support.proxy import Proxy

PATIENTS, STUDIES, SERIES, INSTANCES = 100, 10, 10, 5
DROP_REQUEST = 200
DROP_INSTANCE = DROP_REQUEST * INSTANCES
LOADERS = 4


@click.command()
@click.option("--scale", type=click.FloatRange(0.01, 10), default=1.0, show_default=True)
@click.option("--threads", type=click.IntRange(1, 64), default=8, show_default=True)
@click.option(
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    help="Where files go; else a temporary directory.",
)
def main(*, scale: float, threads: int, output: Path | None) -> None:
    """Retrieve many series through connections that break again and again."""
    named = list(specs(max(1, round(PATIENTS * scale)), STUDIES, SERIES, INSTANCES))
    with tempfile.TemporaryDirectory() as archive, tempfile.TemporaryDirectory(dir=output) as place:
        receiver, local = free_port(), free_port()
        with (
            Proxy(local, drop_every=DROP_INSTANCE, port=receiver) as instances,
            OrthancServer(Path(archive), [(OURS, receiver)], LOADS_FAST) as server,
            Proxy(server.port, drop_every=DROP_REQUEST) as requests,
        ):
            load(server, named)
            rows = series_rows(named)
            click.echo(f"{machine()}; {len(rows) - 1} requests, {len(named)} instances")
            config = configured(Path(place), (server.aet, requests.port), local, threads, rows)
            usage = measure(our_program("run", config, "--no-progress"))
            click.echo(
                f"{usage.seconds:.0f} s; {requests.requests} requests sent, {requests.faults} of "
                f"their connections reset; {instances.requests} instances sent, "
                f"{instances.faults} of theirs reset"
            )
            check(Path(place) / "out", named, len(rows) - 1, requests.faults + instances.faults)
    report(usage)


def load(server: OrthancServer, named: Sequence[Spec]) -> None:
    """Put the instances into the archive, in several threads."""
    with ThreadPoolExecutor(LOADERS) as pool:
        for done in pool.map(lambda spec: server.load([file(spec)]), named):
            assert done is None


def configured(
    folder: Path, archive: tuple[str, int], local: int, threads: int, rows: list[str]
) -> Path:
    """Write the configuration: one request a series, as patient as people are at night."""
    request: dict[str, object] = {
        "type": "c-move",
        "model": "study",
        "threads": threads,
        "elements": ["QueryRetrieveLevel=SERIES"],
    }
    path = write_config(folder, archive, local, request, rows)
    sections = yaml.safe_load(path.read_text(encoding="utf-8"))
    sections["retry"] = {"wait": 1, "longest_wait": 10}
    path.write_text(yaml.safe_dump(sections), encoding="utf-8")
    return path


def check(out: Path, named: Sequence[Spec], requests: int, faults: int) -> None:
    """Compare files and rows with what the archive holds.

    Raises
    ------
    WrongResult
        If an instance or a row is lost, doubled or unexpected, or no connection was reset.
    """
    found = Counter(stored(out))
    wanted = {spec.sop_uid for spec in named}
    lost, strange = len(wanted - set(found)), len(set(found) - wanted)
    doubled = sum(found.values()) - len(found)
    with (out / "database.csv").open(encoding="utf-8", newline="") as table:
        rows = list(csv.DictReader(table))
    complete = {row["SeriesInstanceUID"] for row in rows if row["Outcome"] == "complete"}
    click.echo(
        f"{len(found)} instances: {lost} lost, {doubled} doubled, {strange} unexpected; "
        f"{len(rows)} rows, {len(complete)} requests complete"
    )
    if lost or doubled or strange or not len(rows) == len(complete) == requests:
        raise WrongResult("The result is not that of an undisturbed run")
    if not faults:
        raise WrongResult("No connection was reset: use a larger scale")


def stored(out: Path) -> Iterator[str]:
    """Read the SOP Instance UID of every file that was stored."""
    for path in out.rglob("*"):
        inside = path.relative_to(out).parts
        if path.is_file() and ".pydicombatch" not in inside and path.suffix != ".csv":
            tags = ["SOPInstanceUID"]
            yield str(dcmread(path, stop_before_pixels=True, specific_tags=tags).SOPInstanceUID)


if __name__ == "__main__":
    main()
