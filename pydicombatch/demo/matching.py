"""Whether an entity matches an identifier (PS3.4 C.2.2.2). Pure: data sets in, a verdict out."""

from collections.abc import Sequence
from decimal import Decimal, InvalidOperation

from pydicom import DataElement, Dataset
from pydicom.multival import MultiValue

from pydicombatch.core.matching import NUMERIC, STEERING
from pydicombatch.core.moments import RANGED, interval, moment
from pydicombatch.core.wildcards import wildcard_matches

WILDCARD = frozenset({"AE", "CS", "LO", "LT", "PN", "SH", "ST", "UC", "UR", "UT"})


def matches(keys: Dataset, entity: Dataset) -> bool:
    """Decide whether an entity matches every key of an identifier.

    Parameters
    ----------
    keys
        The identifier of a C-FIND; elements that steer the query are passed over.
    entity
        The attributes of one patient, study, series or instance. A key whose element the entity
        does not know is not matched against: an SCP may leave an optional key unsupported.
    """
    return all(
        element_matches(key, entity[key.tag])
        for key in keys
        if key.keyword not in STEERING and key.tag in entity
    )


def element_matches(key: DataElement, element: DataElement) -> bool:
    """Decide whether one element matches one key of the same tag."""
    if key.VR == "SQ":
        return _sequence_matches(key.value, element.value)
    return values_match(element.VR, texts(key), texts(element))


def values_match(vr: str, keys: Sequence[str], values: Sequence[str]) -> bool:
    """Decide whether any value of an element matches any value of its key.

    A key without a value, or of `*` alone, matches everything, an empty element included. Several
    UIDs are a list of which any may match; so are several values of another VR, as archives with
    multiple value matching take them.
    """
    if is_universal(vr, keys):
        return True
    return any(_value_matches(vr, key, value) for key in keys if key for value in values)


def is_universal(vr: str, keys: Sequence[str]) -> bool:
    """Whether a key asks for the element in return and restricts nothing (PS3.4 C.2.2.2.3)."""
    given = [key for key in keys if key]
    return not given or (vr in WILDCARD and all(not key.strip("*") for key in given))


def texts(element: DataElement) -> tuple[str, ...]:
    """Return the values of an element as text, without padding; none when it is empty."""
    value = element.value
    if value is None:
        return ()
    several = value if isinstance(value, (MultiValue, list)) else [value]
    found = tuple(str(one).strip(" \0") for one in several)
    return found if any(found) else ()


def _value_matches(vr: str, key: str, value: str) -> bool:
    if not value:
        return False
    if vr in RANGED:
        return interval(vr, key).holds(moment(vr, value))
    if vr in NUMERIC:
        return _number(key) == _number(value)
    if vr == "PN":
        return wildcard_matches(_name(key), _name(value))
    return wildcard_matches(key, value) if vr in WILDCARD else key == value


def _name(value: str) -> str:
    """Fold a person name: case and absent components do not count (PS3.4 C.2.2.2.1)."""
    return "=".join(group.rstrip("^ ") for group in value.casefold().split("=")).rstrip("=")


def _number(value: str) -> Decimal | str:
    try:
        return Decimal(value)
    except InvalidOperation:
        return value


def _sequence_matches(keys: Sequence[Dataset], items: Sequence[Dataset]) -> bool:
    """Match an item against the item of keys (PS3.4 C.2.2.2.6); an empty one is universal."""
    wanted = [item for item in keys if _restricts(item)]
    return not wanted or any(_item_matches(key, item) for key in wanted for item in items)


def _restricts(keys: Dataset) -> bool:
    return any(
        any(_restricts(item) for item in key.value)
        if key.VR == "SQ"
        else not is_universal(key.VR, texts(key))
        for key in keys
    )


def _item_matches(keys: Dataset, item: Dataset) -> bool:
    """Within an item an absent element is an empty one: it matches a universal key alone."""
    return all(
        element_matches(key, item[key.tag]) if key.tag in item else not _restricts(_alone(key))
        for key in keys
    )


def _alone(key: DataElement) -> Dataset:
    ds = Dataset()
    ds[key.tag] = key
    return ds
