"""Everything the receiver is told at its start: plain values, so that a process can be told."""

from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

MEGABYTE = 1 << 20
GIGABYTE = 1 << 30


class Durability(StrEnum):
    """What an acknowledgement is worth after a power loss; the values of `local.durability`."""

    INSTANCE = "instance"  # each file is synced by itself
    BATCH = "batch"  # files that end together are synced together; worth the same
    NONE = "none"  # the operating system writes when it likes


@dataclass(frozen=True, slots=True)
class Limits:
    """What peers may cost us, and how long they may take; seconds, bytes, connections."""

    connections: int = 1024
    connections_per_address: int = 512
    connections_per_turn: int = 64  # accepted before others are served again
    associate_seconds: float = 10.0  # from the connection to the whole A-ASSOCIATE-RQ, TLS too
    unit_seconds: float = 30.0  # for one protocol data unit
    message_seconds: float = 60.0  # silence inside a message
    idle_seconds: float = 900.0  # silence between messages: archives stage from tape
    dead_seconds: float = 120.0  # until a peer that has vanished from the network is given up
    closing_seconds: float = 5.0  # for the peer to hang up
    largest_object: int = 4 * GIGABYTE
    held_bytes: int = 32 * MEGABYTE  # of all association requests that are half received
    unconfirmed: int = 512  # instances announced and not taken, before answers are delayed


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """PEM files of the TLS listener; with `ca` the peer must show a certificate, too."""

    cert: str
    key: str
    ca: str = ""


@dataclass(frozen=True, slots=True)
class Settings:
    """One storage SCP."""

    port: int  # 0: the system chooses
    aet: str
    spool: str  # directory, on the file system that keeps the promise
    run: str  # identity of the run, in the name of every spool file
    bind: str = ""  # address; empty: all interfaces
    originator: str = ""  # title our C-MOVE requests go out under; empty: `aet`
    calling_aets: tuple[str, ...] = ()  # empty: whoever calls
    addresses: tuple[str, ...] = ()  # addresses or networks that may connect; empty: all
    unsolicited: bool = False  # whether instances that nothing asked for are kept
    durability: Durability = Durability.BATCH
    floor: int = GIGABYTE  # bytes that must stay free on the spool's file system
    megabytes_per_second: float = 0.0  # over all associations; 0: no limit
    # bytes; the longest that DCMTK and Orthanc send. CPU of ours for 0.5 MB, measured with DCMTK's
    # storescu: 0.8 ms, at 64 KiB 0.85, at 32 KiB 1.0, at 16 KiB 1.3
    max_pdu: int = 131072
    tls: TlsFiles | None = None
    counted: int = 0  # the last number of a spool file that was announced before
    listens: bool = True  # else only associations of ours are served (C-GET)
    processes: int = 0  # that serve; 0: as many as are worth it
    compiled: bool = True  # whether compiled code is used where it is installed
    limits: Limits = field(default_factory=Limits)

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "Settings":
        """Read what `to_json` wrote."""
        tls = TlsFiles(**values["tls"]) if values["tls"] else None
        return cls(
            **{
                **values,
                "tls": tls,
                "limits": Limits(**values["limits"]),
                "durability": Durability(values["durability"]),
                "calling_aets": tuple(values["calling_aets"]),
                "addresses": tuple(values["addresses"]),
            }
        )
