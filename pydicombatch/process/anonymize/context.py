"""What a script sees while it runs, and how it ends an instance."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from pydicombatch.process.anonymize.contents import contents
from pydicombatch.process.anonymize.instance import DataSet, Element
from pydicombatch.process.anonymize.lookup import LookupTable


class QuarantineError(Exception):
    """The instance is set aside; the reason is one of our own sentences."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class SkipError(Exception):
    """A script asked to leave the instance out."""


@dataclass(slots=True)
class Context:
    """One evaluation: the element `tag` of the data set `source`.

    `process` walks the items of the element and keeps the result for the caller.
    """

    source: DataSet
    tag: int
    lookup: LookupTable
    now: datetime
    programs: Mapping[int, "Program"]
    process: Callable[[], None] = field(default=lambda: None)

    @property
    def element(self) -> Element | None:
        """The element being processed, as the input has it."""
        if self.tag >> 16 == 2:  # noqa: PLR2004 - file meta information
            if self.source.meta is None:
                raise QuarantineError("A script reads file meta information, and there is none")
            return self.source.meta.get(self.tag)
        return self.source.elements.get(self.tag)

    @property
    def text(self) -> str | None:
        """Contents of the element being processed."""
        element = self.element
        return None if element is None else contents(self.source, element)

    def at(self, tag: int) -> "Context":
        """Return the context of another element of the same data set."""
        return Context(self.source, tag, self.lookup, self.now, self.programs)


Program = Callable[[Context], str]
Function = Callable[[Context], str | None]
Reader = Callable[[Context], str | None]
