"""The digests of the language: MD5 as a decimal number, cut from the front."""

from hashlib import md5

from pydicombatch.process.anonymize.javatext import int_or

_LONGEST_UID = 64


def digits(text: str) -> str:
    """Return the MD5 of the UTF-8 bytes as decimal digits, without padding."""
    raw = text.encode("utf-8", "replace")
    return str(int.from_bytes(md5(raw, usedforsecurity=False).digest(), "big"))


def cut(number: str, length: int) -> str:
    """Keep the first digits; a length below 1 keeps all."""
    return number[:length] if length > 0 else number


def cut_by(number: str, length: str, default: int = 0) -> str:
    """Cut to a length given as text; one that is no number counts as the default."""
    return cut(number, int_or(length, default))


def uid(root: str, text: str) -> str:
    """Return a UID below a root, from the digest of a text."""
    prefix = root if root.endswith(".") else root + "."
    number = digits(text)
    filler = "9" if number.startswith("0") else ""
    return (prefix + filler + number)[:_LONGEST_UID]
