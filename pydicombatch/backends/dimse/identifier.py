"""The data set of a request and of its answers (PS3.4 C.4.1.1.3, C.4.2.1.4)."""

from collections.abc import Iterable
from io import BytesIO

from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filereader import read_dataset
from pydicom.filewriter import write_dataset

from pydicombatch.backends.dimse.models import IMPLICIT
from pydicombatch.backends.dimse.wire import ProtocolError
from pydicombatch.core.elements import ElementError, read, read_items, to_dataset
from pydicombatch.core.errors import RequestError
from pydicombatch.core.model import Key, Match, Request

UNDEFINED = 0xFFFFFFFF
FAILED_UIDS = "FailedSOPInstanceUIDList"
NO_KEYS = frozenset({"QueryRetrieveLevel", "SpecificCharacterSet"})
# PS3.4 C.6.1.1 and C.6.2.1: the key that tells one entity of a level from another
UNIQUE_KEYS = {
    "PATIENT": "PatientID",
    "STUDY": "StudyInstanceUID",
    "SERIES": "SeriesInstanceUID",
    "IMAGE": "SOPInstanceUID",
}


def encode(request: Request, charset: str, transfer_syntax: str) -> bytes:
    """Encode the keys of a request.

    Raises
    ------
    RequestError
        If a value does not fit its element.
    """
    buffer = DicomBytesIO()
    buffer.is_implicit_VR = transfer_syntax == IMPLICIT
    buffer.is_little_endian = True
    try:
        write_dataset(buffer, to_dataset(request.keys, charset))
        return bytes(buffer.getvalue())
    except ElementError as exc:
        raise RequestError(exc.problem, exc.remedy) from exc
    except Exception as exc:
        raise RequestError(
            "A value of the request cannot be encoded for its element",
            "Correct the row: numbers must be numbers and fit their element",
        ) from exc


def refuse_everything(request: Request) -> None:
    """Refuse a retrieve that names nothing: it would mean all that the archive holds.

    The last look before a request leaves; the plan has refused such rows already.

    Raises
    ------
    RequestError
        If the unique key of the level, or one of its values, is empty or a mere wildcard; if a
        UID has a wildcard; or if no key has a value at all.
    """
    keyword = UNIQUE_KEYS.get(request.value("QueryRetrieveLevel").upper(), "")
    for key in request.keys:
        if key.path == keyword and not _names_something(key):
            raise RequestError(
                f"A {request.type.upper()} without a value for {keyword} would retrieve everything",
                f"Give {keyword} a value, or remove the row",
            )
    if not any(_names_something(key) for key in request.keys if key.path not in NO_KEYS):
        raise RequestError(
            "A C-MOVE without any key that has a value would retrieve everything",
            f"Give {keyword or 'StudyInstanceUID'} a value, or remove the row",
        )


def _names_something(key: Key) -> bool:
    """Whether each value of a key has a letter or a digit, and a UID no wildcard."""
    named = all(any(map(str.isalnum, one)) for one in key.value.split("\\"))
    return named and not (key.path.endswith("InstanceUID") and {"*", "?"} & set(key.value))


def decode(data: bytes | None, transfer_syntax: str) -> Dataset:
    """Read the data set of an answer; values are decoded later, when asked for.

    Raises
    ------
    ProtocolError
        If there is none, or it is cut short, or it is no data set.
    """
    if not data:
        raise ProtocolError("it sent a match without a data set")
    try:
        found = read_dataset(
            BytesIO(data), is_implicit_VR=transfer_syntax == IMPLICIT, is_little_endian=True
        )
        whole = bool(found) and all(_is_whole(element) for element in found.elements())
    except Exception as exc:
        raise ProtocolError("it sent a data set that cannot be read") from exc
    if not whole:
        raise ProtocolError("it sent a data set that is cut short")
    return found


def match(found: Dataset, keys: Iterable[Key], charset: str) -> Match:
    """Take the requested elements from an answer; `charset` is assumed where it declares none."""
    asked = tuple(keys)
    return Match(
        tuple((key.path, read(found, key.path, charset)) for key in asked),
        tuple(
            (key.path, read_items(found, key.path, charset))
            for key in asked
            if key.value and "." in key.path
        ),
    )


def failed_uids(data: bytes | None, transfer_syntax: str) -> tuple[str, ...]:
    """Read (0008,0058) of a final C-MOVE response; empty when there is none to read."""
    if not data:
        return ()
    try:
        text = read(decode(data, transfer_syntax), FAILED_UIDS)
    except ProtocolError:  # optional, and often truncated
        return ()
    return tuple(uid for value in text.split("\\") if (uid := value.strip(" \0")))


def _is_whole(element: object) -> bool:
    if not isinstance(element, RawDataElement) or element.length == UNDEFINED:
        return True
    return len(element.value or b"") == element.length
