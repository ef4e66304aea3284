"""What the peer did, as the state machine tells it."""

from typing import NamedTuple

from pydicombatch.receive.upperlayer.command import Command


class Associated(NamedTuple):
    """An association was accepted."""

    calling_aet: str
    contexts: int  # presentation contexts accepted


class Rejected(NamedTuple):
    """An association was refused; the A-ASSOCIATE-RJ lies in the output."""

    result: int
    source: int
    reason: int


class StoreBegun(NamedTuple):
    """A C-STORE request was read; its data set follows as `Fragment`s."""

    command: Command
    transfer_syntax_uid: str


class Fragment(NamedTuple):
    """A piece of the data set: a view into the bytes that were given, not a copy of them."""

    data: memoryview


class StoreEnded(NamedTuple):
    """The data set is complete; nothing more is read until `Association.answer`."""


class Echoed(NamedTuple):
    """A C-ECHO was answered."""


class Released(NamedTuple):
    """The peer ended the association in order."""


class Aborted(NamedTuple):
    """The association ended at once, by the peer or because the peer broke the protocol."""

    by_peer: bool
    reason: str  # one of our own sentences


Event = Associated | Rejected | StoreBegun | Fragment | StoreEnded | Echoed | Released | Aborted
