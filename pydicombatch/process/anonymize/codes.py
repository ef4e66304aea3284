"""De-identification Method Code Sequence (0012,0064), which scripts fill by code alone."""

from typing import Final

from pydicombatch.process.anonymize import javatext
from pydicombatch.process.anonymize.context import Context
from pydicombatch.process.anonymize.instance import CODE_SEQUENCE, DataSet, Element
from pydicombatch.process.anonymize.plan import Action

# PS3.16 CID 7050
MEANINGS: Final = {
    "113100": "Basic Application Confidentiality Profile",
    "113101": "Clean Pixel Data Option",
    "113102": "Clean Recognizable Visual Features Option",
    "113103": "Clean Graphics Option",
    "113104": "Clean Structured Content Option",
    "113105": "Clean Descriptors Option",
    "113106": "Retain Longitudinal Temporal Information Full Dates Option",
    "113107": "Retain Longitudinal Temporal Information Modified Dates Option",
    "113108": "Retain Patient Characteristics Option",
    "113109": "Retain Device Identity Option",
    "113110": "Retain UIDs",
    "113111": "Retain Safe Private Option",
    "113112": "Retain Institution Identity Option",
}
_UNKNOWN: Final = "UNKNOWN"
VALUE, SCHEME, MEANING = 0x00080100, 0x00080102, 0x00080104
NAMING: Final = frozenset((VALUE, SCHEME, 0x00080103))  # what names a code, PS3.3 8
PARTS: Final = NAMING | {MEANING}


def rewritten(element: Element | None, action: Action, context: Context) -> Element | None:
    """Return the sequence with the codes that the script names; nothing if it goes or is absent."""
    if not action.text:
        return element
    text = javatext.trim(action.program(context))
    if text == "@remove()":
        return None
    if text in {"@keep()", ""}:
        return element
    items = list(element.items or ()) if element else []
    for part in javatext.split(text, "/"):
        code = javatext.trim(part)
        if code.lower() == "reset":
            items = []
        else:
            items.append(item(code, context.source))
    return Element(CODE_SEQUENCE, "SQ", b"", tuple(items))


def item(code: str, parent: DataSet | None) -> DataSet:
    """Make the item of one code of CID 7050."""
    known = code in MEANINGS
    values = (
        (VALUE, "SH", code),
        (SCHEME, "SH", "DCM" if known else _UNKNOWN),
        (MEANING, "LO", MEANINGS.get(code, _UNKNOWN)),
    )
    elements = {tag: Element(tag, vr, text.encode("utf-8")) for tag, vr, text in values}
    return DataSet(elements, parent)
