r"""Bytes that no character set knows stand in text as `\xNN`; this keeps them apart from text."""

import re

ESCAPE = re.compile(r"\\x([0-9a-fA-F]{2})")
BACKSLASH = r"\x5c"  # a backslash that would otherwise begin what looks like an escape
NUL = r"\x00"


def told_apart(text: str) -> str:
    """Escape the backslash of what would be read as an escape."""
    return ESCAPE.sub(lambda found: f"{BACKSLASH}{found[0][1:]}", text) if "\\x" in text else text


def without_nul(text: str) -> str:
    """Escape NUL that is no padding."""
    return text.replace("\0", NUL) if "\0" in text else text
