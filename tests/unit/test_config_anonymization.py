from pathlib import Path
from typing import get_args

import pytest

from pydicombatch.config.anonymization import OptionName
from pydicombatch.config.digest import digests
from pydicombatch.config.load import Loaded, load, parse
from pydicombatch.core.errors import ConfigError
from pydicombatch.process.anonymize.profile_table import Option

BASE = """
pacs: {hostname: a, port: 1, aet: A}
local: {port: 2, aet: B}
request: {type: c-move}
output: {directory: out}
"""
KEY = "0123456789abcdef0123456789abcdef"


def loaded(section: str, environ: dict[str, str] | None = None, more: str = "") -> Loaded:
    return parse(f"{BASE}anonymization: {{{section}}}\n{more}", "c.yml", environ or {})


def problems(section: str, environ: dict[str, str] | None = None) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        loaded(section, environ)
    return [str(one) for one in caught.value.findings]


def test_a_profile_needs_no_script_and_strict_is_the_mode_unless_said_otherwise() -> None:
    section = loaded("enabled: true, profile: Basic, options: [retain_uids]").config.anonymization
    assert (section.script, section.mode, section.profile) == (None, "strict", "basic")
    assert section.options == ("retain_uids",)
    assert (section.pixel_risk, section.quarantine_limit) == (None, 5.0)


def test_the_options_are_those_that_the_profile_knows() -> None:
    assert set(get_args(OptionName)) == {option.value for option in Option}


@pytest.mark.parametrize(
    ("section", "words"),
    [
        ("enabled: true", "has no script and no profile"),
        ("enabled: true, script: s, options: [retain_uids]", "has options but no profile"),
        ("enabled: true, script: s, mode: lax", "anonymization.mode is none of the known words"),
        ("enabled: true, profile: full", "anonymization.profile is none of the known words"),
        ("enabled: true, profile: basic, options: [keep]", "is none of the known words"),
        ("enabled: true, script: s, pixel_risk: some", "is none of the known words"),
        ("enabled: true, script: s, quarantine_limit: 101", "is above 100"),
        (f"enabled: true, profile: basic, key: {KEY}", "key is written in the configuration"),
        ("enabled: true, profile: basic, key_fil: x", "Did you mean key_file"),
    ],
)
def test_what_cannot_be_meant_is_an_error_with_its_line(section: str, words: str) -> None:
    (found,) = problems(section)
    assert words in found
    assert found.startswith("c.yml:6:")
    assert KEY not in found


def test_a_key_may_come_from_the_environment_and_shows_nowhere() -> None:
    section = "enabled: true, profile: basic, key_file: '${KEY}'"
    found = loaded(section, {"KEY": KEY}).config
    assert (found.anonymization.key, found.anonymization.key_file) == (KEY, None)
    assert KEY not in repr(found)
    found = loaded("enabled: true, profile: basic, key: '${KEY}'", {"KEY": KEY}).config
    assert found.anonymization.key == KEY


@pytest.mark.parametrize("path", ["/etc/keys/project", "keys/one", "project-of-ours.key", "short"])
def test_the_name_of_a_key_file_may_come_from_the_environment_too(path: str) -> None:
    found = loaded("enabled: true, profile: basic, key_file: '${KEY}'", {"KEY": path}).config
    assert (found.anonymization.key, found.anonymization.key_file) == ("", Path(path))


def test_a_long_name_in_the_file_itself_is_never_taken_for_a_key() -> None:
    found = loaded(f"enabled: true, profile: basic, key_file: {KEY}").config
    assert (found.anonymization.key, found.anonymization.key_file) == ("", Path(KEY))


def test_files_that_are_named_but_missing_are_found_before_anything_starts(tmp_path: Path) -> None:
    keys = ("script", "lookup_table", "pixel_script", "key_file")
    section = ", ".join(f"{key}: {tmp_path / key}" for key in keys)
    file = tmp_path / "c.yml"
    file.write_text(f"{BASE}anonymization: {{enabled: true, profile: basic, {section}}}\n")
    with pytest.raises(ConfigError) as caught:
        load(file, {})
    text = str(caught.value)
    assert all(f"anonymization.{key} names a file that does not exist" in text for key in keys)


def test_identified_files_among_the_images_are_warned_about() -> None:
    more = "state: {directory: out/state}\n"
    section = "enabled: true, profile: basic, mapping_file: out/a/../map.csv, key_file: out/key"
    found = " ".join(map(str, loaded(section, more=more).warnings))
    for key in ("output.database_file", "anonymization.mapping_file", "state.directory"):
        assert f"{key} lies among the anonymized images" in found
    assert "anonymization.key_file lies among" in found
    outside = f"{BASE.replace('out}', 'out, database_file: ../r.csv}')}anonymization: {{enabled: "
    assert parse(outside + "true, profile: basic, mapping_file: map.csv}", "c", {}).warnings == ()
    assert loaded("enabled: false, script: s").warnings == ()


def test_settings_without_effect_are_named() -> None:
    found = loaded("enabled: true, script: s, key_file: k").warnings
    assert "anonymization.key_file has no effect" in " ".join(map(str, found))
    found = loaded("enabled: true, profile: basic, lookup_table: t").warnings
    assert "anonymization.lookup_table has no effect" in " ".join(map(str, found))


def test_quarantined_instances_stay_thirty_days_when_images_are_anonymized() -> None:
    assert loaded("enabled: true, profile: basic").config.quarantine_days == 30
    assert loaded("enabled: false").config.quarantine_days is None
    more = "retention: {quarantine_days: 2}\n"
    assert loaded("enabled: true, profile: basic", more=more).config.quarantine_days == 2
    assert loaded("enabled: false", more=more).config.quarantine_days == 2


def test_every_part_of_the_anonymization_has_a_digest(tmp_path: Path) -> None:
    (tmp_path / "k").write_text(KEY)
    (tmp_path / "p").write_text("one")
    base = "enabled: true, profile: basic"
    key = f"{base}, key_file: {tmp_path / 'k'}"

    def of(section: str, more: str = "", **environ: str) -> dict[str, str]:
        return digests(loaded(section, environ, more).config)

    def changed(section: str, before: str = base, more: str = "", **environ: str) -> set[str]:
        old, new = of(before), of(section, more, **environ)
        return {name for name in old if old[name] != new[name]}

    assert changed(f"{base}, mode: compatible") == {"mode"}
    assert changed(f"{base}, options: [retain_uids]") == {"options"}
    assert changed(f"{base}, pixel_risk: allow") == {"pixel_risk"}
    assert changed(f"{base}, pixel_script: {tmp_path / 'p'}") == {"pixel_script"}
    assert changed(f"{base}, mapping_file: m, quarantine_limit: 9") == set()
    assert changed(key) == {"key"}
    assert changed(f"{base}, key_file: '${{KEY}}'", before=key, KEY=KEY) == set()
    assert changed(base, more="project: other\n") == {"project"}
    assert KEY not in str(of(key))
    (tmp_path / "k").write_text(KEY[::-1])
    assert changed(f"{base}, key_file: '${{KEY}}'", before=key, KEY=KEY) == {"key"}
    assert changed("enabled: false, mode: compatible", before="enabled: false") == set()
