"""Settings of older files: accepted, without effect, and said so."""

from pydicombatch.config.text import Node, Tree
from pydicombatch.core.errors import Finding

MOVED = {
    "anonymization_script": "anonymization.script",
    "anonymization_lookup_table": "anonymization.lookup_table",
    "anonymization_enabled": "anonymization.enabled",
}


def retire(tree: Tree) -> tuple[dict[str, Node], tuple[Finding, ...]]:
    """Take the retired keys out of a document.

    They never switched anonymization on by themselves, and must not look as if they did.

    Returns
    -------
    tuple
        The document without them, and a warning for each.
    """
    output = tree.root.get("output")
    if not isinstance(output, dict):
        return tree.root, ()
    old = [name for name in output if name.startswith("anonymization")]
    kept = {name: value for name, value in output.items() if name not in old}
    warnings = tuple(_warning(name, tree) for name in old)
    return {**tree.root, "output": kept}, warnings


def _warning(name: str, tree: Tree) -> Finding:
    now = MOVED.get(name, "the section anonymization")
    return tree.source.finding(
        ("output", name),
        f"output.{name} is retired and has no effect: anonymization depends on "
        "anonymization.enabled alone",
        f"Move the setting to {now}, and set anonymization.enabled to true if you mean it",
        at_key=True,
    )
