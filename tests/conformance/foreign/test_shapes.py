"""Shapes that foreign definitions have and no document explains, in definitions of our own: each is taken as it is."""

from __future__ import annotations

import hashlib

import pytest
import trio
from trio.testing import MockClock

from tests.conformance.foreign.ground import Ground, Json, logged, sha256
from tests.conformance.stage import Stage, ask, echo, flow, step

HOUR_S = 3600.0


async def test_assert_equals_takes_200_and_its_text_for_the_same(ground: Ground) -> None:
    view = await ground.steps(
        step("get", "http.get", params={"url": ground.service("/x")}),
        step(
            "text",
            "assert.equals",
            "get",
            params={"expected": "200", "actual": "${{steps.get.output.status_code}}"},
        ),
        step("number", "assert.equals", params={"expected": 200.0, "actual": 200}),
        step(
            "strict",
            "assert.equals",
            "get",
            params={"expected": "200", "actual": "${{steps.get.status_code}}", "strict": True},
            on_error={"strategy": "ignore"},
        ),
    )
    assert view.status == "completed", view.error
    assert view.outputs["text"] == view.outputs["number"] == {"pass": True}
    assert view.steps["strict"]["error"]["code"] == "ASSERTION_FAILED"


@pytest.mark.parametrize(
    ("value", "text"),
    [(200, "200"), (1.5, "1.5"), (True, "true"), ({"a": [1, "é"]}, '{"a":[1,"é"]}')],
    ids=["int", "float", "bool", "object"],
)
async def test_crypto_hash_of_what_is_no_text_is_that_of_its_text(
    stage: Stage, autojump_clock: MockClock, value: object, text: str
) -> None:
    data = {"data": "${{inputs.value}}"}
    view = await stage.play(step("hash", "crypto.hash", params=data), inputs={"value": value})
    assert view.output["hash"] == hashlib.sha256(text.encode()).hexdigest()


@pytest.mark.parametrize("name", ["event_type", "signal", "event"])
@pytest.mark.parametrize("carrier", ["payload", "data"])
async def test_workflow_emit_takes_the_event_and_its_payload_by_any_of_their_names(
    stage: Stage, autojump_clock: MockClock, name: str, carrier: str
) -> None:
    params = {name: "paid", carrier: {"sum": "${{inputs.sum}}"}}
    view = await stage.play(step("emit", "workflow.emit", params=params), inputs={"sum": 12.5})
    (emitted,) = view.payloads("workflow_emitted")
    assert (emitted["event_type"], emitted["payload"]) == ("paid", {"sum": 12.5})


async def test_workflow_log_keeps_further_parameters_as_fields_with_their_types(
    stage: Stage, autojump_clock: MockClock
) -> None:
    fields = {"count": 3, "ratio": 0.5, "who": ["a"], "nested": {"x": None}}
    params = {"message": "m", "level": "warn", "data": [1]} | {
        key: f"${{{{inputs.{key}}}}}" for key in fields
    }
    view = await stage.play(step("log", "workflow.log", params=params), inputs=fields)
    found = logged(view, "log")
    assert {key: found[key] for key in ("message", "level", "data", "fields")} == {
        "message": "m",
        "level": "warn",
        "data": [1],
        "fields": fields,
    }


async def test_http_get_adds_its_query_to_the_url(ground: Ground) -> None:
    url = ground.service("/find") + "?page=1"
    query = {"q": "${{inputs.q}}", "n": 5, "tag": ["a", "b"]}
    get = step("get", "http.get", params={"url": url, "query": query})
    view = await ground.steps(get, inputs={"q": "a b&c=d"})
    assert view.status == "completed", view.error
    target = ground.request("/find").target
    assert target in {f"/find?page=1&q=a{space}b%26c%3Dd&n=5&tag=a&tag=b" for space in ("+", "%20")}


VALUES: Json = {"n": 7, "f": 2.5, "b": True, "o": {"k": [1, 2]}, "l": [1, "x"]}
TEXTS = {"n": "7", "f": "2.5", "b": "true", "o": '{"k":[1,2]}', "l": '[1,"x"]'}


@pytest.mark.needs("sh")
async def test_numbers_and_objects_become_arguments_of_a_command_and_its_input(
    ground: Ground,
) -> None:
    args = ["-c", 'printf "%s\\n" "$@"; cat', "-", *(f"${{{{inputs.{key}}}}}" for key in VALUES)]
    params = {"command": "sh", "args": args, "stdin": "${{inputs.o}}"}
    view = await ground.steps(step("sh", "shell.exec", params=params), inputs=VALUES)
    assert view.status == "completed", view.error
    assert view.output["stdout_raw"].split("\n") == [*TEXTS.values(), TEXTS["o"]]


async def test_numbers_and_objects_become_headers_and_the_content_of_a_file(ground: Ground) -> None:
    headers = {f"x-{key}": f"${{{{inputs.{key}}}}}" for key in VALUES}
    path = ground.path("out")
    writes = [
        step("write", "fs.write", params={"path": path, "content": "${{inputs.o}}"}),
        step("append", "fs.append", "write", params={"path": path, "content": "${{inputs.n}}"}),
    ]
    get = step("get", "http.get", params={"url": ground.service("/h"), "headers": headers})
    view = await ground.steps(get, *writes, inputs=VALUES)
    assert view.status == "completed", view.error
    received = ground.request("/h").headers
    assert {key: received[f"x-{key}"] for key in VALUES} == TEXTS
    assert ground.read("out") == TEXTS["o"] + TEXTS["n"]


SCHEMA = {
    "type": "object",
    "required": ["given"],
    "properties": {
        "given": {"type": "string"},
        "note": {"type": "string"},
        "size": {"type": "integer"},
        "mode": {"type": "string", "default": "quick"},
    },
}


