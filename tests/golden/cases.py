"""The cases of a golden directory, and the anonymizer that each asks for."""

import json
import tarfile
from dataclasses import dataclass
from functools import cache, cached_property
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

from pydicombatch.core.errors import ConfigError
from pydicombatch.process.anonymize.anonymizer import Anonymizer

OWN = Path(__file__).parents[1] / "data" / "ctp"
WRITTEN = "written for this golden set"


@dataclass(frozen=True)
class Case:
    """One script over one input; `cli` are further switches of the Java tool."""

    directory: Path
    id: str
    script: str
    lut: str
    input: str
    status: str
    cli: tuple[str, ...] = ()
    volatile: tuple[str, ...] = ()
    hazards: tuple[str, ...] = ()

    @cached_property
    def expected(self) -> BinaryIO:
        """The output of the Java tool."""
        path = self.directory / "expected" / f"{self.id}.dcm"
        return BytesIO(path.read_bytes() if path.exists() else _archive()[f"{self.id}.dcm"])

    def anonymizer(self, mode: str, **options: Any) -> Anonymizer | ConfigError:
        """Compile the script, or return why it is refused."""
        return _compiled(self, mode, tuple(options.items()))


@cache
def _archive() -> dict[str, bytes]:
    with tarfile.open(OWN / "expected.tar.xz") as archive:
        members = [member for member in archive if member.isfile()]
        return {m.name: stream.read() for m in members if (stream := archive.extractfile(m))}


_anonymizers: dict[object, Anonymizer | ConfigError] = {}


def _compiled(
    case: Case, mode: str, options: tuple[tuple[str, Any], ...]
) -> Anonymizer | ConfigError:
    key = (case.directory, case.script, case.lut, case.cli, mode, options)
    if key not in _anonymizers:
        try:
            _anonymizers[key] = Anonymizer.from_script(
                case.directory / case.script,
                lookup_table=case.directory / case.lut,
                mode=mode,
                **_switches(case.directory, case.cli),
                **dict(options),
            )
        except ConfigError as error:
            _anonymizers[key] = error
    return _anonymizers[key]


def _switches(directory: Path, cli: tuple[str, ...]) -> dict[str, Any]:
    options: dict[str, Any] = {"parameters": {}, "elements": {}}
    rest = list(cli)
    while rest:
        switch = rest.pop(0)
        if switch in {"-dec", "-test"}:
            options[{"-dec": "decompress", "-test": "pixel_test"}[switch]] = True
        elif switch == "-dpa":
            options["pixel_script"] = directory / rest.pop(0)
        else:
            options[{"-p": "parameters", "-e": "elements"}[switch[:2]]][switch[2:]] = rest.pop(0)
    return options


def load(directory: Path, *, third_party: bool = False) -> list[Case]:
    """List the cases of a directory; of the shared set, only those that are not ours."""
    content = json.loads((directory / "cases.json").read_text(encoding="utf-8"))
    scripts = content.get("scripts", {})
    fields = Case.__dataclass_fields__.keys() - {"directory"}
    cases = []
    for entry in content["cases"]:
        used = [entry["script"], entry["lut"]]
        foreign = any(scripts.get(name[8:], {}).get("origin", WRITTEN) != WRITTEN for name in used)
        if not third_party or foreign:
            values: dict[str, Any] = {
                name: tuple(value) if isinstance(value, list) else value
                for name, value in entry.items()
                if name in fields
            }
            cases.append(Case(directory, **values))
    return cases
