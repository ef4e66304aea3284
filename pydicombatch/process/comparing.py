"""What became of each element of an instance, in counts; values never leave this module."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from pydicom import Dataset, dcmread
from pydicom.datadict import keyword_for_tag
from pydicom.dataelem import RawDataElement
from pydicom.tag import BaseTag

from pydicombatch.core.grammar import vr_of
from pydicombatch.process.decompress import quiet

Values = dict[str, list[bytes]]


class Change(StrEnum):
    """What can become of an element."""

    KEPT = "kept"
    CHANGED = "changed"
    REMOVED = "removed"
    EMPTIED = "emptied"
    ADDED = "added"


@dataclass(frozen=True, slots=True)
class Row:
    """One element, over all instances that were looked at."""

    element: str  # tag and keyword, behind those of the sequences around it
    counts: Mapping[Change, int]


def changes(before: Path, after: Path) -> dict[str, Change]:
    """Compare an instance with its anonymized one; item numbers do not count.

    Raises
    ------
    Exception
        Whatever the library raises for what it cannot read.
    """
    quiet()
    old = _values(dcmread(before, stop_before_pixels=True))
    new = _values(dcmread(after, stop_before_pixels=True))
    return {path: _change(old.get(path), new.get(path)) for path in {**old, **new}}


def table(found: list[dict[str, Change]]) -> Iterator[Row]:
    """Sum over instances, in the order of the tags."""
    names = sorted({name for one in found for name in one})
    for name in names:
        yield Row(name, Counter(one[name] for one in found if name in one))


def _change(old: list[bytes] | None, new: list[bytes] | None) -> Change:
    if old is None:
        return Change.ADDED
    if new is None:
        return Change.REMOVED
    if old == new:
        return Change.KEPT
    return Change.CHANGED if any(new) else Change.EMPTIED


def _values(dataset: Dataset) -> Values:
    found: Values = {}
    _collect(dataset, "", found)
    return found


def _collect(dataset: Dataset, prefix: str, found: Values) -> None:
    for tag in dataset.keys():  # noqa: SIM118 - values are not to be parsed
        element = dataset.get_item(tag)
        path = prefix + _name(tag)
        vr = getattr(element, "VR", None) or vr_of(tag)
        if vr != "SQ":
            found.setdefault(path, []).append(_bytes(element))
            continue
        items = list(dataset[tag].value)
        found.setdefault(path, []).append(b"items" if items else b"")
        for item in items:
            _collect(item, f"{path} > ", found)


def _bytes(element: object) -> bytes:
    value = element.value if isinstance(element, RawDataElement) else getattr(element, "value", "")
    content = value if isinstance(value, bytes) else str(value or "").encode(errors="replace")
    return content.rstrip(b" \0")


def _name(tag: BaseTag) -> str:
    return f"({tag.group:04X},{tag.element:04X}) {keyword_for_tag(tag)}".rstrip()
