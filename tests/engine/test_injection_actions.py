"""Hostile texts through every action that takes text, and back from whatever it reached."""

from __future__ import annotations

import hashlib
import hmac
import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import pytest
import trio

from opcode_runtime import Runtime, Settings, open_runtime
from opcode_runtime.actions.builtin import BUILTIN_ACTIONS
from opcode_runtime.model.events import WorkflowEmitted, WorkflowLogged, WorkflowNotified
from tests.actions.http_server import Received, Server, reply
from tests.engine.hostile import SURROGATES, TEXTS, Json, echo, echoing, for_each

ITEM = "${{loop.item}}"
WIDE: Json = {"max_concurrency": 20}
SHOW = (
    "import json, os, sys; "
    "json.dump([sys.argv[1:], dict(os.environ), sys.stdin.buffer.read().decode()], sys.stdout)"
)


async def tell(request: Received, stream: trio.abc.Stream) -> None:
    """Answer with what was asked, as JSON."""
    query = parse_qsl(request.target.partition("?")[2], keep_blank_values=True)
    told = {"query": query, "headers": request.headers, "body": request.body.decode()}
    await reply(json.dumps(told).encode(), "application/json")(request, stream)


@pytest.fixture
async def server(nursery: trio.Nursery) -> Server:
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    found = Server(listener.socket.getsockname()[1], {"/tell": tell})
    nursery.start_soon(trio.serve_listeners, found.handle, [listener])
    return found


@pytest.fixture
async def runtime(tmp_path: Path) -> AsyncIterator[Runtime]:
    settings = Settings(drain_s=0, allow_private=True, pool_size=20)
    with trio.fail_after(60):
        async with open_runtime(tmp_path / "data", actions=[echo], settings=settings) as opened:
            yield opened


def act(step_id: str, name: str, /, *needs: str, **params: Any) -> Json:
    return {"id": step_id, "action": name, "params": params, "depends_on": list(needs)}


def tolerant(step: Json) -> Json:
    return {**step, "on_error": {"strategy": "ignore"}}


async def played(runtime: Runtime, *steps: Json, **inputs: Any) -> tuple[Any, Json, str]:
    """Output, steps and id of a workflow over the texts, once it has ended."""
    await runtime.define("t", {"steps": list(steps)})
    handle = await runtime.run("t", {"xs": TEXTS} | inputs)
    output = await handle.result()
    return output, (await runtime.status(handle.workflow_id))["steps"], handle.workflow_id


async def each(runtime: Runtime, *body: Json, texts: list[str] | None = None, **more: Any) -> Any:
    """The outputs of the last of these steps, for each text."""
    output, _, _ = await played(
        runtime, for_each("l", "inputs.xs", *body, **more), xs=TEXTS if texts is None else texts
    )
    return output["results"]


