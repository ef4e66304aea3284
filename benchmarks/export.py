"""Elements of stored CT slices as a table: `pydicombatch export` beside a plain loop of pydicom.

    python -m benchmarks.export [--instances 4000] [--pairs 3] [--output instances.csv]

See benchmarks/README.md for what the figures mean.
"""

import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from statistics import median

import click
import numpy as np
import pandas as pd

from benchmarks.support import WrongResult, machine, middle, our_program, slices, table
from pydicombatch.app.exporting import DEFAULT
from tests.support.instances import Spec, dataset, to_bytes
from tests.support.tree import make

EDGE = 512  # rows and columns of a slice: 0.5 MB
HEADER = ("", "instances", "seconds", "files/s", "times the loop")
SMALL = 16
# What somebody writes who has only pydicom and pandas; the interpreter's start is in both figures
LOOP = """
import sys
from pathlib import Path
import pandas
from pydicom import dcmread
root, output, *names = sys.argv[1:]
rows = []
for path in sorted(Path(root).rglob("*.dcm")):
    ds = dcmread(path, stop_before_pixels=True, specific_tags=names)
    rows.append({"path": str(path), **{name: ds.get(name) for name in names}})
pandas.DataFrame(rows).to_csv(output, index=False)
"""


def content(spec: Spec) -> bytes:
    """Make a slice; all have the same noise for pixels, as nobody looks at them."""
    ds = dataset(replace(spec, rows=SMALL, columns=SMALL))
    ds.Rows, ds.Columns, ds.PixelData = spec.rows, spec.columns, _noise(spec)
    return to_bytes(ds)


def _noise(spec: Spec) -> bytes:
    generator = np.random.default_rng(7)
    return generator.integers(0, 4096, (spec.rows, spec.columns), dtype=np.uint16).tobytes()


def seconds(command: list[str], folder: Path) -> float:
    """Return how long a command took, from its start to its end."""
    begin = time.monotonic()
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    spent = time.monotonic() - begin
    if done.returncode:
        raise WrongResult(f"{command[:3]} ended with {done.returncode}:\n{done.stderr[-2000:]}")
    return spent


def same(ours: Path, loop: Path) -> None:
    """Make sure that both tables name the same instances and patients."""
    columns = ["SOPInstanceUID", "PatientID", "InstanceNumber"]
    tables = [pd.read_csv(one, dtype=str)[columns].sort_values(columns[0]) for one in (ours, loop)]
    if not tables[0].reset_index(drop=True).equals(tables[1].reset_index(drop=True)):
        raise WrongResult("the two tables differ")


@click.command()
@click.option("--instances", default=4000, show_default=True, help="CT slices of 0.5 MB.")
@click.option("--pairs", default=3, show_default=True, help="Rounds; the two take turns.")
@click.option("--output", default="instances.csv", show_default=True, help="Or a .parquet.")
def main(instances: int, pairs: int, output: str) -> None:
    """Measure both commands in turns."""
    click.echo(machine())
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        config, files = make(folder, slices(instances, EDGE), content)
        ours = our_program("export", config, "--output", folder / output)
        loop = [sys.executable, "-c", LOOP, str(folder / "images"), "loop.csv", *DEFAULT]
        found = [(seconds(loop, folder), seconds(ours, folder)) for _ in range(pairs)]
        if output.endswith(".csv"):
            same(folder / output, folder / "loop.csv")
    plain, exported = ([pair[at] for pair in found] for at in (0, 1))
    ratios = [slow / fast for slow, fast in found]
    rows = [
        (name, str(len(files)), middle(times, 2), f"{len(files) / median(times):.0f}", ratio)
        for name, times, ratio in (
            ("a loop of pydicom", plain, "1"),
            ("pydicombatch export", exported, middle(ratios, 2)),
        )
    ]
    click.echo(table(HEADER, rows))


if __name__ == "__main__":
    main()
