"""The output of http.* is as its schema says, whatever a server sends; the schema is what agents are shown."""

from __future__ import annotations

import gzip
import zlib
from typing import Any

import jsonschema
import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from opcode_runtime.actions import builtin_registry
from opcode_runtime.actions.settings import ActionSettings
from opcode_runtime.model.outcome import Completed, Failed
from tests.escape.network import World, attempt

EXAMPLES = 300
ADDRESS = "93.184.216.34"
CODERS = {
    "": lambda body: body,
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "x-gzip": lambda body: gzip.compress(body[:3]) + gzip.compress(body[3:]),
}
VALIDATORS = {
    name: jsonschema.Draft202012Validator(spec.output)
    for name, spec in builtin_registry().specs().items()
    if name.startswith("http.") and spec.output is not None
}

visible = st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=20)
header_names = st.sampled_from(
    ["X-One", "x-one", "Set-Cookie", "ETag", "www-authenticate", "X_Two"]
)
content_types = st.sampled_from(
    [
        "",
        "application/json",
        "application/problem+json; charset=utf-8",
        "text/json;charset=latin-1",
        "text/plain; charset=utf-16",
        "text/html; charset=nonsense",
        "image/png",
        ";;;charset",
    ]
)
bodies = st.one_of(
    st.binary(max_size=300),
    st.just(b""),
    st.sampled_from(
        [
            b'{"a": [1, 2.5, null]}',
            b"[",
            b"NaN",
            b'"\\ud800"',
            b"\xef\xbb\xbf{}",
            b"1e999",
            b"[" * 5000,
        ]
    ),
)


def wire(status: int, reason: str, headers: list[tuple[str, str]], body: bytes) -> bytes:
    """A response as bytes."""
    lines = [f"HTTP/1.1 {status} {reason}", "Connection: close"]
    lines += [f"{name}: {value}" for name, value in headers if value]
    if status not in {204, 304}:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


@settings(max_examples=EXAMPLES, deadline=None)
@given(
    name=st.sampled_from(sorted(VALIDATORS)),
    status=st.integers(200, 599),
    reason=visible,
    headers=st.lists(st.tuples(header_names, visible), max_size=6),
    content_type=content_types,
    coder=st.sampled_from(sorted(CODERS)),
    body=bodies,
    body_bytes_max=st.sampled_from([1, 10, 1000]),
)
def test_http_output_fits_its_schema(
    name: str,
    status: int,
    reason: str,
    headers: list[tuple[str, str]],
    content_type: str,
    coder: str,
    body: bytes,
    body_bytes_max: int,
) -> None:
    sent = [*headers, ("Content-Type", content_type), ("Content-Encoding", coder)]
    page = wire(status, reason, sent, CODERS[coder](body) if status not in {204, 304} else b"")

    async def main() -> Any:
        world = World({}, {ADDRESS: page})
        allowed = ActionSettings(body_bytes_max=body_bytes_max)
        return await attempt(world, {"url": f"http://{ADDRESS}/"}, allowed, name=name)

    outcome = trio.run(main)
    assert isinstance(outcome, Completed), outcome
    VALIDATORS[name].validate(outcome.output)
    assert outcome.output["status_code"] == status
    assert outcome.output["truncated"] == (len(body) > body_bytes_max and status not in {204, 304})
    repeated = outcome.output["repeated_headers"]
    given_names = [each.lower() for each, value in sent if value]
    assert {each.lower() for each in repeated} == {
        each for each in given_names if given_names.count(each) > 1
    }


@settings(max_examples=100, deadline=None)
@given(noise=st.binary(max_size=400), head=st.booleans())
def test_noise_instead_of_an_answer_is_a_failure_or_fits_the_schema(
    noise: bytes, head: bool
) -> None:
    start = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Type: application/json\r\n\r\n"

    async def main() -> Any:
        world = World({}, {ADDRESS: (start if head else b"") + noise})
        return await attempt(world, {"url": f"http://{ADDRESS}/"})

    outcome = trio.run(main)
    assert isinstance(outcome, (Completed, Failed))
    if isinstance(outcome, Completed):
        VALIDATORS["http.get"].validate(outcome.output)
