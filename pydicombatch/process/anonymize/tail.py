"""What lies at and behind Pixel Data: copied without decoding, some elements left out."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from pydicombatch.process.anonymize.instance import PIXEL_DATA, DataSet, Element
from pydicombatch.process.anonymize.plan import Action, Plan
from pydicombatch.process.anonymize.reading import (
    Encoding,
    Header,
    Instance,
    NotDicomError,
    Reader,
    TruncatedError,
)
from pydicombatch.process.anonymize.writing import Writer, window

_ENDS: Final = frozenset((0xFFFAFFFA, 0xFFFCFFFC))  # digital signatures, trailing padding


@dataclass(frozen=True, slots=True)
class Piece:
    """One element of the tail: its header, and where it begins and ends in the input."""

    header: Header
    begin: int
    end: int


def pieces(instance: Instance) -> list[Piece]:
    """List the elements from Pixel Data on.

    Raises
    ------
    TruncatedError
        If the file ends within one.
    """
    reader = Reader(instance.data, instance.encoding)
    found, at = [], instance.tail
    while at < reader.size:
        try:
            header = reader.header(at, explicit=instance.encoding.explicit)
            if header.tag in _ENDS:
                break
            end = reader.skip(header)
        except NotDicomError as error:
            raise TruncatedError("the file ends within its last elements") from error
        if end > reader.size:
            raise TruncatedError("the file ends within its last elements")
        found.append(Piece(header, at, end))
        at = end
    return found


class Filter:
    """Leaves out what the script removes behind Pixel Data, where it can remove little else."""

    def __init__(self, plan: Plan, actions: Mapping[int, Action], instance: Instance) -> None:
        self._plan = plan
        self._actions = actions
        self._instance = instance
        self._creators = DataSet({}, None, instance.encoding.big_endian)

    def __call__(self, found: Iterable[Piece]) -> list[Piece]:
        """Return the elements that stay."""
        return [piece for piece in found if self._stays(piece)]

    def _stays(self, piece: Piece) -> bool:
        tag = piece.header.tag
        if tag == PIXEL_DATA:
            return True
        remove = self._plan.script.remove
        if tag >> 16 & 1:
            if tag & 0xFFFF < 0x100:  # noqa: PLR2004 - a private creator
                return self._creator_stays(piece)
            if "privategroups" in remove and not self._safe(tag):
                return False
        action = self._actions.get(tag)
        if action is None:
            return "unspecifiedelements" not in remove
        return not action.removes

    def _safe(self, tag: int) -> bool:
        return self._plan.script.keep_safe and self._plan.safe(self._creators, tag)

    def _creator_stays(self, piece: Piece) -> bool:
        header = piece.header
        value = bytes(self._instance.data[header.start : piece.end])
        self._creators.elements[header.tag] = Element(header.tag, "LO", value)
        script = self._plan.script
        return "privategroups" not in script.remove or script.keep_safe


def elements(kept: Iterable[Piece], instance: Instance) -> Iterator[Element]:
    """Yield what stays behind Pixel Data, to be looked into."""
    reader = Reader(instance.data, instance.encoding)
    for piece in kept:
        if piece.header.tag != PIXEL_DATA:
            yield reader.element(piece.header, instance.dataset)


def leaking(kept: Iterable[Piece], actions: Mapping[int, Action]) -> bool:
    """Tell whether the tail keeps something that the script wants to change."""
    return any(
        (action := actions.get(piece.header.tag)) is not None and action.constant != "@keep()"
        for piece in kept
    )


def encoded(
    kept: Sequence[Piece], instance: Instance, output: Encoding
) -> Iterator[bytes | memoryview]:
    """Yield the bytes of the tail, verbatim as long as the encoding stays."""
    if output == instance.encoding:
        for piece in kept:
            yield from window(instance.data, piece.begin, piece.end)
        return
    reader = Reader(instance.data, instance.encoding)
    writer = Writer(output, swap=output.big_endian != instance.encoding.big_endian)
    for piece in kept:
        yield writer.dataset([reader.element(piece.header, instance.dataset)])
