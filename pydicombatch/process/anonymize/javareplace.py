"""`String.replaceAll` with Java's replacement syntax."""

import re

from pydicombatch.process.anonymize.javaregex import RegexError, compiled


def replace_all(pattern: str, text: str, replacement: str) -> str:
    """`String.replaceAll`; raises `RegexError`."""
    expression = compiled(pattern)
    return expression.sub(lambda match: _expand(match, replacement), text)


def _expand(match: re.Match[str], replacement: str) -> str:
    out, at = [], 0
    while at < len(replacement):
        character = replacement[at]
        at += 1
        if character == "\\":
            if at == len(replacement):
                raise RegexError("the replacement ends with a backslash")
            out.append(replacement[at])
            at += 1
        elif character == "$":
            value, at = _reference(match, replacement, at)
            out.append(value)
        else:
            out.append(character)
    return "".join(out)


def _reference(match: re.Match[str], replacement: str, at: int) -> tuple[str, int]:
    if replacement[at : at + 1] == "{":
        end = replacement.find("}", at)
        name = replacement[at + 1 : end]
        if end < 0 or name not in match.re.groupindex:
            raise RegexError("the replacement names no group")
        return match[name] or "", end + 1
    if replacement[at : at + 1] not in set("0123456789"):
        raise RegexError("the replacement has a lone dollar")
    number = int(replacement[at])
    if number > match.re.groups:
        raise RegexError("the replacement names no group")
    at += 1
    while at < len(replacement) and replacement[at] in "0123456789":
        longer = number * 10 + int(replacement[at])
        if longer > match.re.groups:
            break
        number = longer
        at += 1
    return match[number] or "", at
