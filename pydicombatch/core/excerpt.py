"""Text of chosen elements, read from the bytes of a file. Pure; fast, and strict about doubts.

Only the headers of elements are stepped over, up to the last one that is wanted. What this way
cannot read for certain (a value representation that is not the dictionary's) is an error, and
the caller reads it with pydicom.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache

from pydicombatch.core import values
from pydicombatch.core.element_scan import EXPLICIT_LITTLE, file_meta, scan
from pydicombatch.core.element_walk import (
    IMPLICIT_LITTLE,
    Buffer,
    Encoding,
    UnreadableError,
    encoding_at,
    walk,
)
from pydicombatch.core.grammar import steps, vr_of
from pydicombatch.core.header import (
    BIG_ENDIAN,
    CHARACTER_SET,
    DEFLATED,
    IMPLICIT,
    PREAMBLE,
    behind_file_meta,
    inflate,
)

__all__ = ["Excerpt", "UnreadableError", "plain"]
REMEMBERED = 128  # bytes of a value
UNCERTAIN = frozenset({"SQ", "UN", *values.AMBIGUOUS})  # the dictionary alone does not tell


def _is_plain(path: str) -> bool:
    """Whether an element stands at the top of a data set and has one VR by the dictionary."""
    first, *more = steps(path)
    return not more and first.item is None and vr_of(first.tag) not in UNCERTAIN


@dataclass(frozen=True)
class Excerpt:
    """Reads the elements of these canonical paths, all of them plain (`plain`)."""

    paths: tuple[str, ...]
    _wanted: tuple[tuple[int, str], ...] = field(init=False, repr=False, compare=False)
    _kinds: dict[int, str] = field(init=False, repr=False, compare=False)
    _codes: dict[int, bytes] = field(init=False, repr=False, compare=False)
    _last: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        tags = [steps(path)[0].tag for path in self.paths]
        object.__setattr__(self, "_wanted", tuple((tag, vr_of(tag)) for tag in tags))
        object.__setattr__(self, "_kinds", dict(self._wanted))
        kinds = {CHARACTER_SET: "CS", **self._kinds}
        object.__setattr__(self, "_codes", {tag: vr.encode() for tag, vr in kinds.items()})
        object.__setattr__(self, "_last", max([CHARACTER_SET, *tags]))

    def of_file(self, data: Buffer) -> tuple[str, ...]:
        r"""Return the text of each element; "" when absent, several values joined by a backslash.

        Parameters
        ----------
        data
            A file with preamble and File Meta Information (PS3.10 7.1).

        Raises
        ------
        UnreadableError
            If it is none, ends early, or cannot be read this way for certain.
        """
        if bytes(data[PREAMBLE : PREAMBLE + 4]) != b"DICM":
            raise UnreadableError("it has no preamble")
        syntax, start = behind_file_meta(data, PREAMBLE + 4)
        encoding = Encoding(explicit=syntax not in IMPLICIT, little=syntax != BIG_ENDIAN)
        if syntax in DEFLATED:
            data, start = inflate(data, start)[0], 0
        encoding = encoding_at(data, start, encoding)
        found = self._found(data, start, encoding)
        terms = _terms(found.get(CHARACTER_SET, b""))
        order = "<" if encoding.little else ">"
        return tuple(
            values.decode(vr, found[tag], order, terms, None) if tag in found else ""
            for tag, vr in self._wanted
        )

    def of_beginning(self, data: bytes, *, whole: bool) -> tuple[str, ...]:
        """Return the same of a file of the usual kind, of which only the beginning is there.

        Parameters
        ----------
        data
            The beginning of a file with preamble and File Meta Information.
        whole
            Whether it is all of the file.

        Raises
        ------
        UnreadableError
            If more is needed, or it is not of the usual kind: `of_file` may know better.
        """
        if data[PREAMBLE : PREAMBLE + 4] != b"DICM":
            raise UnreadableError("it has no preamble")
        syntax, start = file_meta(data, PREAMBLE + 4)
        if not syntax or syntax == BIG_ENDIAN or syntax in DEFLATED:
            raise UnreadableError("it is not of the usual kind")
        explicit = syntax not in IMPLICIT
        explicit = encoding_at(
            data, start, EXPLICIT_LITTLE if explicit else IMPLICIT_LITTLE
        ).explicit
        found: dict[int, bytes] = {}
        for tag, vr, offset, length in scan(
            data, start, self._last, explicit=explicit, whole=whole
        ):
            if tag in self._codes:
                if explicit and vr != self._codes[tag]:
                    raise UnreadableError("a value representation is not the one of the dictionary")
                found[tag] = data[offset : offset + length]
        terms = _terms(found.get(CHARACTER_SET, b""))
        return tuple(
            _decoded(vr, found[tag], terms) if tag in found else "" for tag, vr in self._wanted
        )

    def _found(self, data: Buffer, start: int, encoding: Encoding) -> dict[int, bytes]:
        found: dict[int, bytes] = {}
        for tag, offset, length in walk(data, start, encoding):
            if tag > self._last:
                break
            if tag in self._kinds or tag == CHARACTER_SET:
                if encoding.explicit:
                    _check(data, offset, self._kinds.get(tag, "CS"))
                found[tag] = bytes(data[offset : offset + length])
        return found


def _terms(raw: bytes) -> tuple[str, ...]:
    return tuple(raw.decode("latin-1").strip(" \0").split("\\"))


def _decoded(vr: str, raw: bytes, terms: tuple[str, ...]) -> str:
    if len(raw) > REMEMBERED:
        return values.decode(vr, raw, "<", terms, None)
    return _remembered(vr, raw, terms)


@lru_cache(maxsize=4096)
def _remembered(vr: str, raw: bytes, terms: tuple[str, ...]) -> str:
    """Decode once what the slices of a series have in common."""
    return values.decode(vr, raw, "<", terms, None)


def _check(data: Buffer, offset: int, vr: str) -> None:
    """Make sure that an explicit header says what the dictionary says (PS3.5 7.1.2)."""
    expected = vr.encode()
    if expected not in {bytes(data[offset - 4 : offset - 2]), bytes(data[offset - 8 : offset - 6])}:
        raise UnreadableError("a value representation is not the one of the dictionary")


def plain(paths: Iterable[str]) -> bool:
    """Whether all of these can be read by an `Excerpt`."""
    return all(map(_is_plain, paths))
