"""Values of the environment are never shown; nothing that is said steers a terminal (S15, S16)."""

import logging
from pathlib import Path

import pytest

from pydicombatch.config.load import load
from pydicombatch.core.errors import ConfigError, FatalError, Finding
from pydicombatch.core.log import EventLog
from pydicombatch.core.secrets import conceal, remember

CONFIG = """\
pacs: {hostname: '${T_HOST}', port: 104, aet: '${T_TITLE}', tls: {ca: '${T_CA}'}}
local: {port: 4006, aet: SAMPLE_AE}
request: {type: c-echo}
output: {directory: out}
"""
VALUES = {"T_HOST": "s3cret-host.invalid", "T_TITLE": "S3CRET_TITLE", "T_CA": "/s3cret/ca.pem"}


def test_an_error_names_the_variable_and_not_its_value(tmp_path: Path) -> None:
    """S16."""
    path = tmp_path / "c.yml"
    path.write_text(CONFIG)
    with pytest.raises(ConfigError) as caught:
        load(path, VALUES)
    assert "s3cret" not in str(caught.value)
    assert "${T_CA}" in str(caught.value)
    later = FatalError("No listener at s3cret-host.invalid", "Call S3CRET_TITLE otherwise")
    assert str(later) == "No listener at ${T_HOST}. Call ${T_TITLE} otherwise."
    assert later.problem == "No listener at ${T_HOST}"
    assert "s3cret" not in str(Finding("In /s3cret/ca.pem", "Look"))


def test_a_log_line_does_not_show_it_either(caplog: pytest.LogCaptureFixture) -> None:
    """S16."""
    remember("T_WORD", "pass phrase")
    with caplog.at_level(logging.DEBUG):
        EventLog("pydicombatch.test").warning("x", reason="It was pass phrase")
    assert "pass phrase" not in caplog.text
    assert "${T_WORD}" in caplog.text


def test_the_longest_value_is_replaced_first_and_short_ones_not_at_all() -> None:
    remember("T_LONG", "abcdefgh")
    remember("T_PART", "abcd")
    remember("T_SHORT", "xy")
    assert conceal("abcdefgh abcd xy") == "${T_LONG} ${T_PART} xy"
