"""What in a script can set instances aside, found without one: for `check` to warn about."""

from collections.abc import Iterator, Mapping
from typing import Final

from pydicombatch.core.errors import Finding
from pydicombatch.process.anonymize.charset import PLATFORM
from pydicombatch.process.anonymize.instance import CODE_SEQUENCE, PIXEL_DATA
from pydicombatch.process.anonymize.names import Id
from pydicombatch.process.anonymize.script import Rule, Script
from pydicombatch.process.anonymize.storing import StoreError, store_public
from pydicombatch.process.anonymize.tables import dictionary, implicit_vr

_ACTS: Final = frozenset(("@keep()", "@remove()", "@empty()", ""))
_SEQUENCE_WORDS: Final = ("@process()", "@remove()", "@always()")
_CORRECT: Final = "Use @remove() or @process(), or a value that its VR can hold"


def of(script: Script, constants: Mapping[Id, str | None]) -> tuple[Finding, ...]:
    """List the doubtful places of a script.

    Parameters
    ----------
    constants
        The result of each rule that calls no function.
    """
    found = [
        Finding(problem, _CORRECT, script.file, rule.line)
        for target, rule in script.rules.items()
        if (problem := _doubt(target, rule, constants.get(target)))
    ]
    return (*found, *_of_whole(script))


def _doubt(target: Id, rule: Rule, constant: str | None) -> str:
    if not isinstance(target, int) or target >> 16 & 1 or target == CODE_SEQUENCE:
        return ""
    if target == PIXEL_DATA and constant != "@keep()":
        return "Pixel Data cannot be changed by a script, images are set aside"
    vr = implicit_vr(target)
    if vr == "SQ":
        return _doubt_of_sequence(rule)
    if constant is not None and constant not in _ACTS and not _storable(target, vr, constant):
        return "The value cannot be stored, instances that have the element are set aside"
    return ""


def _doubt_of_sequence(rule: Rule) -> str:
    if any(word in rule.text for word in _SEQUENCE_WORDS):
        return ""
    if rule.text == "@keep()":
        return "A kept sequence keeps what is in it, instances with scripted values are set aside"
    return "A sequence cannot be emptied or get a value, instances that have it are set aside"


def _storable(tag: int, vr: str, text: str) -> bool:
    if "@remove()" in text:
        return True
    if text.startswith("@blank("):
        text = " "
    try:
        store_public(tag, vr, text, PLATFORM)
    except StoreError:
        return False
    return True


def _of_whole(script: Script) -> Iterator[Finding]:
    if any("@lookup(" in rule.text and ",keep" in rule.text for rule in script.rules.values()):
        yield Finding(
            "A lookup with the action keep leaves every value that the table does not have",
            "Use remove, empty or default instead of keep",
            script.file,
        )
    if "unspecifiedelements" in script.remove:
        return
    if "curves" in script.remove:
        yield Finding(
            "The switch to remove curves removes none without unspecifiedelements",
            "Remove them by their elements as well",
            script.file,
        )
    sequences = sum(vr == "SQ" for vr in dictionary().implicit.values())
    listed = sum(isinstance(t, int) and implicit_vr(t) == "SQ" for t in script.rules)
    if listed < sequences:
        yield Finding(
            "Sequences that the script does not name stay, instances with scripted values in them"
            " are set aside",
            "Name the sequences with @process() or @remove()",
            script.file,
        )
