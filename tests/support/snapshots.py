"""What the program says of a configuration, in a file beside the configuration it says it of.

`python -m tests.support.snapshots` writes every such file anew, to be read before it is committed.
"""

from contextlib import chdir
from pathlib import Path

from pydicombatch import Extraction
from pydicombatch.core.errors import ConfigError

FOLDER = Path(__file__).parents[1] / "data" / "snapshots"
SECRET = "SECRETSECRETSECRETSECRET"
ENVIRONMENT = {"SECRET_WORD": SECRET, "ELEMENT": f"Patient{SECRET}"}
CASES = sorted(FOLDER.glob("*.yml"))


def said(case: Path) -> str:
    """Return all that is said of a configuration before anything is sent."""
    with chdir(FOLDER):
        try:
            warnings = Extraction.from_file(case.name, ENVIRONMENT).validate()
        except ConfigError as exc:
            return f"{exc}\n"
        return "".join(f"Warning: {one}\n" for one in warnings)


def expected(case: Path) -> Path:
    """Return the file that holds what is to be said."""
    return case.with_suffix(".txt")


if __name__ == "__main__":
    for one in CASES:
        expected(one).write_text(said(one), encoding="utf-8")
