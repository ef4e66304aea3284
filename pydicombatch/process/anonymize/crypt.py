"""`@encrypt` and `@decrypt`: how the tool makes a key from text, and its base64."""

from base64 import b64decode, b64encode
from functools import lru_cache
from string import ascii_letters, digits
from typing import Final

from pydicombatch.process.anonymize.blowfish import Blowfish

_KEY_ALPHABET: Final = frozenset(ascii_letters + digits + "+/")
_FILLER: Final = "tszyihnnphlyeaglle"
_KEY_LENGTH: Final = 22  # base64 digits of 16 bytes


@lru_cache(maxsize=16)
def _cipher(key: str) -> Blowfish:
    kept = "".join(c for c in key if c in _KEY_ALPHABET)
    while len(kept) < _KEY_LENGTH:
        kept += _FILLER
    return Blowfish(b64decode(kept[:_KEY_LENGTH] + "=="))


def encrypt(text: str, key: str) -> str:
    """Encrypt a text."""
    return b64encode(_cipher(key).encrypt(text.encode("utf-8", "replace"))).decode()


def decrypt(text: str, key: str) -> str:
    """Decrypt what `encrypt` made; text that can never be its result decrypts to nothing.

    Raises
    ------
    ValueError
        If the text was made with another key, or is damaged.
    """
    if not text or not text.isascii():
        return ""
    packed = "".join(c for c in text if c in _KEY_ALPHABET or c == "=").rstrip("=")
    raw = b64decode(packed + "=" * (-len(packed) % 4))
    return _cipher(key).decrypt(raw).decode("utf-8", "replace")
