"""The key of pseudonyms from the environment: the one secret a configuration may refer to."""

import re

from pydicombatch.config.text import Node, Tree

FILE, KEY = ("anonymization", "key_file"), ("anonymization", "key")
_NO_PATH = re.compile(r"[A-Za-z0-9+=_-]{16,}")


def take_key(document: dict[str, Node], tree: Tree) -> dict[str, Node]:
    """Tell a key from the name of a key file; note a key that is written in the file itself.

    `key_file: ${NAME}` may hold either: what cannot be a path with a folder or a suffix, and is
    long enough for a key, is the key.
    """
    section = document.get("anonymization")
    if not isinstance(section, dict):
        return document
    if section.get("key") and KEY not in tree.filled:
        tree.wrong(
            KEY,
            "anonymization.key is written in the configuration",
            "Write key_file: ${NAME} and set that variable, or name a key file of mode 0600",
        )
    value = section.get("key_file")
    if FILE not in tree.filled or not isinstance(value, str) or not _NO_PATH.fullmatch(value):
        return document
    kept = {name: one for name, one in section.items() if name != "key_file"}
    return {**document, "anonymization": {**kept, "key": value}}
