"""Replies fit into a frame, say what they lack, and refusals can be acted on."""

from __future__ import annotations

import json

import pytest
from mcp import types

from opcode_runtime.mcp import FRAME_BYTES_MAX
from opcode_runtime.mcp.replies import Reply, refusal, success
from opcode_runtime.model.errors import ErrorCode, OpcodeError, Problem

ALWAYS = {
    "workflow_id": "w",
    "status": "active",
    "error": None,
    "pending_decisions": [],
    "next": "n",
}


def frame_bytes(reply: Reply) -> int:
    """The size of the frame in both ways in which the SDK writes it."""
    result = types.CallToolResult(
        content=[types.TextContent(type="text", text=reply.text)],
        structured_content=reply.structured,
        is_error=reply.is_error,
    )
    message = {
        "jsonrpc": "2.0",
        "id": "x" * 100,
        "result": result.model_dump(by_alias=True, mode="json"),
    }
    return max(len(json.dumps(message)), len(json.dumps(message, ensure_ascii=False).encode()))


def test_a_reply_says_the_same_as_text():
    reply = success({"a": "ä\n", "b": [None]})
    assert json.loads(reply.text) == reply.structured == {"a": "ä\n", "b": [None]}
    assert not reply.is_error


@pytest.mark.parametrize("unit", ["x", '"', "\n", "\x01", "\x7f", "ä", "€", "😀", "\\"])
@pytest.mark.parametrize("count", [10_000, 60_000, 150_000, 1_000_000])
def test_no_frame_is_too_large_whatever_the_characters(unit, count):
    reply = success({**ALWAYS, "output": unit * count})
    assert frame_bytes(reply) <= FRAME_BYTES_MAX
    assert {key: reply.structured[key] for key in ALWAYS} == ALWAYS


@pytest.mark.parametrize("item", [1e16, 1e-7, 0.1, '"', "\\", "a", None, {"a": "b"}, [[]]])
@pytest.mark.parametrize("count", [10_000, 40_000, 55_000, 75_000, 100_000, 200_000])
def test_no_frame_is_too_large_whatever_the_values(item, count):
    reply = success({**ALWAYS, "output": [item] * count})
    as_text = json.dumps(reply.text)
    as_json = json.dumps(reply.structured, separators=(",", ":"))
    assert len(as_text) + len(as_json) + 500 <= FRAME_BYTES_MAX


def test_what_fits_without_the_text_keeps_everything():
    answer = {**ALWAYS, "output": "x" * 600_000}
    reply = success(answer)
    assert reply.structured == answer
    assert "structuredContent" in reply.text


def test_old_events_go_before_anything_else():
    events = [{"event_type": "e", "sequence": n, "payload": "x" * 1000} for n in range(2000, 0, -1)]
    reply = success({**ALWAYS, "output": "keep", "events": events, "has_more": False})
    kept = [event["sequence"] for event in reply.structured["events"]]
    assert kept == list(range(2000, 2000 - len(kept), -1))
    assert len(kept) > 100
    assert reply.structured["has_more"] is True
    assert reply.structured["output"] == "keep"
    assert reply.structured["truncated"]["what"] == ["older events"]


def test_step_outputs_become_previews_before_the_workflow_s_output():
    steps = {
        str(n): {"step_id": str(n), "status": "completed", "output": "y" * 50_000}
        for n in range(30)
    }
    steps["small"] = {"step_id": "small", "status": "completed", "output": 7}
    reply = success({**ALWAYS, "output": "z" * 50_000, "steps": steps})
    assert reply.structured["output"] == "z" * 50_000
    assert reply.structured["steps"]["small"]["output"] == 7
    assert reply.structured["steps"]["0"]["output"]["bytes"] == 50_002
    assert "/steps/0/output" in reply.structured["truncated"]["what"]


def test_what_cannot_be_cut_is_refused_with_what_to_ask_instead():
    with pytest.raises(OpcodeError) as caught:
        success({"workflows": [{"id": str(n), "note": "x" * 1000} for n in range(2000)]})
    assert caught.value.code is ErrorCode.TOO_LARGE
    assert "limit" in caught.value.next


def test_a_refusal_reads_well_and_is_complete():
    problem = Problem(
        "/steps/0/action", ErrorCode.ACTION_UNAVAILABLE, "no action http.gett", "http.get"
    )
    reply = refusal(OpcodeError(ErrorCode.VALIDATION_ERROR, "1 problem", problems=(problem,)))
    assert reply.is_error
    assert reply.text.splitlines() == [
        "[VALIDATION_ERROR] 1 problem",
        "- /steps/0/action: no action http.gett (did you mean 'http.get'?)",
        "Next: Mend what is named and call again.",
    ]
    assert reply.structured == {
        "code": "VALIDATION_ERROR",
        "message": "1 problem",
        "problems": [
            {
                "pointer": "/steps/0/action",
                "code": "ACTION_UNAVAILABLE",
                "message": "no action http.gett",
                "did_you_mean": "http.get",
            }
        ],
        "retryable": False,
        "next": "Mend what is named and call again.",
    }


@pytest.mark.parametrize("code", list(ErrorCode))
def test_every_refusal_says_whether_to_retry_and_what_next(code):
    structured = refusal(OpcodeError(code, "m", pointer="/x", details={"a": 1})).structured
    assert structured.keys() == {"code", "message", "pointer", "details", "retryable", "next"}
    assert structured["next"]


def test_a_huge_refusal_fits_too():
    problems = tuple(
        Problem("/" + "😀" * 500, ErrorCode.VALIDATION_ERROR, "€" * 5000) for _ in range(500)
    )
    error = OpcodeError(
        ErrorCode.VALIDATION_ERROR, "€" * 10**6, problems=problems, details={"x": "y" * 10**6}
    )
    assert frame_bytes(refusal(error)) <= FRAME_BYTES_MAX