async def test_an_optional_input_that_was_not_given_reads_as_empty_and_stops_nothing(
    stage: Stage, autojump_clock: MockClock
) -> None:
    view = await stage.rest(
        await stage.start(
            echo("text", "[${{inputs.note}}] ${{inputs.given}}"),
            echo("value", "${{inputs.note}}"),
            echo("number", "${{inputs.size}}"),
            echo("preset", "${{inputs.mode}}"),
            echo("default", "${{inputs.note ?? 'none'}}"),
            echo("guarded", 1, condition="inputs.note != ''"),
            echo("asked", 1, condition="has(inputs.note)"),
            inputs={"given": "g"},
            schema=SCHEMA,
        )
    )
    assert view.status == "completed", view.error
    assert view.outputs == {
        "text": "[] g",
        "value": "",
        "number": None,
        "preset": "quick",
        "default": "none",
    }
    skipped = [view.steps[each] for each in ("guarded", "asked")]
    assert [(each["status"], each["reason"]) for each in skipped] == [("skipped", "guard")] * 2


async def test_uuid_needs_no_params_and_a_branch_may_hold_no_steps(
    stage: Stage, autojump_clock: MockClock
) -> None:
    empty = {"expression": "inputs.go", "branches": {"true": []}}
    view = await stage.play(
        step("id", "crypto.uuid"),
        flow("taken", "condition", config=empty),
        flow("other", "condition", config=empty | {"expression": "!inputs.go"}),
        flow("side", "parallel", config={"branches": [[], [echo("x", 1)]]}),
        inputs={"go": True},
    )
    assert view.status == "completed", view.error
    assert len(view.outputs["id"]["uuid"]) == 36
    assert view.outputs["taken"] == {"branch": "true"}
    assert view.outputs["other"] == {"branch": "false", "skipped": True}
    assert view.outputs["side"] == {"mode": "all", "branches": [None, 1]}


async def test_a_gate_in_a_loop_stops_its_iteration_and_goes_on_item_by_item(
    stage: Stage, autojump_clock: MockClock
) -> None:
    inner = ask("prioritize", data_inject={"ticket": "loop.item"}, fallback="no")
    after = echo("route", "${{loop.item.id}}: ${{steps.prioritize.choice}}", "prioritize")
    body = {"over": "inputs.tickets", "body": [inner, after]}
    view = await stage.play(
        flow("triage-loop", "loop", config=body), inputs={"tickets": [{"id": 1}, {"id": 2}]}
    )
    for n, choice in enumerate(("yes", "no")):
        (asked,) = view.decisions
        assert (view.status, asked["step_id"]) == ("suspended", f"triage-loop.iter_{n}.prioritize")
        assert asked["context"]["data_inject"] == {"ticket": {"id": n + 1}}
        assert f"triage-loop.iter_{n}.route" not in view.outputs
        view = await stage.decide(view, choice, step_id=asked["step_id"])
    assert view.status == "completed"
    assert view.output == {"iterations": 2, "results": ["1: yes", "2: no"]}


async def test_an_answer_after_55_minutes_is_in_time_in_a_workflow_of_5(
    stage: Stage, autojump_clock: MockClock
) -> None:
    view = await stage.play(
        step("before", params={"seconds": 200}),
        ask("gate", "before", timeout="1h", fallback="no"),
        step("after", "t.echo", "gate", params={"value": "done", "seconds": 60}),
        timeout="5m",
        on_timeout="fail",
    )
    assert view.status == "suspended"
    await trio.sleep(55 * 60)
    view = await stage.decide(view, "yes")
    assert (view.status, view.output) == ("completed", "done")


async def test_what_a_workflow_spent_before_a_gate_counts_after_it(
    stage: Stage, autojump_clock: MockClock
) -> None:
    view = await stage.play(
        step("before", params={"seconds": 200}),
        ask("gate", "before", timeout="1h"),
        step("after", "t.echo", "gate", params={"seconds": 120}),
        timeout="5m",
        on_timeout="fail",
    )
    await trio.sleep(55 * 60)
    view = await stage.decide(view, "yes")
    assert (view.status, view.error["code"]) == ("failed", "TIMEOUT_ERROR")
    assert view.statuses["gate"] == "completed"


async def test_a_gate_of_an_hour_takes_its_fallback_in_a_workflow_of_5_minutes(
    stage: Stage, autojump_clock: MockClock
) -> None:
    handle = await stage.start(
        ask("gate", timeout="1h", fallback="no"),
        echo("after", "${{steps.gate.choice}}", "gate"),
        timeout="5m",
        on_timeout="fail",
    )
    began = trio.current_time()
    await handle.result()
    assert trio.current_time() - began == pytest.approx(HOUR_S, abs=1)
    view = await stage.look(handle)
    assert (view.status, view.output) == ("completed", "no")
    assert view.outputs["gate"]["resolved_by"] == "system"


async def test_a_free_form_gate_takes_any_text_with_and_without_a_fallback(
    stage: Stage, autojump_clock: MockClock
) -> None:
    for config in ({"fallback": "nothing said"}, {}):
        view = await stage.play(flow("g", "reasoning", config={"options": [], **config}))
        view = await stage.decide(view, "a sentence, in any words")
        assert view.output["choice"] == "a sentence, in any words"


async def test_an_unknown_parameter_is_a_warning_and_is_not_handed_on(
    stage: Stage, autojump_clock: MockClock
) -> None:
    params = {"data": "hello", "colour": "blue"}
    steps = [step("hash", "crypto.hash", params=params)]
    reply = await stage.define({"steps": steps})
    assert [each["pointer"] for each in reply["warnings"]] == ["/steps/0/params/colour"]
    view = await stage.play(*steps)
    assert view.output["hash"] == sha256("hello")
