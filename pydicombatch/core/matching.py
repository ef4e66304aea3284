"""Whether an answer fits a key that was sent (PS3.4 C.2.2.2). Pure: texts in, a verdict out.

As lenient as archives are known to be: case, accents, repeated spaces, absent components of a
name, leading zeros of numbers and UIDs, punctuation in dates and wildcards in every value
representation do not count. What cannot be compared is not judged.
"""

import re
import unicodedata
from decimal import Decimal, InvalidOperation
from enum import Enum

from pydicombatch.core.moments import RANGED, interval, moment
from pydicombatch.core.values import LOCAL_TEXT, LONG_TEXT, has_escapes
from pydicombatch.core.wildcards import wildcard_matches

NUMERIC = frozenset({"DS", "FD", "FL", "IS", "SL", "SS", "SV", "UL", "US", "UV"})
# Elements that steer a query and are no keys (PS3.4 C.4.1.1.3.1)
STEERING = frozenset(
    {
        "QueryRetrieveLevel",
        "QueryRetrieveView",
        "SpecificCharacterSet",
        "TimezoneOffsetFromUTC",
        "RetrieveAETitle",
        "InstanceAvailability",
    }
)
LONGEST_UID = 64  # characters, PS3.5 9.1
_UID = re.compile(r"[0-9]+(\.[0-9]+)*")
_WILD = frozenset("*?")


class Fit(Enum):
    """How an answer compares with a key."""

    MATCHES = "it has a value that was asked for"
    DIFFERS = "it has another value"
    SILENT = "it has no value, or none that can be compared"


def is_universal(key: str) -> bool:
    """Whether a key asks for the element in return and restricts nothing (PS3.4 C.2.2.2.3)."""
    return not key.strip(" \0*")


def is_uid(text: str) -> bool:
    """Whether this can name an entity: digits and points (PS3.5 9.1); zeros in front may stand."""
    return len(text) <= LONGEST_UID and _UID.fullmatch(text) is not None


def fit(vr: str, key: str, value: str) -> Fit:
    r"""Compare the value of an answer with a key.

    Parameters
    ----------
    vr
        Value representation of the element.
    key
        What was sent; several values, any of which may match, at backslashes.
    value
        What came back, as text.
    """
    if is_universal(key):
        return Fit.MATCHES
    if not value.strip(" \0") or has_escapes(value):
        return Fit.SILENT
    wanted, found = _split(vr, key), _split(vr, value)
    if vr in RANGED and not any(any(map(str.isdigit, one)) for one in found):
        return Fit.SILENT
    if any(_matches(vr, one, other) for one in wanted for other in found):
        return Fit.MATCHES
    # Archives answer in a character set that lacks what was asked for, Orthanc in Latin 1
    is_lost = vr in LOCAL_TEXT and value.isascii() and not key.isascii()
    return Fit.SILENT if is_lost else Fit.DIFFERS


def _split(vr: str, text: str) -> list[str]:
    if vr in LONG_TEXT:
        return [text.strip(" \0")]
    return [part for one in text.split("\\") if (part := one.strip(" \0"))]


def _matches(vr: str, key: str, value: str) -> bool:
    if vr in RANGED and not _WILD & set(key):
        return interval(vr, key).holds(moment(vr, value))
    if vr in NUMERIC:
        return _number(key) == _number(value)
    if vr == "UI":
        return wildcard_matches(_uid(key), _uid(value))
    if vr == "PN":
        return _name_matches(key, value)
    return wildcard_matches(_folded(key), _folded(value))


def _name_matches(key: str, value: str) -> bool:
    """Compare any group of a name with any other: Latin, ideographic, phonetic (PS3.5 6.2.1)."""
    groups = [_group(one) for one in value.split("=")]
    sought = [group for one in key.split("=") if (group := _group(one))]
    return any(wildcard_matches(one, other) for one in sought for other in [*groups, _group(value)])


def _group(text: str) -> str:
    return "^".join(part.strip() for part in _folded(text).split("^")).rstrip("^ ")


def _folded(text: str) -> str:
    """Take case, accents, full width and repeated spaces away."""
    plain = unicodedata.normalize("NFKD", text.casefold())
    return " ".join("".join(c for c in plain if not unicodedata.combining(c)).casefold().split())


def _uid(text: str) -> str:
    return ".".join(part.lstrip("0") or part[:1] for part in text.split("."))


def _number(text: str) -> Decimal | str:
    try:
        return Decimal(text)
    except InvalidOperation:
        return text
