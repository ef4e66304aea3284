"""What is allowed in a configuration, but deserves a word."""

import os
from collections.abc import Iterator
from pathlib import Path

from pydicombatch.config.models import Config
from pydicombatch.config.text import Tree
from pydicombatch.core.errors import Finding
from pydicombatch.core.model import RequestType


def doubts(config: Config, tree: Tree) -> Iterator[Finding]:
    """Yield a warning for each."""
    if config.request.destination is not None and config.request.type is not RequestType.MOVE:
        yield _finding(
            tree,
            "request.destination",
            "has no effect: only a c-move has a destination",
            "Remove it, or set request.type to c-move",
        )
    if config.anonymization.enabled:
        yield from _without_effect(config, tree)
        yield from _among_images(config, tree)


def _without_effect(config: Config, tree: Tree) -> Iterator[Finding]:
    section = config.anonymization
    if section.profile is None and (section.key or section.key_file):
        yield _finding(
            tree,
            "anonymization.key_file",
            "has no effect: only the profile makes pseudonyms with a key",
            "Remove it, or set anonymization.profile to basic",
        )
    if section.script is None and section.lookup_table:
        yield _finding(
            tree,
            "anonymization.lookup_table",
            "has no effect: only a script looks something up",
            "Remove it, or name the script under anonymization.script",
        )


def _among_images(config: Config, tree: Tree) -> Iterator[Finding]:
    section, output = config.anonymization, config.output
    results = "output.library_file" if output.library_file else "output.database_file"
    identified: dict[str, Path | None] = {
        results: config.results,
        "anonymization.mapping_file": section.mapping_file,
        "anonymization.key_file": section.key_file,
        "anonymization.lookup_table": section.lookup_table,
        "state.directory": config.state.directory,
    }
    root = _plain(output.directory)
    for key, path in identified.items():
        if path is not None and _plain(path).is_relative_to(root):
            yield _finding(
                tree,
                key,
                "lies among the anonymized images and holds identifiers",
                "Put it outside output.directory, or do not pass it on with the images",
            )


def _plain(path: Path) -> Path:
    return Path(os.path.normpath(path.absolute()))


def _finding(tree: Tree, key: str, predicate: str, remedy: str) -> Finding:
    path = tuple(key.split("."))
    return tree.source.finding(path, f"{key} {predicate}", remedy, at_key=True)
