"""A `docker` that writes down its calls; what asks the program is answered by the program."""

import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
CODE = """\
#!{python}
import json, os, signal, subprocess, sys
words = sys.argv[1:]
with open({calls!r}, "a") as calls:
    calls.write(json.dumps(words) + "\\n")
if words[0] == "run" and "check" in words:
    asked = words[words.index("check"):]
    sys.exit(subprocess.run([sys.executable, "-m", "pydicombatch", *asked]).returncode)
if words[0] == "run" and os.environ.get("WAITS"):
    signal.signal(signal.SIGINT, lambda *_: sys.exit(130))
    print("waits", flush=True)
    signal.pause()
sys.exit(int(os.environ.get("CODE", "0")))
"""
ALONE = {"--rm", "--init", "--interactive", "--tty"}  # options without a value


@dataclass(frozen=True)
class Call:
    """One call of `docker run`."""

    options: tuple[tuple[str, str], ...]
    image: str
    arguments: tuple[str, ...]

    def all(self, option: str) -> list[str]:
        """Return every value of an option, in order."""
        return [value for name, value in self.options if name == option]


class FakeDocker:
    """Makes the program in a folder for PATH.

    Parameters
    ----------
    folder
        Gets the program; made when missing.
    name
        What it is called.
    """

    def __init__(self, folder: Path, name: str = "docker") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._calls = folder / "calls"
        program = folder / name
        program.write_text(CODE.format(python=sys.executable, calls=str(self._calls)))
        program.chmod(0o755)
        self.environ = {
            **os.environ,
            "PATH": f"{folder}{os.pathsep}/usr/bin{os.pathsep}/bin",
            "PYTHONPATH": str(ROOT),
        }

    @property
    def words(self) -> list[list[str]]:
        """The words of every call."""
        return [json.loads(line) for line in self._calls.read_text().splitlines()]

    @property
    def calls(self) -> list[Call]:
        """Every call of `run`."""
        return [_parsed(words) for words in self.words if words[0] == "run"]


def _parsed(words: list[str]) -> Call:
    rest = words[1:]
    options = []
    while rest[0].startswith("--"):
        name = rest.pop(0)
        options.append((name, "" if name in ALONE else rest.pop(0)))
    return Call(tuple(options), rest[0], tuple(rest[1:]))
