"""Where an association is, with the states of PS3.8 table 9-10 that the phases stand for."""

from enum import Enum


class Phase(Enum):
    """Where an association is."""

    AWAITING = "no request yet"  # Sta2
    OPEN = "messages flow"  # Sta6
    CLOSING = "we said goodbye, the peer should hang up"  # Sta13: what still comes is thrown away
    CLOSED = "hang up"  # Sta1
