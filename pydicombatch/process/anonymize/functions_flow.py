"""Functions that decide: conditions, clauses, requirements, and the end of an instance."""

from collections.abc import Callable
from functools import partial
from typing import Final

from pydicombatch.process.anonymize import javaregex, javatext
from pydicombatch.process.anonymize.compiling import Compiler, Entry, unquoted
from pydicombatch.process.anonymize.context import Context, Function, QuarantineError, SkipError
from pydicombatch.process.anonymize.names import Block
from pydicombatch.process.anonymize.syntax import Call

_ASKED: Final = "The script asks for quarantine"
_PLUG_IN: Final = "The script calls a plug-in or counter, and there is none"


def _if(call: Call, compiler: Compiler) -> Function:
    yes, no = (compiler.program(clause) for clause in call.clauses)
    condition = _condition(call, compiler)
    return lambda context: (yes if condition(context) else no)(context)


def _condition(call: Call, compiler: Compiler) -> Callable[[Context], bool]:
    if len(call.args) < 2:  # noqa: PLR2004
        return partial(_false)
    name, word = call.args[:2]
    if word == "exists":
        return partial(_exists, unquoted(name), compiler)
    read = compiler.text_of(name)
    if word == "isblank":
        return partial(_is_blank, read)
    if len(call.args) < 3 or word not in _COMPARISONS:  # noqa: PLR2004
        return partial(_false)
    wanted = unquoted(call.args[2])
    if wanted.startswith("@"):
        value = compiler.expand(wanted)
        wanted = wanted if value is None else value
    if word == "matches":
        javaregex.compiled(wanted)
    return partial(_compares, word, read, wanted)


def _false(context: Context) -> bool:  # noqa: ARG001 - one signature for all conditions
    return False


def _exists(name: str, compiler: Compiler, context: Context) -> bool:
    if name in {"", "this"}:
        return context.element is not None
    specifier = compiler.specifier(name)
    if specifier.root or len(specifier.steps) != 1:
        return False
    step = specifier.steps[0]
    tag = step.tag(context.source) if isinstance(step, Block) else step
    return tag is not None and specifier.find(context.source) is not None


def _is_blank(read: Function, context: Context) -> bool:
    return not javatext.trim(read(context) or "")


def _compares(word: str, read: Function, wanted: str, context: Context) -> bool:
    return _COMPARISONS[word](read(context) or "", wanted)


def _equals(text: str, wanted: str) -> bool:
    return text == wanted or [*map(_folded, text)] == [*map(_folded, wanted)]


def _folded(character: str) -> str:
    """Fold as `equalsIgnoreCase`: one character to one character."""
    upper = character.upper()
    folded = (upper if len(upper) == 1 else character).lower()
    return folded if len(folded) == 1 else character


def _number(text: str) -> int:
    return javatext.int_or(javatext.digits_of(text), 0)


_COMPARISONS: Final[dict[str, Callable[[str, str], bool]]] = {
    "equals": _equals,
    "contains": lambda text, wanted: wanted.lower() in text.lower(),
    "matches": lambda text, wanted: javaregex.compiled(wanted).fullmatch(text) is not None,
    "greaterthan": lambda text, wanted: _number(text) > _number(wanted),
}


def _select(call: Call, compiler: Compiler) -> Function:
    root, item = (compiler.program(clause) for clause in call.clauses)
    return lambda context: (item if context.source.parent is not None else root)(context)


def _append(call: Call, compiler: Compiler) -> Function:
    clause = compiler.program(call.clauses[0])

    def run(context: Context) -> str:
        current = context.text
        return f"{current}\\{clause(context)}" if current else clause(context)

    return run


def _always(call: Call, compiler: Compiler) -> Function:  # noqa: ARG001
    return lambda context: ""  # noqa: ARG005


def _require(call: Call, compiler: Compiler) -> Function:
    read = compiler.text_of(unquoted(call.args[0]) or "this") if call.args else None
    default = unquoted(call.args[1]) if len(call.args) > 1 else ""

    def run(context: Context) -> str:
        if context.element is not None:
            return "@keep()"
        if read is None:
            return ""
        text = read(context)
        value = default if text is None else text
        return value if javatext.trim(value) else f"@blank({javatext.length(value)})"

    return run


def _process(call: Call, compiler: Compiler) -> Function:  # noqa: ARG001
    def run(context: Context) -> str:
        context.process()
        return "@keep()"

    return run


def _quarantine(call: Call, compiler: Compiler) -> Function:  # noqa: ARG001
    def run(context: Context) -> str:  # noqa: ARG001
        raise QuarantineError(_ASKED)

    return run


def _skip(call: Call, compiler: Compiler) -> Function:  # noqa: ARG001
    def run(context: Context) -> str:  # noqa: ARG001
        raise SkipError

    return run


def _unavailable(call: Call, compiler: Compiler) -> Function:  # noqa: ARG001
    def run(context: Context) -> str:  # noqa: ARG001
        raise QuarantineError(_PLUG_IN)

    return run


FUNCTIONS: Final = {
    "if": Entry(_if),
    "select": Entry(_select),
    "append": Entry(_append),
    "always": Entry(_always),
    "require": Entry(_require),
    "process": Entry(_process),
    "quarantine": Entry(_quarantine),
    "skip": Entry(_skip),
    "integer": Entry(_unavailable),
    "call": Entry(_unavailable),
}
