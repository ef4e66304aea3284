"""Values that came from the environment are never shown again: their names stand for them (S16).

One set for the whole process, as its terminal and its log are one: an error may be printed by
somebody who never saw the configuration.
"""

import threading

SHORTEST = 4  # characters; shorter values would be found in every text
_lock = threading.Lock()
_names: dict[str, str] = {}  # value -> name of the variable


def remember(name: str, value: str) -> None:
    """Keep a value of the environment out of everything that is said from now on."""
    if len(value) >= SHORTEST:
        with _lock:
            _names[value] = name


def conceal(text: str) -> str:
    """Put `${NAME}` in the place of every such value, the longest first."""
    if not _names:
        return text
    with _lock:
        known = sorted(_names.items(), key=lambda pair: -len(pair[0]))
    for value, name in known:
        text = text.replace(value, f"${{{name}}}")
    return text


def forget() -> None:
    """Show all values again: for a process that goes on with another configuration."""
    with _lock:
        _names.clear()
