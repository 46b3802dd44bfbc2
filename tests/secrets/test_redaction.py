"""Secrets are found in whatever form a tool writes them, and nothing else is touched."""

from __future__ import annotations

import base64
import html
import json
import shlex
import time
import urllib.parse
from collections.abc import Callable
from typing import Any

import pytest

from opcode_runtime.model.errors import ErrorCode, ErrorInfo
from opcode_runtime.model.outcome import (
    BreakerRequest,
    Completed,
    ContextRequest,
    EmitRequest,
    Failed,
    LogRequest,
    NotifyRequest,
)
from opcode_runtime.secrets import Redactor, redact_line, watching_logs

PLAIN = "tok_3f9c1b7e5a2d"
HARD = "pä\"ss\\wo/rd+1 'x'\n<tok&en>=é\U0001f600!\t\r"
PEM = "-----BEGIN KEY-----\nMIIBVgIBADANBgkqhkiG9w0BAQEFAASC\nAUAwggE8AgEAAkEAq7BFUpkGp3+LQmlQ\n-----END KEY-----\n"
LONG = "".join(f"{number:05d}-" for number in range(2_000))


def knowing(**secrets: str) -> Redactor:
    redactor = Redactor()
    redactor.know(secrets.items())
    return redactor


FORMS: dict[str, Callable[[str], str]] = {
    "raw": str,
    "json": json.dumps,
    "json, not ascii": lambda text: json.dumps(text, ensure_ascii=False),
    "json in json": lambda text: json.dumps(json.dumps({"k": text})),
    "repr": repr,
    "percent": lambda text: urllib.parse.quote(text, safe=""),
    "percent, slashes left": urllib.parse.quote,
    "percent, lower case": lambda text: _lower_percent(urllib.parse.quote(text, safe="")),
    "percent twice": lambda text: urllib.parse.quote(urllib.parse.quote(text, safe=""), safe=""),
    "plus": urllib.parse.quote_plus,
    "html": html.escape,
    "html numbers": lambda text: "".join(
        char if char.isalnum() and char.isascii() else f"&#{ord(char)};" for char in text
    ),
    "html hex numbers": lambda text: "".join(
        char if char.isalnum() and char.isascii() else f"&#x{ord(char):04X};" for char in text
    ),
    "shell": shlex.quote,
    "hex": lambda text: text.encode().hex(),
    "HEX": lambda text: text.encode().hex().upper(),
    "hex with colons": lambda text: text.encode().hex(":"),
    "hex escapes": lambda text: "".join(f"\\x{byte:02x}" for byte in text.encode()),
    "reversed": lambda text: text[::-1],
    "base64, 1 before": lambda text: _base64("a" + text),
    "base64, 2 before": lambda text: _base64("ab" + text),
    "base64, 1 before and 1 after": lambda text: _base64("a" + text + "b"),
    "base64 for urls": lambda text: base64.urlsafe_b64encode(text.encode()).decode().rstrip("="),
    "base64 in lines": lambda text: base64.encodebytes(b"x" * 50 + text.encode()).decode(),
    "base64 in json": lambda text: json.dumps(base64.encodebytes(text.encode()).decode()),
    "base64 in a url": lambda text: urllib.parse.quote(_base64(text), safe=""),
    "basic auth": lambda text: "Basic " + _base64("user:" + text),
}


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def _lower_percent(text: str) -> str:
    return "".join(
        text[at].lower() if "%" in text[max(at - 2, 0) : at] else text[at]
        for at in range(len(text))
    )


FORMS["base64"] = _base64


@pytest.mark.parametrize("value", [PLAIN, HARD, LONG[:900]], ids=["plain", "hard", "900"])
@pytest.mark.parametrize("form", FORMS)
def test_a_secret_is_found_in_this_form(form: str, value: str) -> None:
    redacted = knowing(TOKEN=value).text(f"before <<{FORMS[form](value)}>> after")
    assert "[secret:TOKEN]" in redacted
    assert redacted.startswith("before <<")
    assert redacted.endswith(">> after")
    rest = redacted.replace("[secret:TOKEN]", "")
    # Beside it stands only what was put there: marks of the form, and edges that hold other bytes as well.
    assert len(rest) <= len("before <<>> after") + 74


@pytest.mark.parametrize("value", [PEM, LONG], ids=["pem", "long"])
@pytest.mark.parametrize("form", ["raw", "json", "percent", "hex", "base64", "base64, 1 before"])
def test_a_secret_of_any_length_is_found(form: str, value: str) -> None:
    redacted = knowing(KEY=value).text(FORMS[form](value))
    assert "[secret:KEY]" in redacted
    assert len(redacted) < 100


def test_a_line_of_a_secret_of_several_lines_is_found() -> None:
    redactor = knowing(KEY=PEM)
    assert redactor.text(f"x {PEM.splitlines()[1]} y") == "x [secret:KEY] y"
    assert redactor.text("-----BEGIN KEY-----") == "-----BEGIN KEY-----"


def test_a_value_whose_end_was_cut_off_is_found() -> None:
    value = "0123456789abcdefghijABCDEFGHIJ~-_."
    redactor = knowing(TOKEN=value)
    for size in range(17, len(value) + 1):
        redacted = redactor.text(f"cut: {value[:size]}")
        assert redacted.startswith("cut: [secret:TOKEN]"), size
        assert len(redacted) <= len("cut: [secret:TOKEN]") + 3
    assert redactor.text(value[:10]) == value[:10]


