"""Functions that read, cut and rewrite text."""

import re
from functools import partial
from typing import Final

import numpy as np

from pydicombatch.process.anonymize import crypt, javaregex, javareplace, javatext
from pydicombatch.process.anonymize.compiling import Compiler, Entry, unquoted
from pydicombatch.process.anonymize.context import Context, Function
from pydicombatch.process.anonymize.syntax import Call

_BLANKS: Final = re.compile(r"[ \t\n\x0b\f\r]+")
_RANGES: Final = (("a", 26), ("A", 26), ("0", 10))


def _contents(call: Call, compiler: Compiler) -> Function:
    read = compiler.text(call, 0)
    match [unquoted(argument) for argument in call.args[1:]]:
        case []:
            return lambda context: read(context) or ""
        case [pattern]:
            return _replacing(read, pattern, "")
        case [pattern, replacement]:
            return _replacing(read, pattern, replacement)
        case _:
            return lambda context: ""  # noqa: ARG005


def _replacing(read: Function, pattern: str, replacement: str) -> Function:
    javaregex.compiled(pattern)
    return lambda context: javareplace.replace_all(pattern, read(context) or "", replacement)


def _value(call: Call, compiler: Compiler) -> Function:
    read = compiler.text(call, 0)
    default = unquoted(call.args[1]) if len(call.args) > 1 else ""
    return lambda context: read(context) or default


def _truncate(call: Call, compiler: Compiler) -> Function:
    read = compiler.text(call, 0)
    try:
        count = javatext.parse_int(compiler.argument(call, 1)) if len(call.args) > 1 else None
    except ValueError:
        count = None
    return lambda context: _cut(read(context) or "", count)


def _cut(text: str, count: int | None) -> str:
    if not text or count is None:
        return text
    if count >= 0:
        return javatext.first(text, count)
    bare = javatext.trim(text)
    return javatext.last(bare, -count) if bare else bare


def _uppercase(call: Call, compiler: Compiler) -> Function:
    read = compiler.text(call, 0)
    return lambda context: (read(context) or "").upper()


def _lowercase(call: Call, compiler: Compiler) -> Function:
    read = compiler.text(call, 0)
    return lambda context: (read(context) or "").lower()


def _initials(call: Call, compiler: Compiler) -> Function:
    read = compiler.text(call, 0)
    shift = javatext.int_or(call.args[1], 0) if len(call.args) > 1 else 0
    return lambda context: _shifted(_initials_of(read(context) or ""), shift)


def _initials_of(name: str) -> str:
    words = _BLANKS.sub(" ", name.replace("^", " ").replace(",", " ")).strip(" ")
    letters = [word[0] for word in words.split(" ") if word]
    return "".join([*letters[1:], *letters[:1]]).upper() or "X"


def _shifted(text: str, shift: int) -> str:
    return "".join(_shift(character, shift) for character in text) if shift else text


def _shift(character: str, shift: int) -> str:
    for start, size in _RANGES:
        offset = ord(character) - ord(start)
        if 0 <= offset < size:
            return chr(ord(start) + (offset + shift) % size)
    return character


def _round(call: Call, compiler: Compiler) -> Function:
    read = compiler.text(call, 0)
    size = compiler.defined(call, 1)
    return lambda context: _rounded(read(context) or "", size)


def _rounded(text: str, size: str) -> str:
    """Round to a multiple in 32-bit arithmetic; raises `ValueError` without digits."""
    if not javatext.trim(text):
        return ""
    step = javatext.parse_int(size)
    number = javatext.parse_float(javatext.digits_of(text))
    with np.errstate(divide="ignore", invalid="ignore"):
        quotient = np.float32(number) / np.float32(step)
    multiple = javatext.wrapped(javatext.round_half_up(float(quotient)) * step)
    result = f"{multiple}{re.sub('[0-9]', '', text)}"
    return "0" + result if javatext.length(result) % 2 else result


def _parameter(call: Call, compiler: Compiler) -> Function:
    value = compiler.parameter(call, 0)
    return lambda context: value  # noqa: ARG005


def _path_element(call: Call, compiler: Compiler) -> Function:
    read = compiler.text(call, 0)
    position = compiler.argument(call, 1)
    return lambda context: _piece(read(context) or "", position)


def _piece(text: str, position: str) -> str:
    pieces = javatext.split(text, "/")
    try:
        index = javatext.parse_int(position)
    except ValueError:
        return text
    return pieces[index] if -len(pieces) <= index < len(pieces) else text


def _date(call: Call, compiler: Compiler) -> Function:  # noqa: ARG001 - one signature
    separator = unquoted(call.args[0]) if call.args else ""
    return lambda context: separator.join(
        (f"{context.now:%Y}", f"{context.now:%m}", f"{context.now:%d}")
    )


def _time(call: Call, compiler: Compiler) -> Function:  # noqa: ARG001
    separator = unquoted(call.args[0]) if call.args else ""
    return lambda context: separator.join(
        (f"{context.now:%H}", f"{context.now:%M}", f"{context.now:%S}")
    )


def _encrypt(call: Call, compiler: Compiler) -> Function:
    read, key = compiler.text(call, 0), compiler.defined(call, 1)
    return lambda context: crypt.encrypt(read(context) or "", key)


def _decrypt(call: Call, compiler: Compiler) -> Function:
    return partial(_decrypted, compiler.text(call, 0), compiler.defined(call, 1))


def _decrypted(read: Function, key: str, context: Context) -> str:
    return crypt.decrypt(read(context) or "", key)


FUNCTIONS: Final = {
    "contents": Entry(_contents),
    "value": Entry(_value),
    "truncate": Entry(_truncate),
    "uppercase": Entry(_uppercase),
    "lowercase": Entry(_lowercase),
    "initials": Entry(_initials),
    "round": Entry(_round, lenient=True),
    "param": Entry(_parameter),
    "pathelement": Entry(_path_element),
    "date": Entry(_date),
    "time": Entry(_time),
    "encrypt": Entry(_encrypt, lenient=True),
    "decrypt": Entry(_decrypt, lenient=True),
}
