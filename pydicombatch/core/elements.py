"""How an operator names DICOM elements, and how their text becomes an identifier and back.

The grammar is the union of what the usual command lines accept: `Keyword`, `(gggg,eeee)`,
`gggg,eeee`, `ggggeeee`, each with `=value`, and `Sequence[0].Keyword`. Spaces around names and
values are ignored. Everything else in the program only ever sees the canonical path.
"""

from collections.abc import Iterable
from functools import lru_cache

from pydicom.charset import python_encoding
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from pydicombatch.core import values
from pydicombatch.core.grammar import ElementError, Step, name_of, steps, vr_of
from pydicombatch.core.model import Key

__all__ = [
    "DEFAULT_CHARSET",
    "ElementError",
    "check_key",
    "column",
    "is_charset",
    "parse_key",
    "parse_path",
    "read",
    "read_items",
    "to_dataset",
    "vr",
]
DEFAULT_CHARSET = "ISO_IR 192"  # UTF-8


def parse_key(text: str) -> Key:
    """Read one entry of `request.elements`: a path, and a value behind the first `=`.

    Raises
    ------
    ElementError
        If the path names no element; the nearest keywords are in the remedy.
    """
    path, _, value = text.partition("=")
    return Key(parse_path(path), value.strip())


@lru_cache(maxsize=4096)
def parse_path(text: str) -> str:
    """Return the canonical path of an element: its keyword if it has one, else `(GGGG,EEEE)`.

    Raises
    ------
    ElementError
        If the path names no element.
    """
    return ".".join(map(str, steps(text)))


def column(path: str) -> str:
    """Return the name of the element's column in the CSV of results."""
    return parse_path(path)


def vr(path: str) -> str:
    """Return the value representation of an element by the dictionary; `UN` when unknown."""
    return vr_of(steps(path)[-1].tag)


def is_charset(term: str) -> bool:
    """Whether this is a Defined Term of (0008,0005), or several joined by a backslash."""
    return bool(term.strip()) and all(one.strip() in python_encoding for one in term.split("\\"))


def check_key(key: Key, charset: str | None = None) -> None:
    """Make sure that the value can be sent.

    Parameters
    ----------
    key
        A key with a canonical path.
    charset
        The Specific Character Set that text outside ASCII would be sent in.

    Raises
    ------
    ElementError
        If the value does not fit the element's VR or the character set.
    """
    step = steps(key.path)[-1]
    representation = vr_of(step.tag)
    if representation == "SQ" or step.item is not None:
        if key.value:
            raise ElementError(
                f"{key.path} is a sequence and takes no value",
                f"Give the value to an element of its item, as in {name_of(step.tag)}[0].Keyword",
            )
        return
    try:
        values.encode(representation, key.value)
    except ValueError as exc:
        raise ElementError(
            f"{key.path} cannot take its value: {exc}",
            f"Write a value of the kind {representation}, or leave it empty",
        ) from exc
    if not key.value.isascii() and not values.encodable(key.value, charset or DEFAULT_CHARSET):
        raise ElementError(
            f"{key.path} has characters that the character set {charset} does not know",
            "Set pacs.charset to ISO_IR 192 or to a set that has them",
        )


def to_dataset(keys: Iterable[Key], charset: str | None = None) -> Dataset:
    """Build the identifier of a request; a later key replaces an earlier one of the same path.

    Parameters
    ----------
    keys
        Keys with canonical paths.
    charset
        Specific Character Set to declare when a value is not ASCII; ISO_IR 192 when None.
        A key for (0008,0005) that has a value wins.

    Raises
    ------
    ElementError
        If a value does not fit its VR or the character set.
    """
    several = tuple(keys)
    own = [key.value for key in several if key.path == "SpecificCharacterSet" and key.value]
    chosen = own[-1] if own else charset or DEFAULT_CHARSET
    root = Dataset()
    for key in several:
        check_key(key, chosen)
        _put(root, steps(key.path), key.value)
    if not all(key.value.isascii() for key in several):
        root.SpecificCharacterSet = chosen.split("\\") if "\\" in chosen else chosen
    return root


def read(dataset: Dataset, path: str, charset: str | None = None) -> str:
    r"""Return the text of an element of an answer; never raises on what an archive sends.

    Parameters
    ----------
    dataset
        The answer.
    path
        A path of the grammar.
    charset
        What to assume when the answer has text outside ASCII and declares no character set.

    Returns
    -------
    str
        "" when absent, empty or a sequence; several values joined by a backslash. Bytes that the
        character set cannot decode are kept as `\xNN`.
    """
    return _read(dataset, steps(path), _declared(dataset, ()), charset)


def read_items(dataset: Dataset, path: str, charset: str | None = None) -> tuple[str, ...]:
    """Return what `read` would, for every item of the outermost sequence of a path."""
    first, *inner = steps(path)
    try:
        items = list(dataset[first.tag].value)
    except Exception:  # noqa: BLE001 - a sequence as malformed as a peer likes
        return ()
    terms = _declared(dataset, ())
    return tuple(
        _read(item, tuple(inner), _declared(item, terms), charset)
        for item in items
        if isinstance(item, Dataset)
    )


def _read(
    dataset: Dataset, path: tuple[Step, ...], terms: tuple[str, ...], charset: str | None
) -> str:
    *outer, last = path
    here: Dataset | None = dataset
    for step in outer:
        here = None if here is None else _item(here, step)
        if here is None:
            return ""
        terms = _declared(here, terms)
    return _text(here, last.tag, terms, charset) if here is not None else ""


def _put(dataset: Dataset, steps: tuple[Step, ...], value: str) -> None:
    for step in steps:
        if step.item is None:
            break
        if step.tag not in dataset:
            dataset[step.tag] = DataElement(step.tag, "SQ", Sequence())
        items = dataset[step.tag].value
        items.extend(Dataset() for _ in range(step.item + 1 - len(items)))
        dataset = items[step.item]
    else:
        return
    if vr_of(step.tag) == "SQ":
        if step.tag not in dataset:
            dataset[step.tag] = DataElement(step.tag, "SQ", Sequence())
        return
    representation, encoded = values.encode(vr_of(step.tag), value)
    # our own check has passed; pydicom's would print patient values in its warnings
    dataset[step.tag] = DataElement(step.tag, representation, encoded, validation_mode=0)


def _item(dataset: Dataset, step: Step) -> Dataset | None:
    try:
        found = dataset[step.tag].value[step.item or 0]
    except Exception:  # noqa: BLE001 - a sequence as malformed as a peer likes
        return None
    return found if isinstance(found, Dataset) else None


def _declared(dataset: Dataset, inherited: tuple[str, ...]) -> tuple[str, ...]:
    text = _text(dataset, 0x00080005, (), None)
    return tuple(one.strip() for one in text.split("\\")) if text else inherited


def _text(dataset: Dataset, tag: int, terms: tuple[str, ...], charset: str | None) -> str:
    try:
        element = dataset.get_item(tag)
        if element is None:
            return ""
        if isinstance(element, RawDataElement):
            known = vr_of(tag)
            sent = element.VR if element.VR not in {None, "UN"} else known
            order = "<" if element.is_little_endian else ">"
            return values.decode(sent or known, element.value or b"", order, terms, charset)
        return values.text(element.value)
    except Exception:  # noqa: BLE001 - see `read`: one bad cell must not cost the answer
        return ""
