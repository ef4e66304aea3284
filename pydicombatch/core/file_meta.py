"""The beginning of a file: preamble and File Meta Information (PS3.10 7.1). Pure.

The same instance always gets the same bytes: no title of a sender, no version that changes.
"""

import struct

IMPLEMENTATION_CLASS_UID = "2.25.61385865395638883239904147313618377580"
IMPLEMENTATION_VERSION_NAME = "PYDICOMBATCH"


def file_meta(sop_class_uid: str, sop_instance_uid: str, transfer_syntax_uid: str) -> bytes:
    """Return 128 zero bytes, the prefix and group 0002.

    Parameters
    ----------
    sop_class_uid, sop_instance_uid
        As the data set says, stripped.
    transfer_syntax_uid
        How the data set behind is encoded.
    """
    group = b"".join(
        (
            struct.pack("<HH2sHI2s", 2, 0x0001, b"OB", 0, 2, b"\0\1"),
            _text(0x0002, b"UI", sop_class_uid),
            _text(0x0003, b"UI", sop_instance_uid),
            _text(0x0010, b"UI", transfer_syntax_uid),
            _text(0x0012, b"UI", IMPLEMENTATION_CLASS_UID),
            _text(0x0013, b"SH", IMPLEMENTATION_VERSION_NAME),
        )
    )
    length = struct.pack("<HH2sHI", 2, 0x0000, b"UL", 4, len(group))
    # a preamble of zeros cannot be the beginning of a program (CVE-2019-11687)
    return bytes(128) + b"DICM" + length + group


def _text(element: int, vr: bytes, value: str) -> bytes:
    raw = value.encode("ascii", "replace")
    raw += (b"\0" if vr == b"UI" else b" ") * (len(raw) % 2)
    return struct.pack("<HH2sH", 2, element, vr, len(raw)) + raw
