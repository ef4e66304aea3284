"""Wildcard matching (PS3.4 C.2.2.2.4) in bounded time. Pure."""


def wildcard_matches(pattern: str, text: str) -> bool:
    """Match with `*` (any run of characters) and `?` (any one character) (PS3.4 C.2.2.2.4).

    Takes at most len(pattern) * len(text) steps, whatever a peer sends.
    """
    at_pattern = at_text = 0
    star, resume = -1, 0  # the last `*`, and where the text goes on after what it took
    while at_text < len(text):
        here = pattern[at_pattern : at_pattern + 1]
        if here == "*":
            star, resume = at_pattern, at_text
            at_pattern += 1
        elif here in {"?", text[at_text]}:
            at_pattern, at_text = at_pattern + 1, at_text + 1
        elif star >= 0:
            resume += 1
            at_pattern, at_text = star + 1, resume
        else:
            return False
    return not pattern[at_pattern:].strip("*")