def body_of(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


@pytest.mark.parametrize(
    ("encoding", "body", "sent"),
    [
        ("json", {"v": ITEM, "t": "<${{loop.item}}>"}, lambda x: body_of({"v": x, "t": f"<{x}>"})),
        ("text", "<${{loop.item}}>", lambda x: f"<{x}>"),
        ("raw", ITEM, lambda x: x),
        ("form", {"v": ITEM}, None),
    ],
    ids=["json", "text", "raw", "form"],
)
async def test_requests_carry_them_in_the_body(
    runtime: Runtime, server: Server, encoding: str, body: Any, sent: Any
) -> None:
    post = act("p", "http.post", url=server.url("/tell"), body=body, body_encoding=encoding)
    found = await each(runtime, post, **WIDE)
    for text, answer in zip(TEXTS, found, strict=True):
        if sent is None:
            fields = parse_qsl(answer["body"]["body"], keep_blank_values=True)
            assert fields == [("v", text)]
        else:
            assert answer["body"]["body"] == sent(text)


async def test_requests_carry_them_in_the_query(runtime: Runtime, server: Server) -> None:
    texts = [text for text in TEXTS if len(text) <= 10_000]
    query = {"v": ITEM, "list": [ITEM, "<${{loop.item}}>"]}
    get = act("g", "http.get", url=server.url("/tell?fixed=1"), query=query)
    found = await each(runtime, get, texts=texts, **WIDE)
    for text, answer in zip(texts, found, strict=True):
        assert sorted(answer["body"]["query"]) == sorted(
            [["fixed", "1"], ["v", text], ["list", text], ["list", f"<{text}>"]]
        )


async def test_a_header_is_sent_as_it_is_or_not_at_all(runtime: Runtime, server: Server) -> None:
    texts = [text for text in TEXTS if len(text) <= 10_000]
    get = tolerant(act("g", "http.request", url=server.url("/tell"), headers={"X-V": ITEM}))
    found = await each(runtime, get, echoing("e", "${{steps.g}}", "g"), texts=texts, **WIDE)
    arrived = 0
    for text, answer in zip(texts, found, strict=True):
        if any(mark in text for mark in "\r\n\0"):
            assert answer is None
        if answer is not None:
            arrived += 1
            headers = answer["body"]["headers"]
            assert headers["x-v"].encode("latin-1").decode() == text.strip(" \t")
            assert set(headers) <= {
                *("x-v", "host", "accept", "user-agent", "accept-encoding", "connection"),
            }
    assert arrived > 100
    assert len(server.received) == arrived


async def test_fetched_texts_and_headers_stay_what_they_are(
    runtime: Runtime, server: Server
) -> None:
    by = {text: text for text in TEXTS}
    server.answers["/json"] = reply(json.dumps(by).encode(), "application/json")
    server.answers["/text"] = reply("\n".join(TEXTS).encode(), "text/plain; charset=utf-8")
    server.answers["/header"] = reply(X_Note="${{secrets.X}} ${{inputs.xs}} '\"\\ }} $(id)")
    output, _, _ = await played(
        runtime,
        *(act(name, "http.get", url=server.url(f"/{name}")) for name in ("json", "text", "header")),
        echoing(
            "e",
            ["${{steps.json.body}}", "${{steps.text.body}}", "${{steps.header.headers['X-Note']}}"],
            *("json", "text", "header"),
        ),
    )
    assert list(output[0].items()) == list(by.items())
    assert output[1] == "\n".join(TEXTS)
    assert output[2] == "${{secrets.X}} ${{inputs.xs}} '\"\\ }} $(id)"


async def test_files_hold_them_byte_for_byte(runtime: Runtime, tmp_path: Path) -> None:
    path = f"{tmp_path}/${{{{loop.index}}}}"
    found = await each(
        runtime,
        act("w", "fs.write", path=path, content="<${{loop.item}}"),
        act("a", "fs.append", "w", path=path, content=ITEM),
        act("r", "fs.read", "a", path=path, encoding="text"),
        **WIDE,
    )
    for n, (text, answer) in enumerate(zip(TEXTS, found, strict=True)):
        assert answer["content"] == f"<{text}{text}"
        assert (tmp_path / str(n)).read_bytes() == f"<{text}{text}".encode()


async def test_files_are_named_by_them(runtime: Runtime, tmp_path: Path) -> None:
    texts = [text for text in dict.fromkeys(TEXTS) if may_be_a_name(text)]
    root = tmp_path / "names"
    (root / "kept").mkdir(parents=True)
    at, to = f"{root}/<${{{{loop.item}}}}", f"{root}/kept/<${{{{loop.item}}}}"
    found = await each(
        runtime,
        act("w", "fs.write", path=at, content=ITEM),
        act("s", "fs.stat", "w", path=at),
        act("c", "fs.copy", "s", src=at, dst=f"{at}2"),
        act("m", "fs.move", "c", src=f"{at}2", dst=to),
        act("d", "fs.delete", "m", path=at),
        act("r", "fs.read", "d", path=to, encoding="text"),
        texts=texts,
        **WIDE,
    )
    assert [answer["content"] for answer in found] == texts
    assert {path.name: path.read_bytes() for path in (root / "kept").iterdir()} == {
        f"<{text}": text.encode() for text in texts
    }
    assert [path.name for path in root.iterdir()] == ["kept"]
    listed, _, _ = await played(runtime, act("l", "fs.list", path=f"{root}/kept"))
    assert {entry["name"] for entry in listed["entries"]} == {f"<{text}" for text in texts}


def may_be_a_name(text: str) -> bool:
    return "/" not in text and "\0" not in text and len(text.encode()) < 200


async def test_a_path_that_is_none_is_refused(runtime: Runtime, tmp_path: Path) -> None:
    texts = [text for text in TEXTS if "\0" in text or len(text.encode()) > 300]
    write = tolerant(act("w", "fs.write", path=f"{tmp_path}/x${{{{loop.item}}}}", content="x"))
    found = await each(runtime, write, echoing("e", "${{steps.w.error}}", "w"), texts=texts)
    assert {error["code"] for error in found} <= {
        *("VALIDATION_ERROR", "PATH_DENIED", "EXECUTION_ERROR"),
    }
    assert not [path for path in tmp_path.iterdir() if path.name.startswith("x")]


async def test_a_command_gets_them_as_arguments_input_and_variables(runtime: Runtime) -> None:
    texts = [text for text in TEXTS if "\0" not in text]
    variables = {f"V{n}": text for n, text in enumerate(texts)}
    output, _, _ = await played(
        runtime,
        act(
            "sh",
            "shell.exec",
            command=sys.executable,
            args=["-c", SHOW, *(f"${{{{inputs.xs[{n}]}}}}" for n in range(len(texts)))],
            env="${{inputs.env}}",
            stdin="${{inputs.xs}} ",
        ),
        xs=texts,
        env=variables,
    )
    args, environment, stdin = output["stdout"]
    assert args == texts
    assert {name: environment[name] for name in variables} == variables
    assert stdin == f"{body_of(texts)} "


async def test_a_line_for_the_shell_reads_them_as_variables(runtime: Runtime) -> None:
    texts = [text for text in TEXTS if "\0" not in text and len(text) < 500][::8]
    say = act("sh", "shell.exec", command='printf %s "$V"', shell=True, env={"V": ITEM})
    found = await each(runtime, say, texts=texts, **WIDE)
    assert [answer["stdout_raw"] for answer in found] == texts


async def test_nul_never_reaches_a_command(runtime: Runtime) -> None:
    run = tolerant(act("sh", "shell.exec", command="printf", args=["%s", "a\0b${{loop.item}}"]))
    found = await each(runtime, run, echoing("e", "${{steps.sh.error.code}}", "sh"), texts=["x"])
    assert found[0] in {"VALIDATION_ERROR", "EXECUTION_ERROR"}


PURE: dict[str, tuple[Json, Any]] = {
    "crypto.hash": (
        {"data": ITEM},
        lambda x: {"hash": hashlib.sha256(x.encode()).hexdigest(), "algorithm": "sha256"},
    ),
    "crypto.hmac": (
        {"data": ITEM, "key": "k${{loop.item}}", "algorithm": "sha512"},
        lambda x: {
            "hmac": hmac.new(f"k{x}".encode(), x.encode(), "sha512").hexdigest(),
            "algorithm": "sha512",
        },
    ),
    "assert.equals": (
        {"expected": {"v": [ITEM]}, "actual": {"v": ["${{inputs.xs[loop.index]}}"]}},
        lambda x: {"pass": True},
    ),
    "assert.contains": ({"haystack": "<${{loop.item}}>", "needle": ITEM}, lambda x: {"pass": True}),
    "assert.matches": (
        {"value": ITEM, "pattern": r"(?s)\A.*\z"},
        lambda x: {"pass": True, "matches": x},
    ),
    "assert.schema": (
        {"data": {"v": ITEM}, "schema": {"properties": {"v": {"const": ITEM}}}},
        lambda x: {"pass": True},
    ),
    "expr.eval": (
        {"expression": "[data, data.v, v, inputs.xs[0]]", "data": {"v": ITEM}},
        lambda x: {"result": [{"v": x}, x, x, TEXTS[0]]},
    ),
    "workflow.log": ({"message": ITEM, "data": [ITEM], "field": ITEM}, lambda x: {"logged": True}),
    "workflow.notify": (
        {"message": ITEM, "data": [ITEM], "agent_id": ITEM},
        lambda x: {"notified": True},
    ),
}


@pytest.mark.parametrize("action", PURE)
async def test_an_action_takes_them_as_they_are(runtime: Runtime, action: str) -> None:
    params, expected = PURE[action]
    assert await each(runtime, act("a", action, **params)) == [expected(text) for text in TEXTS]


async def test_lines_events_and_notices_hold_them(runtime: Runtime) -> None:
    texts = [text for text in TEXTS if text.strip().strip("\ufeff")]
    data = {"data": [ITEM], "message": ITEM}
    _, _, workflow_id = await played(
        runtime,
        for_each(
            "l",
            "inputs.xs",
            act("g", "workflow.log", **data, field=ITEM),
            act("e", "workflow.emit", "g", event_type=ITEM, payload={"v": ITEM}),
            act("n", "workflow.notify", "e", **data, agent_id=ITEM),
        ),
        xs=texts,
    )
    events = [record.event async for record in runtime.handle(workflow_id).events()]
    lines = [each for each in events if isinstance(each, WorkflowLogged)]
    assert [(each.message, each.data, each.fields) for each in lines] == [
        (text, [text], {"field": text}) for text in texts
    ]
    emitted = [each for each in events if isinstance(each, WorkflowEmitted)]
    assert [(each.event_type, each.payload["v"]) for each in emitted] == [(x, x) for x in texts]
    notices = [each for each in events if isinstance(each, WorkflowNotified)]
    assert [(each.message, each.data, each.agent_id) for each in notices] == [
        (text, [text], text) for text in texts
    ]


async def test_the_context_keeps_them(runtime: Runtime) -> None:
    data = {"v": ITEM, "by": {"${{loop.item}}": ITEM}}
    found = await each(
        runtime,
        act("u", "workflow.context", action="update", data=data, agent_notes=ITEM),
        act("r", "workflow.context", "u", action="read"),
    )
    for text, answer in zip(TEXTS, found, strict=True):
        assert answer["agent_notes"] == answer["accumulated_data"]["v"] == text
        assert answer["accumulated_data"]["by"] == {"${{loop.item}}": text}


async def test_sub_workflows_take_and_return_them(runtime: Runtime) -> None:
    await runtime.define(
        "child", {"steps": [echoing("e", "${{inputs}}")], "output": "${{steps.e}}"}
    )
    output, _, _ = await played(
        runtime,
        act(
            "c",
            "workflow.run",
            template_name="child",
            params={"xs": "${{inputs.xs}}", "t": "${{inputs.xs[6]}}"},
        ),
    )
    assert output == {"xs": TEXTS, "t": TEXTS[6]}


async def test_failures_say_them(runtime: Runtime) -> None:
    fail = tolerant(act("f", "workflow.fail", reason=ITEM))
    claim = tolerant(act("a", "assert.equals", expected=1, actual=2, message=ITEM))
    both = echoing("b", "${{[steps.f.error.message, steps.a.error.message]}}", "f", "a")
    texts = [text for text in TEXTS if text]
    assert await each(runtime, fail, claim, both, texts=texts) == [[text] * 2 for text in texts]


async def test_a_template_that_is_none_is_named(runtime: Runtime) -> None:
    run = tolerant(act("c", "workflow.run", template_name=ITEM))
    texts = [text for text in TEXTS if text and len(text) < 500]
    found = await each(runtime, run, echoing("e", "${{steps.c.error}}", "c"), texts=texts)
    for text, error in zip(texts, found, strict=True):
        assert error["code"] == "NOT_FOUND"
        assert repr(text) in error["message"]


def test_every_action_that_takes_text_is_tried() -> None:
    tried = {*PURE, "workflow.emit", "workflow.context", "workflow.run", "workflow.fail"}
    tried |= {"shell.exec", "http.get", "http.post", "http.request"}
    tried |= {
        "fs.read",
        "fs.write",
        "fs.append",
        "fs.list",
        "fs.stat",
        "fs.copy",
        "fs.move",
        "fs.delete",
    }
    assert {action.name for action in BUILTIN_ACTIONS} - tried == {"crypto.uuid"}


async def test_half_a_surrogate_pair_is_refused_or_kept_and_never_replaced(
    runtime: Runtime, server: Server
) -> None:
    body = json.dumps({"v": SURROGATES}).encode()
    server.answers["/json"] = reply(body, "application/json")
    output, _, _ = await played(
        runtime,
        act("g", "http.get", url=server.url("/json")),
        tolerant(act("h", "crypto.hash", data="${{inputs.s}}")),
        echoing("e", ["${{steps.g.body}}", "${{steps.h.error.code}}"], "g", "h"),
        s=SURROGATES[0],
    )
    assert output == [body.decode(), "EXECUTION_ERROR"]
