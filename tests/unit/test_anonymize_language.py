from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pydicombatch.core.errors import ConfigError
from pydicombatch.process.anonymize import javaregex, javareplace, properties, script, syntax
from pydicombatch.process.anonymize.anonymizer import Anonymizer
from pydicombatch.process.anonymize.plan import compile_script

PIECES = st.lists(
    st.sampled_from(
        [
            "@",
            "(",
            ")",
            "{",
            "}",
            "[",
            "]",
            '"',
            "\\",
            ",",
            " ",
            "if",
            "hash",
            "this",
            "x",
            "append",
        ]
    )
)


@settings(deadline=None)
@given(st.one_of(st.text(), PIECES.map("".join)))
def test_any_text_is_a_script_and_printing_it_parses_to_the_same(text: str) -> None:
    once = syntax.parse(text).parts
    again = syntax.parse(syntax.render(once)).parts
    assert syntax.parse(syntax.render(again)).parts == again
    if all(isinstance(part, str) or not part.clauses for part in once):
        assert again == once


@settings(deadline=None)
@given(
    st.one_of(
        st.text(),
        st.text().map(lambda t: f"<script>{t}</script>"),
        st.lists(
            st.sampled_from(["<script>", "<e en='T'", " t='00100010'", ">", "</e>", "&x;"])
        ).map("".join),
        st.text().map(lambda t: f"set.[0010,0010]={t}"),
    )
)
def test_no_text_of_a_script_file_raises_anything_but_a_config_error(text: str) -> None:
    with suppress(ConfigError):
        assert compile_script(script.parse(text, "f.script")).script.file == "f.script"


def test_every_fault_of_a_script_is_reported_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "x.script"
    path.write_text(
        """<script>
<e en="T" t="00100010" n="">@hash(this,@NOWHERE)</e>
<e en="T" t="00100020" n="">@scramble(this)</e>
<e en="T" t="0010002g" n="">x</e>
<e en="T" t="00080050" n="">@contents(this,"[")</e>
<e en="T" t="00080060" n="">@remove</e>
<e en="T" t="00080070" n="">@hashname(this)</e>
</script>"""
    )
    with pytest.raises(ConfigError) as caught:
        Anonymizer.from_script(path)
    assert [finding.line for finding in caught.value.findings] == [2, 3, 4, 5, 6, 7]
    assert "NOWHERE" in caught.value.findings[0].problem


def test_the_compatible_mode_takes_the_same_script_as_the_java_tool_does(tmp_path: Path) -> None:
    path = tmp_path / "x.script"
    path.write_text('<s><e en="T" t="00100020" n="">@scramble( this )</e></s>')
    assert Anonymizer.from_script(path, mode="compatible").plan.actions[0x00100020].constant == (
        "@scramble(this)"
    )


@pytest.mark.parametrize(
    "text", ["", " \n", "<script>", "<script><e/>", '<s><e en="T" t="1">x</e></s>']
)
def test_a_script_that_would_pass_identifiers_on_is_refused_in_both_modes(
    text: str, tmp_path: Path
) -> None:
    path = tmp_path / "x.script"
    path.write_text(text)
    for mode in ("strict", "compatible"):
        with pytest.raises(ConfigError):
            Anonymizer.from_script(path, mode=mode)


def test_a_script_with_nothing_enabled_is_refused_in_strict_mode(tmp_path: Path) -> None:
    path = tmp_path / "x.script"
    path.write_text('<s><e en="F" t="00100010" n="">@remove()</e></s>')
    with pytest.raises(ConfigError, match="changes nothing"):
        Anonymizer.from_script(path)


def test_an_entity_bomb_is_refused() -> None:
    bomb = (
        '<!DOCTYPE s [<!ENTITY a "aa"><!ENTITY b "&a;&a;">]><s><e en="T" t="00100010">&b;</e></s>'
    )
    with pytest.raises(ConfigError):
        script.parse(bomb)


def test_a_name_that_is_no_name_of_the_tool_is_warned_about_with_the_right_one() -> None:
    text = '<s><e en="T" t="00100010" n="">@hash(OperatorsName)</e></s>'
    warning = compile_script(script.parse(text)).warnings[0]
    assert "OperatorName" in warning.remedy


def test_properties_are_read_as_java_reads_them() -> None:
    text = "# no\n! no\na=1\n b : 2\nc\\ d 3 \ne\\=f=\\u0041\\t\\\\\ng=x\\\n   y\nh"
    assert [(entry.key, entry.value) for entry in properties.parse(text)] == [
        ("a", "1"),
        ("b", "2"),
        ("c d", "3 "),
        ("e=f", "A\t\\"),
        ("g", "xy"),
        ("h", ""),
    ]


@pytest.mark.parametrize(
    ("pattern", "text", "matches"),
    [
        (r"\d+", "12", True),
        (r"\d+", "١٢", False),  # ASCII alone
        (r"a.c", "a\u2028c", False),
        (r"(?s)a.c", "a\nc", True),
        (r"[a-z&&[^aeiou]]+", "xyz", True),
        (r"[a-z&&[^aeiou]]+", "xay", False),
        (r"[a-c[x-z]]+", "axz", True),
        (r"\p{Lu}\p{Alpha}+", "Äbc", True),
        (r"\QA.B\E", "A.B", True),
        (r"\QA.B\E", "AxB", False),
        (r"a(?i)b|c", "C", True),
        (r"a(?i)b|c", "Ab", False),
        (r"x*+x", "xx", False),
        (r"(?<n>a)\k<n>", "aa", True),
        (r"\x41é\x{42}", "AéB", True),
        (r"[^\d]", "x", True),
        (r"[\w-]+", "a-b", True),
        (r"(?:a|b){2,3}?", "ab", True),
    ],
)
def test_java_patterns_match_as_in_java(pattern: str, text: str, matches: bool) -> None:
    assert (javaregex.compiled(pattern).fullmatch(text) is not None) is matches


@pytest.mark.parametrize(
    "pattern", ["[", "(", "a)", "*a", "a{", r"\y", "(?<=a*)b", r"\p{Nope}", "(?U)a"]
)
def test_a_pattern_that_cannot_be_mapped_is_refused(pattern: str) -> None:
    with pytest.raises(javaregex.RegexError):
        javaregex.compiled(pattern)


@settings(deadline=None)
@given(st.text(alphabet="ab[](){}^$.*+?|\\&-dDwpQE<>=!i:,1 "))
def test_translating_a_pattern_raises_nothing_but_its_own_error(pattern: str) -> None:
    try:
        compiled = javaregex.compiled(pattern)
    except javaregex.RegexError:
        return
    assert compiled.compiled.pattern is not None


def test_replacements_follow_java() -> None:
    assert javareplace.replace_all("([A-Z]+)([0-9]+)", "CT9", r"$2\$$1") == "9$CT"
    assert javareplace.replace_all("(a)(b)?", "a", "[$1$2$10]") == "[aa0]"
    for bad in ("$", "$x", "$7", "\\", "${n}"):
        with pytest.raises(javaregex.RegexError):
            javareplace.replace_all("(a)", "a", bad)
