"""How scripts name elements: `PatientID`, `00100020`, `[10,20]`, `root:A::B`, `0029[ACME]01`."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from pydicombatch.process.anonymize.instance import DataSet, Element
from pydicombatch.process.anonymize.javatext import trim
from pydicombatch.process.anonymize.tables import dictionary, keywords

_HEX: Final = re.compile(r"[0-9a-fA-F]{1,8}")
_PAIR: Final = re.compile(r"([0-9a-fA-F]{0,4}),([0-9a-fA-F]{1,4})")
_BLOCK: Final = re.compile(r"([0-9a-fA-F]{4}),?\[([^\]]*)\]([0-9a-fA-F]{2})")
_PAIRS: Final = {"{": "}", "[": "]", "(": ")"}
_FIRST_DATA_GROUP: Final = 8


@dataclass(frozen=True, slots=True)
class Block:
    """A private element by its creator; which tag it is depends on the data set."""

    group: int
    creator: str
    low: int

    def tag(self, dataset: DataSet) -> int | None:
        """Find the tag in a data set that reserves the block."""
        block = dataset.block_of(self.group, self.creator)
        return None if block is None else self.group << 16 | block << 8 | self.low


Id = int | Block
PrivateNames = Mapping[str, Id]


def resolve(text: str, private_names: PrivateNames) -> Id | None:
    """Turn one id into a tag or a private block; nothing when it names no element."""
    name = trim(text)
    if len(name) > 1 and _PAIRS.get(name[0]) == name[-1]:
        name = trim(name[1:-1])
    if (tag := dictionary().tags.get(name)) is not None:
        return tag
    if _HEX.fullmatch(name):
        return int(name, 16)
    if pair := _PAIR.fullmatch(name):
        return int(pair[1] or "0", 16) << 16 | int(pair[2], 16)
    if (named := private_names.get(name.lower())) is not None:
        return named
    if (block := _BLOCK.fullmatch(name)) and int(block[1], 16) % 2:
        return Block(int(block[1], 16), block[2], int(block[3], 16))
    return None


def remedy(text: str) -> str:
    """Say what to write instead of a name that resolves to nothing."""
    known = keywords().get(text.strip("{}[]() "))
    return f"Write {known} instead" if known else "Write it as [gggg,eeee]"


@dataclass(frozen=True, slots=True)
class Specifier:
    """A path to an element; `steps` go into the first item of each sequence."""

    root: bool
    steps: tuple[Id | None, ...]

    @classmethod
    def of(cls, text: str, private_names: PrivateNames) -> "Specifier":
        """Read `[root:] id [:: id ...]`."""
        path = trim(text)
        root = path.startswith("root:")
        ids = path.removeprefix("root:").split("::")
        return cls(root, tuple(resolve(id_, private_names) for id_ in ids))

    @property
    def resolved(self) -> bool:
        """Tell whether every step names an element."""
        return all(step is not None for step in self.steps)

    def find(self, dataset: DataSet) -> tuple[DataSet, Element] | None:
        """Follow the path from the current data set; nothing where it ends early."""
        level = dataset.root if self.root else dataset
        for step in self.steps[:-1]:
            element = _element(level, step)
            if element is None or not element.items:
                return None
            level = element.items[0]
        element = _element(level, self.steps[-1])
        return None if element is None else (level, element)


def _element(level: DataSet, step: Id | None) -> Element | None:
    tag = step.tag(level) if isinstance(step, Block) else step
    if tag is None:
        return None
    if tag >> 16 < _FIRST_DATA_GROUP:
        meta = level.root.meta
        return meta.get(tag) if meta else None
    return level.elements.get(tag)
