"""The beginning of a file: preamble and File Meta Information (PS3.10 7.1). Pure.

The same instance always gets the same bytes: no title of a sender, no version that changes.
"""

import struct
from functools import lru_cache

IMPLEMENTATION_CLASS_UID = "2.25.61385865395638883239904147313618377580"
IMPLEMENTATION_VERSION_NAME = "PYDICOMBATCH"
_LONGEST_UID = 64  # PS3.5 9.1; what is longer is not worth remembering


def file_meta(sop_class_uid: str, sop_instance_uid: str, transfer_syntax_uid: str) -> bytes:
    """Return 128 zero bytes, the prefix and group 0002.

    Parameters
    ----------
    sop_class_uid, sop_instance_uid
        As the data set says, stripped.
    transfer_syntax_uid
        How the data set behind is encoded.
    """
    instance = _text(0x0003, b"UI", sop_instance_uid)
    if len(sop_class_uid) > _LONGEST_UID or len(transfer_syntax_uid) > _LONGEST_UID:
        before, behind = _around.__wrapped__(sop_class_uid, transfer_syntax_uid, len(instance))
    else:
        before, behind = _around(sop_class_uid, transfer_syntax_uid, len(instance))
    return before + instance + behind


@lru_cache(64)
def _around(sop_class_uid: str, transfer_syntax_uid: str, instance: int) -> tuple[bytes, bytes]:
    """Return what stands before and behind the `instance` bytes that name the instance."""
    before = struct.pack("<HH2sHI2s", 2, 0x0001, b"OB", 0, 2, b"\0\1")
    before += _text(0x0002, b"UI", sop_class_uid)
    behind = b"".join(
        (
            _text(0x0010, b"UI", transfer_syntax_uid),
            _text(0x0012, b"UI", IMPLEMENTATION_CLASS_UID),
            _text(0x0013, b"SH", IMPLEMENTATION_VERSION_NAME),
        )
    )
    size = len(before) + instance + len(behind)
    length = struct.pack("<HH2sHI", 2, 0x0000, b"UL", 4, size)
    # a preamble of zeros cannot be the beginning of a program (CVE-2019-11687)
    return bytes(128) + b"DICM" + length + before, behind


def _text(element: int, vr: bytes, value: str) -> bytes:
    raw = value.encode("ascii", "replace")
    raw += (b"\0" if vr == b"UI" else b" ") * (len(raw) % 2)
    return struct.pack("<HH2sH", 2, element, vr, len(raw)) + raw
