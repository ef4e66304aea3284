"""Whom we call, under which name, and how long we wait. Values only."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Longest waits, in seconds."""

    connect: float = 10.0  # for each address of the host
    association: float = 30.0  # for the answer to A-ASSOCIATE-RQ
    response: float = 60.0  # silence of the archive while a request runs
    total: float = 14400.0  # for one request, whatever is sent meanwhile
    dead: float = 120.0  # until a connection whose other end has vanished is given up


@dataclass(frozen=True, slots=True)
class Tls:
    """PEM files of a TLS connection; empty is none."""

    ca: str = ""  # whom to trust; empty: the authorities of the system
    cert: str = ""  # ours, when the archive asks for one
    key: str = ""
    verify: bool = True  # whether the archive must prove who it is


@dataclass(frozen=True, slots=True)
class Peer:
    """The archive's DICOM listener and the title we call it under."""

    hostname: str
    port: int
    aet: str
    calling_aet: str
    charset: str = "ISO_IR 192"  # (0008,0005) of a request that is not plain ASCII
    timeouts: Timeouts = field(default_factory=Timeouts)
    tls: Tls | None = None  # None: a plain connection
    relational: bool = False  # whether to ask for relational queries (PS3.4 C.5)

    def __str__(self) -> str:
        host = f"[{self.hostname}]" if ":" in self.hostname else self.hostname
        return f"{host}:{self.port}"
