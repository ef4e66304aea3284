"""The configuration as it was written: where each setting stands, to show it in a finding."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from pydicombatch.config.excerpt import Spot, excerpt
from pydicombatch.core.errors import Finding

Path = tuple[str | int, ...]


@dataclass(frozen=True)
class Source:
    """A file of settings; empty for a configuration that was not read from one."""

    file: str = ""
    lines: tuple[str, ...] = ()
    keys: dict[Path, Spot] = field(default_factory=dict)  # and the items of lists
    values: dict[Path, Spot] = field(default_factory=dict)  # those that are a single text

    def line(self, path: Iterable[str | int]) -> int:
        """Return the line of a path, or of the nearest section around it; from 1."""
        return self._nearest(tuple(path))[1].line

    def finding(self, path: Path, problem: str, remedy: str, *, at_key: bool = False) -> Finding:
        """Make a finding about a setting, which points at its value, or at its name."""
        near, spot = self._nearest(path)
        if near == path and not at_key:
            value = self.values.get(path, spot)
            spot = value if value.length > 0 and value.line == spot.line else spot
        elif near != path:
            spot = Spot(spot.line)  # the section itself is not what is wrong
        return self.at(spot, problem, remedy, path)

    def at(self, spot: Spot, problem: str, remedy: str, path: Path | None = None) -> Finding:
        """Make a finding about a place; without a path it is not known what stands there."""
        inside = path is not None and any(_is_element(one) for one in path)
        text = excerpt(self.lines, spot, items=inside, numbers=path is None)
        return Finding(problem, remedy, self.file, spot.line, text)

    def placed(self, finding: Finding, key: str) -> Finding:
        """Say where in the file a finding belongs that has no place yet; `key` is dotted."""
        if finding.file or not self.file:
            return finding
        return self.finding(tuple(key.split(".")), finding.problem, finding.remedy, at_key=True)

    def _nearest(self, path: Path) -> tuple[Path, Spot]:
        here = path
        while here and here not in self.keys:
            here = here[:-1]
        return here, self.keys.get(here, Spot(0))


def dotted(path: Iterable[str | int]) -> str:
    """Write a path the way an operator says it: `request.elements[2]`."""
    parts = (f"[{one}]" if isinstance(one, int) else f".{one}" for one in path)
    return "".join(parts).removeprefix(".")


def _is_element(name: str | int) -> bool:
    """Whether this is no setting of ours but a keyword or a tag, whose value is a patient's."""
    return isinstance(name, str) and (name[:1].isupper() or name.startswith("("))
