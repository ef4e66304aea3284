"""Who hears how a run went: the `notify` section."""

from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, model_validator

from pydicombatch.config.section import Section
from pydicombatch.config.types import (
    FilePath,
    Host,
    Kind,
    Names,
    Port,
    SomeDuration,
    listed,
    lowered,
    wrong,
)

OCCASIONS: tuple[Literal["end", "stop", "failure"], ...] = ("end", "stop", "failure")


def _address(text: str) -> str:
    name, _, host = text.strip().rpartition("@")
    if not name or not host or not text.strip().isprintable() or " " in text.strip():
        raise wrong("is not an e-mail address", "Write one such as you@example.org")
    return text.strip()


def _addresses(several: tuple[str, ...]) -> tuple[str, ...]:
    if not several:
        raise wrong("names nobody", "Write at least one e-mail address")
    return tuple(map(_address, several))


def _url(secret: SecretStr) -> SecretStr:
    try:
        parts = urlsplit(secret.get_secret_value().strip())
        usable = parts.scheme in {"https", "http"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise wrong("is not a web address", "Write one that begins with https://")
    if parts.scheme == "http" and parts.hostname not in {"localhost", "127.0.0.1", "::1"}:
        raise wrong("is not encrypted", "Write one that begins with https://")
    return secret


def _words(value: object) -> object:
    split = listed(",")(value)
    return tuple(map(lowered, split)) if isinstance(split, list | tuple) else split


Address = Annotated[str, AfterValidator(_address), Kind("e-mail address")]
Addresses = Annotated[Names, AfterValidator(_addresses), Kind("e-mail addresses")]
Password = Annotated[SecretStr, Kind("`${NAME}`")]
Url = Annotated[SecretStr, AfterValidator(_url), Kind("web address")]
Occasions = Annotated[
    tuple[Literal["end", "stop", "failure"], ...],
    BeforeValidator(_words),
    Kind("list of `end`, `stop`, `failure`"),
]


class Email(Section):
    """An e-mail; counts and an exit code, never a value of a patient."""

    host: Host = Field(description="the server that takes our e-mails")
    port: Port = Field(default=587, description="its port")
    security: Annotated[Literal["starttls", "tls", "none"], BeforeValidator(lowered)] = Field(
        default="starttls",
        description="`starttls` (usual on 587), `tls` from the first byte (usual on 465), or "
        "`none`, which takes no password",
    )
    ca: FilePath | None = Field(
        default=None, description="PEM file of the authority to trust; the system's if not given"
    )
    user: Annotated[str, Kind("text")] = Field(
        default="", description="whom we log in as; nobody if not given"
    )
    password: Password | None = Field(
        default=None, description="from the environment only, as `${SMTP_PASSWORD}`"
    )
    sender: Address = Field(alias="from", description="who it is from")
    to: Addresses = Field(description="who gets it")
    on: Occasions = Field(
        default=OCCASIONS,
        description="`end`: a run has ended by itself; `stop`: it was interrupted; `failure`: a "
        "fatal error, or some requests are not complete",
    )

    @model_validator(mode="after")
    def _belongs_together(self) -> "Email":
        if bool(self.user) != (self.password is not None):
            raise wrong("has only one of user and password", "Give both, or neither")
        if self.user and self.security == "none":
            raise wrong(
                "would send a password without encryption", "Set security to starttls or tls"
            )
        return self


class Webhook(Section):
    """A JSON object by POST; counts and an exit code, never a value of a patient."""

    url: Url = Field(description="where it goes, encrypted; may be `${NAME}` when it is a secret")
    ca: FilePath | None = Field(
        default=None, description="PEM file of the authority to trust; the usual ones if not given"
    )
    timeout: SomeDuration = Field(default=10.0, description="longest silence of its server")
    on: Occasions = Field(default=OCCASIONS, description="as in `notify.email.on`")


class Notify(Section):
    """Who hears how a run went."""

    email: Email | None = Field(default=None, description="an e-mail")
    webhook: Webhook | None = Field(default=None, description="a message to a web address")
