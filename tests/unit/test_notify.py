import json

import pytest

from pydicombatch.config.load import Loaded, parse
from pydicombatch.core.errors import ConfigError
from pydicombatch.notify.notice import Notice, Occasion, body, subject, text
from tests.support.markdown import REPORT, blocks

BASE = """
pacs: {hostname: h, port: 104, aet: A}
local: {port: 4006, aet: B}
request: {type: c-echo}
output: {directory: out}
notify:
"""
EMAIL = "  email: {{host: smtp.example.org, from: a@example.org, to: b@example.org{}}}\n"
SECRET = "canary-4711"


def load(section: str) -> Loaded:
    return parse(BASE + section, "c.yml", {"NAME": SECRET})


@pytest.mark.parametrize(
    ("section", "said"),
    [
        (EMAIL.format(f", user: u, password: {SECRET}"), "password is written in the file"),
        (EMAIL.format(", user: u"), "has only one of user and password"),
        (EMAIL.format(", user: u, password: '${NAME}', security: none"), "without encryption"),
        (EMAIL.format(", on: [end, never]"), "notify.email.on[1] is none of the known words"),
        (EMAIL.replace("b@example.org", "''").format(""), "to is missing"),
        (EMAIL.replace("b@example.org", "somebody").format(""), "is not an e-mail address"),
        (f"  webhook: {{url: 'http://example.org/{SECRET}'}}\n", "is not encrypted"),
        (f"  webhook: {{url: '{SECRET}'}}\n", "is not a web address"),
        (f"  webhook: {{url: 'https://[{SECRET}'}}\n", "is not a web address"),
    ],
)
def test_what_is_wrong_is_said_with_its_line_and_without_the_secret(
    section: str, said: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        load(section)
    assert said in str(caught.value)
    assert "c.yml:7: " in str(caught.value)
    assert SECRET not in str(caught.value)


def test_secrets_do_not_show_in_what_is_printed_of_a_configuration() -> None:
    config = load(
        EMAIL.format(", user: u, password: '${NAME}', on: 'end, STOP'")
        + "  webhook: {url: 'https://example.org/${NAME}'}\n"
    ).config
    email, webhook = config.notify.email, config.notify.webhook
    assert email is not None
    assert webhook is not None
    assert email.password is not None
    assert email.password.get_secret_value() == SECRET
    assert webhook.url.get_secret_value() == f"https://example.org/{SECRET}"
    assert email.on == ("end", "stop")
    assert SECRET not in repr(config) + str(config) + config.model_dump_json()


@pytest.mark.parametrize(
    ("code", "occasions"),
    [
        (0, {Occasion.END}),
        (1, {Occasion.END, Occasion.FAILURE}),
        (2, {Occasion.FAILURE}),
        (3, {Occasion.FAILURE}),
        (4, {Occasion.END}),
        (130, {Occasion.STOP}),
        (143, {Occasion.STOP}),
    ],
)
def test_an_exit_code_says_what_there_is_to_tell(code: int, occasions: set[Occasion]) -> None:
    assert Notice("", code).occasions == occasions
    assert Notice("", code).meaning


def test_a_project_cannot_add_a_line_to_the_head_of_a_mail() -> None:
    notice = Notice("x\r\nBcc: other@example.org", 0)
    assert "\n" not in subject(notice)
    assert "\r" not in subject(notice)


def test_both_messages_say_the_same_numbers() -> None:
    notice = Notice("Cohort", 1, (("complete", 9), ("failed", 1)), 10, 900, 4_500_000, 2, 90.0)
    told = body(notice)
    assert told["outcomes"] == {"complete": 9, "failed": 1}
    assert (told["instances"], told["quarantined"], told["seconds"]) == (900, 2, 90.0)
    for part in ("Cohort: ended, some requests are not complete.", "900 (4.5 MB)", "1.5"):
        assert part in text(notice)
    assert "Exit code" not in text(Notice("", 0, is_test=True))


def test_the_object_that_is_shown_is_the_one_that_a_webhook_gets() -> None:
    (block,) = [one for one in blocks(REPORT) if one.language == "json"]
    shown = json.loads(block.text)
    counts = tuple(shown["outcomes"].items())
    notice = Notice(
        shown["project"],
        shown["exit_code"],
        counts,
        shown["requests"],
        shown["instances"],
        shown["bytes"],
        shown["quarantined"],
        shown["seconds"],
        shown["reason"],
    )
    assert body(notice) == shown
