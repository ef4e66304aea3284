"""The two sides of an association: the sections `pacs` and `local`."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator

from pydicombatch.config.section import Section
from pydicombatch.config.types import (
    AeTitle,
    Charset,
    Duration,
    FilePath,
    Host,
    Kind,
    Names,
    Port,
    SomeDuration,
    lowered,
    wrong,
)

TEXT = Kind("text")


class Timeouts(Section):
    """How long the archive is waited for; as `90`, `90s`, `10m` or `4h`."""

    connect: SomeDuration = Field(default=10.0, description="until the TCP connection stands")
    association: SomeDuration = Field(
        default=30.0, description="until the archive accepts an association"
    )
    response: SomeDuration = Field(
        default=600.0,
        description="longest silence while a request runs: no response, and no instance either",
    )
    total: SomeDuration = Field(
        default=14400.0,
        description="longest time for one request in all, whatever the archive sends meanwhile",
    )
    dead: SomeDuration = Field(
        default=120.0,
        description="until a connection whose other end has vanished is given up",
    )
    grace: Duration = Field(
        default=30.0,
        description="for running requests to end by themselves after Ctrl-C or SIGTERM",
    )
    quiet: Duration = Field(
        default=10.0, description="waiting for late instances after the final response of a C-MOVE"
    )


class PacsTls(Section):
    """TLS to the archive; 1.2 and 1.3 by the BCP 195 profile, never a plain connection."""

    ca: FilePath | None = Field(
        default=None, description="PEM file of the authority to trust; the system's if not given"
    )
    cert: FilePath | None = Field(default=None, description="our certificate, if it asks for one")
    key: FilePath | None = Field(default=None, description="its private key, without pass phrase")
    verify: bool = Field(
        default=True, description="false: do not check who answers; for tests alone"
    )

    @model_validator(mode="after")
    def _belongs_together(self) -> "PacsTls":
        if self.key is not None and self.cert is None:
            raise wrong("has a key but no cert", "Name our certificate under cert")
        return self


class Pacs(Section):
    """The archive we ask."""

    hostname: Host = Field(description="its DNS name or IP address")
    port: Port = Field(description="TCP port of its DICOM listener")
    aet: AeTitle = Field(description="its AE title")
    charset: Charset | None = Field(
        default=None,
        description="character set of requests with text outside ASCII (ISO_IR 192 if not given), "
        "and of answers that declare none",
    )
    max_matches: Annotated[int, Field(ge=0), Kind("number")] | None = Field(
        default=None,
        description="its limit of matches per query, 0 for none; signs of one are looked for if "
        "not given",
    )
    timeouts: Timeouts = Field(default=Timeouts(), description="how long we wait for it")
    tls: PacsTls | None = Field(default=None, description="TLS; a plain connection if not given")


class Accept(Section):
    """Who may store at our storage SCP."""

    unsolicited: bool = Field(
        default=False, description="true: keep instances too that no request asked for"
    )
    calling_aets: Names = Field(
        default=(), description="AE titles that may store here; any if not given"
    )
    addresses: Names = Field(
        default=(), description="addresses or networks that may connect; any if not given"
    )
    late: Duration = Field(
        default=86400.0,
        description="how long after a request was sent its instances are still taken, as `24h`",
    )


class LocalTls(Section):
    """TLS on our own port; 1.2 and 1.3 by the BCP 195 profile, nothing else is accepted there."""

    cert: FilePath = Field(description="PEM file of our certificate with its chain")
    key: FilePath = Field(description="its private key, without pass phrase")
    ca: FilePath | None = Field(
        default=None, description="authority of the archive's certificate, which it must show then"
    )


class Local(Section):
    """Our own application entity, to which the archive sends."""

    port: Port = Field(description="TCP port of our storage SCP")
    aet: AeTitle = Field(description="our AE title, as registered at the archive")
    calling_aet: AeTitle | None = Field(
        default=None, description="the AE title we call the archive with; `local.aet` if not given"
    )
    bind: Annotated[str, TEXT] = Field(
        default="", description="the address our storage SCP listens on; all of them if not given"
    )
    durability: Annotated[Literal["instance", "batch", "none"], BeforeValidator(lowered)] = Field(
        default="batch",
        description="when an instance is acknowledged: once it is synced by itself, together with "
        "others, or (losing some at a power cut) not at all",
    )
    max_associations: Annotated[int, Field(ge=1, le=10_000), Kind("number")] = Field(
        default=512, description="connections that our storage SCP serves at a time"
    )
    tls: LocalTls | None = Field(default=None, description="TLS; plain connections if not given")
    accept: Accept = Field(default=Accept(), description="who may store at our storage SCP")

    @property
    def calling_title(self) -> str:
        """The AE title of our associations to the archive."""
        return self.calling_aet or self.aet
