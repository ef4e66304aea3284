"""From implicit VR and big endian to Explicit VR Little Endian, value bytes kept as they are.

Values are moved, not parsed: text in a wrong character set, a date that is none, a number with
blanks come through unharmed. Only the byte order of numbers changes (PS3.5 7.3).
"""

from array import array

from pydicom import DataElement, Dataset
from pydicom.dataelem import RawDataElement
from pydicom.tag import BaseTag

from pydicombatch.core.grammar import vr_of

RESOLVED = {"OB or OW": "OW", "US or OW": "OW", "US or SS or OW": "OW"}  # PS3.5 A.1, A.2
WORD = {
    **dict.fromkeys(("AT", "OW", "SS", "US"), "H"),
    **dict.fromkeys(("FL", "OF", "OL", "SL", "UL"), "I"),
    **dict.fromkeys(("FD", "OD", "OV", "SV", "UV"), "Q"),
}


def as_explicit_little_endian(dataset: Dataset, *, signed: bool | None = None) -> None:
    """Change a data set that was just read so that it is written in this encoding.

    Parameters
    ----------
    dataset
        As pydicom read it, decoded as little as possible; changed in place.
    signed
        Pixel Representation of the data set around it; None outermost.
    """
    if signed is None and _is_there_already(dataset):
        return
    if "PixelRepresentation" in dataset or signed is None:
        signed = dataset.get("PixelRepresentation", 0) == 1
    for tag in list(dataset.keys()):
        element = dataset.get_item(tag)
        if isinstance(element, RawDataElement):
            vr = _vr(element, signed=signed)
            if vr != "SQ":
                dataset[tag] = _moved(element, vr)
                continue
            element = dataset[tag]
        _descend(element, signed=signed)
    dataset.set_original_encoding(is_implicit_vr=False, is_little_endian=True)


def _is_there_already(dataset: Dataset) -> bool:
    """By what was found, too: some senders say explicit and mean implicit."""
    return dataset.original_encoding == (False, True) and all(
        element.VR is not None for element in dataset.elements()
    )


def _descend(element: DataElement | None, *, signed: bool) -> None:
    if element is not None and element.VR == "SQ":
        for item in element.value:
            as_explicit_little_endian(item, signed=signed)


def _vr(element: RawDataElement, *, signed: bool) -> str:
    known = element.VR or _looked_up(element.tag)
    if known == "US or SS":
        return "SS" if signed else "US"
    return RESOLVED.get(known, known)


def _looked_up(tag: BaseTag) -> str:
    if tag.is_private_creator:
        return "LO"
    return "UL" if tag.element == 0 else vr_of(tag)


def _moved(element: RawDataElement, vr: str) -> RawDataElement:
    value = element.value or b""
    if not element.is_little_endian and vr in WORD:
        words = array(WORD[vr])
        whole = len(value) - len(value) % words.itemsize
        words.frombytes(value[:whole])
        words.byteswap()
        value = words.tobytes() + value[whole:]
    return element._replace(
        VR=vr, value=value, length=len(value), is_implicit_VR=False, is_little_endian=True
    )
