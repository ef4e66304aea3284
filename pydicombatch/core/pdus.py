"""The kinds of protocol data units, for those who ask and for those who receive."""

from enum import IntEnum


class PduType(IntEnum):
    """The first byte of every protocol data unit (PS3.8 9.3.1)."""

    ASSOCIATE_RQ = 1
    ASSOCIATE_AC = 2
    ASSOCIATE_RJ = 3
    DATA = 4
    RELEASE_RQ = 5
    RELEASE_RP = 6
    ABORT = 7
