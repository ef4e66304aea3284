"""Keyed pseudonyms: the same over runs and machines, unlinkable without the key.

HMAC-SHA-256 (RFC 2104) with one label per purpose, so that a patient's pseudonym tells nothing
about the patient's offset.
"""

import hmac
import stat
from base64 import b32encode
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from pydicombatch.core.errors import ConfigError

_SHORTEST_KEY: Final = 16  # bytes: 128 bits
_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO
_LONGEST_OFFSET: Final = 3650  # days
_WELL_KNOWN: Final = "1.2.840.10008."  # the standard's own UIDs, PS3.6


@dataclass(frozen=True, slots=True)
class Pseudonyms:
    """Pseudonyms of one project; the key never shows in a representation."""

    key: bytes = field(repr=False)

    @classmethod
    def of(cls, key: str) -> "Pseudonyms":
        """Take a key from the configuration, where it came from the environment.

        Raises
        ------
        ConfigError
            If the key is shorter than 16 bytes.
        """
        raw = key.strip().encode()
        if len(raw) < _SHORTEST_KEY:
            raise ConfigError.of(
                "The pseudonym key is shorter than 16 bytes",
                "Make one with: openssl rand -hex 32",
            )
        return cls(raw)

    @classmethod
    def from_file(cls, path: Path) -> "Pseudonyms":
        """Read the key from a file that only its owner may read.

        Raises
        ------
        ConfigError
            If the file is missing, readable by others, or too short.
        """
        try:
            mode, text = path.stat().st_mode, path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError.of(
                "The pseudonym key file cannot be read",
                "Check anonymization.key_file",
                path.name,
            ) from error
        if mode & _OTHERS:
            raise ConfigError.of(
                "The pseudonym key file can be read by others", "Run chmod 600 on it", path.name
            )
        return cls.of(text)

    def of_project(self, name: str) -> "Pseudonyms":
        """Return the pseudonyms of a named project: with one key, two projects stay unlinkable."""
        return Pseudonyms(self._digest("project", name)) if name else self

    def patient(self, identifier: str) -> str:
        """Return the pseudonym of a patient identifier, 16 characters."""
        return b32encode(self._digest("patient", identifier)[:10]).decode()

    def uid(self, uid: str) -> str:
        """Return the replacement of a UID (PS3.5 B.2); the standard's own stay."""
        if not uid or uid.startswith(_WELL_KNOWN):
            return uid
        number = bytearray(self._digest("uid", uid)[:16])
        number[6] = number[6] & 0x0F | 0x80  # RFC 9562: version 8, variant 10
        number[8] = number[8] & 0x3F | 0x80
        return f"2.25.{int.from_bytes(number, 'big')}"

    def offset(self, identifier: str) -> int:
        """Return the days by which all dates of a patient move, 1 to 3650 backwards."""
        number = int.from_bytes(self._digest("offset", identifier)[:8], "big")
        return -(number % _LONGEST_OFFSET) - 1

    def _digest(self, label: str, text: str) -> bytes:
        message = f"{label}\0{text}".encode("utf-8", "surrogatepass")
        return hmac.digest(self.key, message, "sha256")
