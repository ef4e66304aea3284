"""Regular expressions of `select.where`, with Python's own as the oracle."""

import re
import time

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from pydicombatch.select.regex import compile_regex

ATOMS = ["a", "b", "Z", "0", " ", ".", r"\d", r"\w", r"\s", r"\D", "[a-c]", "[^b]", r"[\d_]", r"\."]
PLACES = ["^", "$", r"\b", r"\B"]
TIMES = ["", "", "*", "+", "?", "{2}", "{1,3}", "{2,}", "*?", "+?"]
pieces = st.one_of(
    st.tuples(st.sampled_from(ATOMS), st.sampled_from(TIMES)).map("".join), st.sampled_from(PLACES)
)


def joined(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    several = st.lists(inner, min_size=1, max_size=4)
    return st.one_of(
        several.map("".join),
        several.map(lambda parts: f"({'|'.join(parts)})"),
        st.tuples(several, st.sampled_from(TIMES)).map(
            lambda two: f"(?:{''.join(two[0])}){two[1]}"
        ),
    )


patterns = st.recursive(pieces, joined, max_leaves=8)


@settings(max_examples=400)
@given(patterns, st.text("abcZ0 _.\n", max_size=12), st.booleans())
def test_a_pattern_means_what_it_means_in_python(source: str, text: str, fold: bool) -> None:
    assume(text or r"\B" not in source)  # Python before 3.14 finds no \B in an empty text
    oracle = re.search(source, text, re.IGNORECASE if fold else 0)
    assert compile_regex(source, ignore_case=fold).found_in(text) is (oracle is not None)


@settings(max_examples=200)
@given(st.text(max_size=20))
def test_any_text_is_a_pattern_as_in_python_or_refused(source: str) -> None:
    try:
        ours = compile_regex(source)
    except ValueError:
        return
    try:
        oracle = re.compile(source)
    except (re.error, OverflowError):
        pytest.fail(f"{source!r} was taken")
    for text in (source, "abc 12"):
        assert ours.found_in(text) is (oracle.search(text) is not None), source


@pytest.mark.parametrize("source", ["(a+)+$", "(a|a)*$", "(a*)*b", "(.*){20}x", "(a|aa)+$"])
def test_a_pattern_that_hangs_others_takes_no_time(source: str) -> None:
    begun = time.monotonic()
    compile_regex(source).found_in("a" * 200 + "!")
    assert time.monotonic() - begun < 5


@pytest.mark.parametrize(
    ("source", "why"),
    [
        (r"(a)\1", "not known here"),
        ("a(?=b)", "only (?: is known"),
        ("a(?<!b)c", "only (?: is known"),
        ("(a", "not closed"),
        ("a)", "has no ("),
        ("[a", "too early"),
        ("*a", "nothing to repeat"),
        ("a{3,1}", "repetition in"),
        ("(a{500}){500}", "too large"),
        ("a" * 501, "more than 500"),
        ("(" * 60 + ")" * 60, "too deeply"),
        ("^*", "cannot be repeated"),
        ("a**", "is repeated"),
        ("[z-a]", "backwards"),
    ],
)
def test_what_an_automaton_cannot_follow_is_refused(source: str, why: str) -> None:
    with pytest.raises(ValueError, match=re.escape(why)):
        compile_regex(source)