def test_text_and_values_without_secrets_are_the_same_objects() -> None:
    redactor = knowing(TOKEN=PLAIN)
    text = "nothing here, tok_3f9 is not it"
    value = {"a": [1, 2.5, None, True, text], "b": {"c": 10**30}}
    outcome = Completed(value, (LogRequest("info", text),))
    failed = Failed(ErrorInfo(ErrorCode.EXECUTION_ERROR, text, {"x": 1}))
    assert redactor.text(text) is text
    assert redactor.value({"a": text}) == {"a": text}
    assert redactor.outcome(Completed({"x": text})).output == {"x": text}
    assert redactor.outcome(outcome) is outcome
    assert redactor.outcome(failed) is failed


def test_who_knows_nothing_looks_at_nothing() -> None:
    class Untouchable:
        def __getattribute__(self, name: str) -> Any:
            raise AssertionError(name)

    redactor = Redactor()
    untouchable: Any = Untouchable()
    assert redactor.outcome(untouchable) is untouchable
    assert redactor.value(untouchable) is untouchable


def test_secrets_are_found_in_keys_numbers_and_depths() -> None:
    redactor = knowing(DIGITS="123456789012", TOKEN=PLAIN)
    value = {
        PLAIN: 1,
        "n": 123456789012,
        "f": 123456789012.5,
        "big": 10**40,
        "deep": [[{"x": f"a{PLAIN}b"}]],
        "yes": True,
    }
    assert redactor.value(value) == {
        "[secret:TOKEN]": 1,
        "n": "[secret:DIGITS]",
        "f": "[secret:DIGITS].5",
        "big": 10**40,
        "deep": [[{"x": "a[secret:TOKEN]b"}]],
        "yes": True,
    }


def test_everything_that_an_outcome_brings_is_looked_through() -> None:
    redactor = knowing(TOKEN=PLAIN)
    requests = (
        LogRequest("info", f"m {PLAIN}", data=[PLAIN], fields={"f": PLAIN}),
        EmitRequest(PLAIN, {"x": PLAIN}),
        ContextRequest({PLAIN: PLAIN}),
        NotifyRequest(PLAIN, PLAIN, PLAIN),
        BreakerRequest("open", "http.get", f"{PLAIN}.example", 5, 30.0),
    )
    done = redactor.outcome(Completed({"x": PLAIN}, requests))
    assert isinstance(done, Completed)
    assert done.redacted is True
    assert PLAIN not in repr(done)
    cause = ErrorInfo(ErrorCode.EXECUTION_ERROR, PLAIN, {"d": PLAIN})
    failed = redactor.outcome(
        Failed(ErrorInfo(ErrorCode.RETRY_EXHAUSTED, f"m {PLAIN}", None, "a", cause), requests)
    )
    assert isinstance(failed, Failed)
    assert PLAIN not in repr(failed)
    assert failed.error.details == {"redacted": True}
    assert failed.error.step_id == "a"


def test_a_short_secret_is_found_only_as_a_whole_value() -> None:
    redactor = knowing(PIN="1234")
    assert redactor.value(["1234", 1234, "a1234", 12345]) == [
        "[secret:PIN]",
        "[secret:PIN]",
        "a1234",
        12345,
    ]


def test_the_longest_of_several_secrets_wins_whenever_they_are_learnt() -> None:
    inner, outer = "inner-secret-1", "x-inner-secret-1-and-more"
    together = knowing(INNER=inner, OUTER=outer)
    first_inner = knowing(INNER=inner)
    first_inner.know([("OUTER", outer)])
    first_outer = knowing(OUTER=outer)
    first_outer.know([("INNER", inner)])
    for redactor in (together, first_inner, first_outer):
        assert redactor.text(f"{outer} {inner}") == "[secret:OUTER] [secret:INNER]"


def test_what_was_once_known_stays_known() -> None:
    redactor = knowing(TOKEN=PLAIN)
    redactor.know([("TOKEN", "another value of it")])
    assert redactor.text(f"{PLAIN}, another value of it") == "[secret:TOKEN], [secret:TOKEN]"


def test_a_thousand_secrets_are_looked_for_at_once() -> None:
    redactor = Redactor()
    redactor.know(
        (f"S{number}", f"value-{number:04d}-{number * 7919:x}") for number in range(1_000)
    )
    text = "x" * 100_000 + " value-0777-" + f"{777 * 7919:x} " + "y" * 100_000
    began = time.process_time()
    assert redactor.text(text).replace("x", "").replace("y", "") == " [secret:S777] "
    assert time.process_time() - began < 2.0


def test_hostile_text_costs_no_more_than_its_length() -> None:
    """Long runs of what could be the beginning of a secret, again and again."""
    redactor = knowing(A="a" * 200 + "b", B=HARD)
    for text in ("a" * 1_000_000, "\\" * 1_000_000, "%25" * 300_000, "&#0" * 300_000):
        began = time.process_time()
        redactor.text(text)
        assert time.process_time() - began < 5.0, text[:9]


def test_log_lines_are_without_secrets_while_somebody_watches() -> None:
    redactor = knowing(TOKEN=PLAIN)
    line = json.dumps({"event": "x", "exception": f"Traceback\n  ValueError: {PLAIN}"})
    assert redact_line(line) == line
    with watching_logs(redactor):
        assert PLAIN not in redact_line(line)
        assert json.loads(redact_line(line))["exception"].endswith("[secret:TOKEN]")
    assert redact_line(line) == line
